"""Defaults by task, width and number of examples, and flags over them."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from bertsmith.errors import UsageError
from bertsmith.tasks.finetuning_config import defaults_for, finetuning_config
from tests.tiny_tasks import task_of

CLASSES = task_of("classification", ("a", "b"))


def test_published_values_from_the_published_width_on() -> None:
    for width in (768, 1024):
        training = defaults_for(CLASSES, width, 10_000).training
        assert (training.learning_rate, training.epochs, training.batch_size) == (2e-5, 3, 32)
        assert training.warmup == 0.1 and training.optimizer == "adamw"
    assert defaults_for(task_of("answering"), 768, 100_000).training.learning_rate == pytest.approx(3e-5)


def test_narrower_encoders_learn_faster_and_longer() -> None:
    found = [defaults_for(CLASSES, width, 10_000).training for width in (768, 512, 256, 128)]
    for wide, narrow in pairwise(found):
        assert narrow.learning_rate > wide.learning_rate and narrow.epochs > wide.epochs
    assert found[-1].learning_rate == 1e-3 and found[-1].epochs == 10


@pytest.mark.parametrize("width", [128, 256, 512, 768])
def test_many_examples_are_read_less_often(width: int) -> None:
    sizes = (1_000, 10_000, 67_000, 393_000, 5_000_000)
    epochs = [defaults_for(CLASSES, width, size).training.epochs for size in sizes]
    assert epochs == sorted(epochs, reverse=True)
    assert epochs[-1] == 1
    assert all(epoch * size <= 2e6 or epoch == 1 for epoch, size in zip(epochs, sizes, strict=True))


def test_a_handful_of_examples_is_read_more_often() -> None:
    training = defaults_for(CLASSES, 768, 100).training
    assert 3 < training.epochs <= 9 and training.batch_size <= 32
    assert defaults_for(CLASSES, 768, 1).training.batch_size == 8


@pytest.mark.parametrize(("width", "times"), [(768, 2), (256, 2), (128, 1)])
def test_many_labels_are_learnt_at_a_larger_rate(width: int, times: int) -> None:
    few, many = (finetuning_config(CLASSES, width, 9_000, labels=n).training.learning_rate for n in (2, 77))
    assert many == pytest.approx(times * few)
    tagging = task_of("tagging", tuple(str(n) for n in range(30)))
    assert defaults_for(tagging, width, 9_000, labels=30) == defaults_for(tagging, width, 9_000, labels=3)


def test_flags_are_over_the_defaults() -> None:
    flags: dict[str, Any] = {"training.learning_rate": "3e-5", "task.patience": 2, "seed": "7"}
    config = finetuning_config(CLASSES, 256, 9_000, flags)
    assert config.training.learning_rate == 3e-5 and config.training.epochs == 6
    assert config.task.patience == 2 and config.seed == 7


def test_a_budget_replaces_that_of_the_defaults() -> None:
    assert finetuning_config(CLASSES, 256, 9_000, {"training.steps": 50}).training.epochs == 0
    assert finetuning_config(CLASSES, 256, 9_000, {"training.epochs": 1}).training.epochs == 1


def test_mistakes_name_their_flag() -> None:
    with pytest.raises(UsageError, match=r"task\.layer.decay"):
        finetuning_config(CLASSES, 256, 9_000, {"task.layer_decay": 1.5})
    with pytest.raises(UsageError, match=r"task\.patiance.*patience"):
        finetuning_config(CLASSES, 256, 9_000, {"task.patiance": 1})


def test_similarity_has_defaults_of_its_own() -> None:
    texts, scored = task_of("similarity", form="texts"), task_of("similarity", form="scored")
    for width in (128, 256, 512, 768):
        assert defaults_for(texts, width, 100_000).training.learning_rate == pytest.approx(3e-5)
    assert defaults_for(texts, 256, 100_000).training.batch_size == 64
    assert defaults_for(scored, 256, 5_000).training == defaults_for(task_of("regression"), 256, 5_000).training
    assert defaults_for(scored, 256, 5_000, "simcse").training.learning_rate == pytest.approx(3e-5)
