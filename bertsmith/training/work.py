"""What is to be trained, as the parts see it that all kinds of training share: settling, run folder, and loop."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from bertsmith.data.labelled import LabelledSource
from bertsmith.data.mixture import Batches
from bertsmith.training.config import BUDGETS, TrainingConfig
from bertsmith.training.environment import Settings
from bertsmith.training.state import State

Source = Batches | LabelledSource
"""Where the batches of a run come from."""


FEWEST_STEPS = 16


def spread_steps(source: Source, sequences: int) -> list[int]:
    """Steps spread over the first epoch that have about so many sequences together; 16 at least, where it has them."""
    total = source.steps_per_epoch(0)
    count = max(FEWEST_STEPS, -(-sequences // source.batch_size))
    return sorted({i * total // count for i in range(count)})


class Plan(Protocol):
    """What a run is asked to do."""

    @property
    def training(self) -> TrainingConfig:
        """How long, how fast, in which numbers."""
        ...

    def values(self) -> dict[str, Any]:
        """All that decides the result, as plain nested values: what a resumed run is compared by."""
        ...

    def defaults(self) -> dict[str, Any]:
        """Values of fields that an earlier version may not have known, by dotted key as in `values`."""
        ...

    def recipe(self, resolved: Mapping[str, Any]) -> dict[str, Any]:
        """The tables of recipe.toml, with the values that were settled."""
        ...


@dataclass(frozen=True)
class Work:
    """Training, before anything is settled.

    plan: as asked. inputs: fingerprints of what is trained on. sources: examples of each phase.
    build: makes the state before step 1; the settings come back with `compiled` off where compiling is impossible.
    steps_for: optimiser steps of the budget, given the seconds of a step of each phase (read for minutes only).
    cost: what decides how fast a step is (JSON); runs of equal cost share what was measured.
    brief: so short that measuring would not pay: number format and compilation are those expected of the machine.
    title, unit: what is trained, and of what a batch consists, in words.
    """

    plan: Plan
    inputs: Mapping[str, str]
    sources: Sequence[Source]
    build: Callable[[Settings], tuple[State, Settings]]
    steps_for: Callable[[Sequence[float]], int]
    cost: Sequence[object]
    brief: bool = False
    title: str = "model"
    unit: str = "sequences"


def resolved_training(training: TrainingConfig, settings: Settings) -> TrainingConfig:
    """The config with its budget in steps and nothing left to be chosen."""
    budgets = {name: type(getattr(training, name))(0) for name in BUDGETS}
    settled = replace(training, **budgets, precision=settings.precision, compile="on" if settings.compiled else "off")
    return replace(settled, steps=settings.steps)
