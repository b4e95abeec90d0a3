"""A budget in epochs, tokens or minutes becomes a number of steps, once, before step 1."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from bertsmith.errors import UsageError
from bertsmith.training.config import LongPhaseConfig, TrainingConfig
from bertsmith.training.work import Source, spread_steps

SAMPLED_SEQUENCES = 2048  # are read to know the tokens of a step within about a hundredth
VALIDATION_COST = 1 / 3  # of a training step per sequence: a forward pass without a backward one
MOST_VALIDATED = 10_000  # sequences: few validation parts have more
VALIDATION_SHARE = 0.25  # most of a budget in minutes that is set aside for validation


def steps_for(
    training: TrainingConfig, long_phase: LongPhaseConfig, sources: Sequence[Source], seconds: Sequence[float]
) -> int:
    """Steps that fit the budget. `seconds`: measured time of a step of each phase, read for minutes only.

    With c and c' the cost of a step of the short and the long phase and s the share of steps of the long one, n steps
    cost n ((1 - s) c + s c'); a step costs one step, a share of an epoch, its tokens, or its minutes.
    """
    unit, amount = training.budget
    if unit == "steps":
        return int(amount)
    if unit == "epochs":
        costs = [1 / source.steps_per_epoch(0) for source in sources]
    elif unit == "tokens":
        costs = [tokens_per_step(source) for source in sources]
    else:
        costs = [second / 60 for second in seconds]
    cost_of_step = sum(share * cost for share, cost in zip(long_phase.shares, costs, strict=True))
    if unit == "minutes":
        validating = validation_seconds(training, long_phase, amount / cost_of_step, seconds) / 60
        amount -= min(VALIDATION_SHARE * amount, validating)
    steps = round(amount / cost_of_step)
    if steps < 1:
        raise UsageError(f"training.{unit}: {amount:g} is less than one step of this run")
    return steps


def phase_ends(steps: int, long_phase: LongPhaseConfig) -> list[int]:
    """The step before which each phase ends."""
    return [steps - round(long_phase.share * steps), steps] if long_phase.share else [steps]


def tokens_per_step(source: Source) -> float:
    """Mean tokens of a global step, special tokens included, from steps spread over the first epoch."""
    sizes = [source.whole(step).token_ids.size for step in spread_steps(source, SAMPLED_SEQUENCES)]
    return sum(sizes) / len(sizes)


def bounded(training: TrainingConfig, held_out: int, length: int) -> TrainingConfig:
    """The same with no more validation sequences than a part of `held_out` tokens makes, `length` each."""
    return replace(training, validation_sequences=min(training.validation_sequences, held_out // length))


def validation_seconds(
    training: TrainingConfig, long_phase: LongPhaseConfig, steps: float, seconds: Sequence[float]
) -> float:
    """About what all validations of a run of so many steps take. `seconds`: of a step of each phase."""
    sequences = min(training.validation_sequences, MOST_VALIDATED)
    times = steps / training.validate_every if training.validate_every else 10
    sizes = training.batch_size, long_phase.batch_size or training.batch_size
    of_a_sequence = [second / size for second, size in zip(seconds, sizes, strict=False)]
    mean = sum(share * second for share, second in zip(long_phase.shares, of_a_sequence, strict=True))
    return times * sequences * mean * VALIDATION_COST
