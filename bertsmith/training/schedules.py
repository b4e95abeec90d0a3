"""Learning rates as pure functions of the step, so that a resumed run needs nothing but its step number."""

from __future__ import annotations

import math
from collections.abc import Callable

from bertsmith.errors import UsageError
from bertsmith.training.config import LARGEST_WARMUP, TrainingConfig

Schedule = Callable[[int], float]


def warmup_steps(config: TrainingConfig, steps: int) -> int:
    """Steps of warm-up of a run of `steps`; UsageError when a fixed number is more than a fifth of the run."""
    if config.warmup < 1:
        return round(config.warmup * steps)
    if config.warmup > LARGEST_WARMUP * steps:
        raise UsageError(
            f"training.warmup: {config.warmup:g} steps are more than {LARGEST_WARMUP:.0%} of the {steps} steps of"
            f" this run; give a share such as 0.1 or train longer"
        )
    return int(config.warmup)


def schedule_for(config: TrainingConfig, steps: int) -> Schedule:
    """The learning rate of update number 0, 1, ..., steps - 1.

    As in BERT's optimization.py the decay counts from update 0 and the warm-up replaces its beginning: during the
    warm-up the rate is peak x update / warm-up (0 at update 0), and at its end it is already below the peak.
    """
    shape = SHAPES[config.schedule]
    warmup = warmup_steps(config, steps)

    def rate(update: int) -> float:
        if update < warmup:
            return config.learning_rate * update / warmup
        return config.learning_rate * shape(update / steps, config)

    return rate


def _linear(done: float, config: TrainingConfig) -> float:
    return 1 - done


def _cosine(done: float, config: TrainingConfig) -> float:
    return (1 + math.cos(math.pi * done)) / 2


def _wsd(done: float, config: TrainingConfig) -> float:
    """Warm-up, stable, decay (MiniCPM, arXiv 2404.06395): constant, then linear to 0 over the last decay_share."""
    return min(1.0, (1 - done) / config.decay_share) if config.decay_share else 1.0


def _constant(done: float, config: TrainingConfig) -> float:
    return 1.0


SHAPES: dict[str, Callable[[float, TrainingConfig], float]] = {
    "linear": _linear,
    "cosine": _cosine,
    "wsd": _wsd,
    "constant": _constant,
}
