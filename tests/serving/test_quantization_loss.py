"""What int8 costs is measured on examples of a task, or on masked text, and told."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bertsmith.models.config import TaskHead
from bertsmith.serving import quantization_loss
from bertsmith.serving.quantization_loss import loss_on_task, loss_on_text
from bertsmith.tasks.trained import Trained
from tests.stories import story, tiny_tokenizer
from tests.tiny_models import TINY
from tests.tiny_models import tiny_model as model_of
from tests.tiny_tasks import task_of, texts

TOKENIZER = tiny_tokenizer()


def trained(head: TaskHead | None) -> Trained:
    model = model_of(() if head else ("masked_lm",), replace(TINY, vocab_size=TOKENIZER.vocab_size), task=head).eval()
    model.trained_heads = () if head else ("masked_lm",)
    return Trained(Path("tiny"), model, TOKENIZER, 24)


def test_on_the_examples_of_a_task(capsys: pytest.CaptureFixture[str]) -> None:
    task = task_of("classification", ("bad", "good"))
    found = loss_on_task(trained(TaskHead("sequence", ("bad", "good"))), task, texts(40))
    assert found.precision == "int8" and set(found.metrics) == {"accuracy"}
    exact, other = found.metrics["accuracy"]
    assert found.same is not None and found.same >= 0.9 and abs(exact - other) <= 1 - found.same + 1e-9
    assert f"accuracy {exact:.4f} -> {other:.4f}" in capsys.readouterr().err


def test_on_masked_text(capsys: pytest.CaptureFixture[str]) -> None:
    found = loss_on_text(trained(None), story(8))
    exact, other = found.metrics["loss"]
    assert exact != other and other == pytest.approx(exact, rel=0.05)
    assert f"loss {exact:.4f} -> {other:.4f}" in capsys.readouterr().err


def test_a_loss_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    one = trained(TaskHead("sequence", ("bad", "good")))
    broken = model_of((), one.model.config, seed=9, task=one.model.task).eval()
    monkeypatch.setattr(quantization_loss, "at_precision", lambda trained, precision: (broken, precision))
    found = loss_on_task(one, task_of("classification", ("bad", "good")), texts(40))
    assert found.same is not None and found.same < 1
