"""Validation on fixed masks."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from bertsmith import interrupt
from bertsmith.data.corpus import Corpus
from bertsmith.models.model import build_model
from bertsmith.training.device import Device
from bertsmith.training.environment import Settings
from bertsmith.training.setup import build_state
from bertsmith.training.state import State
from bertsmith.training.validation import Baselines, Validation
from tests.helpers import memory_corpus
from tests.tiny_runs import tiny_plan

ALONE = Device(torch.device("cpu"))


@pytest.fixture
def state(corpus: Path) -> State:
    plan = tiny_plan()
    size = Corpus.open(corpus).vocab_size

    def initial():
        from dataclasses import replace

        return build_model(replace(plan.model, vocab_size=size), plan.heads, 0)

    return build_state(plan, Settings(6, "fp32", False, "default", 1, 1), initial, ALONE)[0]


@pytest.fixture
def validation(corpus: Path) -> Validation:
    return Validation(tiny_plan(), Corpus.open(corpus, "validation"), Baselines(Corpus.open(corpus)), ALONE)


def test_twice_the_same_numbers_and_the_generator_untouched(state: State, validation: Validation) -> None:
    before = torch.get_rng_state()
    first, second = validation.run(state), validation.run(state)
    assert first == second
    assert torch.equal(torch.get_rng_state(), before)
    assert state.model.training
    assert first["sequences"] == 16


def test_an_untrained_model_is_near_uniform_and_unigram_is_better(state: State, validation: Validation) -> None:
    values = validation.run(state)
    assert values["uniform_loss"] == math.log(300)
    assert values["masked_lm_loss"] == pytest.approx(values["uniform_loss"], abs=0.2)
    assert values["unigram_loss"] < values["uniform_loss"] - 0.2
    assert values["loss"] == pytest.approx(values["masked_lm_loss"] + values["pair_loss"])


def test_the_unigram_guess_is_the_frequency_in_the_training_text() -> None:
    baselines = Baselines(memory_corpus([[[5, 5, 5, 6]]], vocab_size=8))
    assert baselines.uniform == math.log(8)
    assert baselines.unigram == pytest.approx(-(0.75 * math.log(0.75) + 0.25 * math.log(0.25)))
    labels = torch.tensor([5, 6, 7])
    expected = -sum(np.log(np.array([4, 2, 1]) / 12))
    assert baselines.unigram_sum(labels) == pytest.approx(expected)


def test_a_signal_cuts_it_short(state: State, validation: Validation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interrupt, "requested", lambda: "SIGTERM")
    assert validation.run(state) == {}
    assert state.model.training
