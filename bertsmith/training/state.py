"""What a run is at one step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bertsmith.models.model import Model
from bertsmith.objectives.objective import Objective
from bertsmith.training.optimizers import Optimizer


@dataclass
class State:
    """The model with its optimiser after `step` updates; the loop changes it in place.

    seed: of dropout. tokens: read so far, over all ranks. seconds: spent in steps so far, over all resumes.
    """

    model: Model
    objectives: Sequence[Objective]
    optimizer: Optimizer
    seed: int
    step: int = 0
    tokens: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class Step:
    """What one update did, over all ranks: `losses` and `correct` are sums over the `counts` targets, by objective.

    number: from 1. wait: seconds of `seconds` spent waiting for data. stop: the signal that asked to stop, or "".
    """

    number: int
    losses: Mapping[str, float]
    correct: Mapping[str, float]
    counts: Mapping[str, int]
    tokens: int
    learning_rate: float
    gradient_norm: float
    seconds: float
    wait: float
    stop: str
