"""A budget in epochs, tokens or minutes becomes a number of steps, once, before step 1."""

from __future__ import annotations

from collections.abc import Sequence

from bertsmith.errors import UsageError
from bertsmith.training.config import LongPhaseConfig, TrainingConfig
from bertsmith.training.work import Source, spread_steps

SAMPLED_SEQUENCES = 2048  # are read to know the tokens of a step within about a hundredth
VALIDATION_COST = 1 / 3  # of a training step per sequence: a forward pass without a backward one
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
        amount -= min(VALIDATION_SHARE * amount, _validation_minutes(training, seconds[0]))
    shares = [1 - long_phase.share, long_phase.share][: len(costs)]
    steps = round(amount / sum(share * cost for share, cost in zip(shares, costs, strict=True)))
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


def _validation_minutes(training: TrainingConfig, seconds: float) -> float:
    sequences = min(training.validation_sequences, 10_000)
    steps = 60 * training.minutes / seconds
    times = steps / training.validate_every if training.validate_every else 10
    return times * sequences / training.batch_size * seconds * VALIDATION_COST / 60
