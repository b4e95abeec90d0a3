"""Learning rates by step."""

from __future__ import annotations

import math

import pytest

from bertsmith.errors import UsageError
from bertsmith.training.config import TrainingConfig
from bertsmith.training.schedules import schedule_for


def test_linear_is_berts_schedule_at_its_published_numbers() -> None:
    """optimization.py: polynomial decay of power 1 from step 0, replaced by step / warm-up x peak before 10,000."""
    rate = schedule_for(TrainingConfig(steps=1_000_000, warmup=10_000.0), 1_000_000)
    assert rate(0) == 0
    assert rate(5_000) == pytest.approx(0.5e-4)
    assert rate(9_999) == pytest.approx(0.9999e-4)
    assert rate(10_000) == pytest.approx(0.99e-4)
    assert rate(500_000) == pytest.approx(0.5e-4)
    assert rate(999_999) == pytest.approx(1e-10)


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("linear", [0.5, 0.25]),
        ("cosine", [0.5, (1 + math.cos(0.75 * math.pi)) / 2]),
        ("wsd", [1.0, 1.0]),
        ("constant", [1.0, 1.0]),
    ],
)
def test_shapes_at_half_and_three_quarters(schedule: str, expected: list[float]) -> None:
    config = TrainingConfig(steps=100, warmup=0.0, learning_rate=1.0, schedule=schedule)  # type: ignore[arg-type]
    rate = schedule_for(config, 100)
    assert [rate(50), rate(75)] == pytest.approx(expected)


def test_wsd_falls_in_its_last_share() -> None:
    rate = schedule_for(TrainingConfig(steps=100, warmup=0.0, learning_rate=1.0, schedule="wsd", decay_share=0.2), 100)
    assert [rate(step) for step in (79, 80, 90, 99)] == pytest.approx([1.0, 1.0, 0.5, 0.05])


def test_a_fixed_warmup_above_a_fifth_of_the_run_is_refused() -> None:
    schedule_for(TrainingConfig(steps=100, warmup=20.0), 100)
    with pytest.raises(UsageError, match=r"training\.warmup: 21 steps .* 100 steps"):
        schedule_for(TrainingConfig(steps=100, warmup=21.0), 100)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "no budget"),
        ({"steps": 5, "minutes": 1.0}, r"training\.steps and training\.minutes"),
        ({"steps": 5, "warmup": 0.3}, r"training\.warmup: 0\.3"),
        ({"steps": 50, "warmup": 1.5}, r"training\.warmup: 1\.5"),
    ],
)
def test_contradictions_are_named(values: dict[str, float], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        TrainingConfig(**values).check()  # type: ignore[arg-type]
