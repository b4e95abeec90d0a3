"""Budgets to steps."""

from __future__ import annotations

from typing import Any, cast

import pytest

from bertsmith.data.batches import BatchSource
from bertsmith.data.config import CutConfig, MaskingConfig
from bertsmith.errors import UsageError
from bertsmith.training.budget import phase_ends, steps_for, tokens_per_step
from bertsmith.training.config import LongPhaseConfig, TrainingConfig
from tests.helpers import SPECIAL, memory_corpus, random_documents


def source(length: int) -> BatchSource:
    corpus = memory_corpus(random_documents(300))
    cut = CutConfig(length=length)
    return BatchSource(corpus, cut, MaskingConfig(), batch_size=8, seed=0, special=cast(Any, SPECIAL))


ONE_PHASE = LongPhaseConfig()
TWO_PHASES = LongPhaseConfig(share=0.25, length=128)


def test_epochs_are_whole_batches_of_the_plan() -> None:
    short = source(64)
    steps = steps_for(TrainingConfig(epochs=3.0), ONE_PHASE, [short], [])
    assert steps == 3 * short.steps_per_epoch(0)


def test_two_phases_share_a_budget_in_epochs() -> None:
    sources = [source(32), source(128)]
    per_epoch = [s.steps_per_epoch(0) for s in sources]
    assert per_epoch[0] > 1.5 * per_epoch[1]
    steps = steps_for(TrainingConfig(epochs=5.0), TWO_PHASES, sources, [])
    assert 0.75 * steps / per_epoch[0] + 0.25 * steps / per_epoch[1] == pytest.approx(5.0, rel=0.02)


def test_tokens_are_counted_on_real_batches() -> None:
    short = source(64)
    all_steps = range(short.steps_per_epoch(0))
    truth = sum(batch.token_ids.numel() for i in all_steps for batch in short.step(i)) / len(all_steps)
    assert tokens_per_step(short) == pytest.approx(truth, rel=0.1)
    assert steps_for(TrainingConfig(tokens=100_000), ONE_PHASE, [short], []) == pytest.approx(100_000 / truth, rel=0.1)


def test_small_batches_are_counted_as_well_as_large_ones() -> None:
    corpus = memory_corpus(random_documents(3000))
    ones, many = (
        BatchSource(corpus, CutConfig(length=64), MaskingConfig(), batch_size=size, seed=0, special=cast(Any, SPECIAL))
        for size in (2, 64)
    )
    assert tokens_per_step(ones) * 32 == pytest.approx(tokens_per_step(many), rel=0.02)


def test_minutes_leave_time_for_validation() -> None:
    config = TrainingConfig(minutes=10.0, batch_size=8, validation_sequences=800)
    # 600 s, less 10 validations of 100 steps at a third of the price
    assert steps_for(config, ONE_PHASE, [source(64)], [0.1]) == pytest.approx((600 - 10 * 100 * 0.1 / 3) / 0.1, abs=1)


def test_minutes_of_two_phases_use_both_measured_times() -> None:
    config = TrainingConfig(minutes=1.0, validation_sequences=1)
    steps = steps_for(config, TWO_PHASES, [source(64), source(128)], [0.1, 0.5])
    assert steps * (0.75 * 0.1 + 0.25 * 0.5) == pytest.approx(60, rel=0.01)


def test_a_budget_below_one_step_is_refused() -> None:
    with pytest.raises(UsageError, match=r"training\.tokens: 3 is less than one step"):
        steps_for(TrainingConfig(tokens=3), ONE_PHASE, [source(64)], [])


def test_phase_ends() -> None:
    assert phase_ends(100, ONE_PHASE) == [100]
    assert phase_ends(100, LongPhaseConfig(share=0.1)) == [90, 100]
