"""The loop: a generator of steps over a generator of batches. Nothing in it knows of files, reports or phases."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from bertsmith import interrupt
from bertsmith.batch import Batch
from bertsmith.errors import Diverged
from bertsmith.randomness import key
from bertsmith.training.config import TrainingConfig
from bertsmith.training.device import Device, seed_dropout
from bertsmith.training.schedules import schedule_for
from bertsmith.training.state import State, Step

SIGNALS = ("", "SIGTERM", "SIGINT")  # ranks agree on the largest index


def steps(state: State, batches: Iterator[list[Batch]], config: TrainingConfig, device: Device) -> Iterator[Step]:
    """Train `state` until `config.steps`, one update per item of `batches` (this rank's micro-batches of one step).

    The loss of an objective is its local sum over its global count, the counts of the whole step being known before the
    first backward pass; gradients are then added up over micro-batches and ranks, so neither changes the result but by
    rounding. (With a mean over ranks the local sum would be multiplied by their number.)
    Raises Diverged naming the step when a loss or a gradient is not finite; the update is not made then.
    """
    rate = schedule_for(config, config.steps)
    state.model.train()
    while state.step < config.steps:
        started = time.perf_counter()
        micro_batches = next(batches)
        wait = time.perf_counter() - started
        micro_batches = [batch.to(device.torch_device) for batch in micro_batches]
        counts, tokens = _count(state, micro_batches, device)
        losses, correct, stop = _reduce(state, _accumulate(state, micro_batches, counts, device), device)
        device.sum_(state.optimizer.gradients)
        learning_rate = rate(state.step)
        norm = math.nan
        if all(map(math.isfinite, losses.values())):
            norm = state.optimizer.update(learning_rate, state.step)
        if not math.isfinite(norm):
            raise _not_finite(state, losses, norm)
        state.step += 1
        state.tokens += tokens
        seconds = time.perf_counter() - started
        state.seconds += seconds
        yield Step(state.step, losses, correct, counts, tokens, learning_rate, norm, seconds, wait, stop)


def _count(state: State, micro_batches: Sequence[Batch], device: Device) -> tuple[dict[str, int], int]:
    """Targets of each objective, and tokens, in the whole global batch."""
    local = [sum(o.count(batch) for batch in micro_batches) for o in state.objectives]
    *counts, tokens = device.sum([*local, sum(batch.token_ids.numel() for batch in micro_batches)])
    return {o.name: int(count) for o, count in zip(state.objectives, counts, strict=True)}, int(tokens)


def _accumulate(state: State, micro_batches: Sequence[Batch], counts: dict[str, int], device: Device) -> Tensor:
    """Forward and backward of every micro-batch; (2, objectives) sums of losses and of correct answers."""
    sums = torch.zeros(2, len(state.objectives), dtype=torch.float64, device=device.torch_device)
    for index, batch in enumerate(micro_batches):
        seed_dropout(key(state.seed, "dropout", state.step, index, device.rank))
        if not batch.lengths.numel():  # a small global batch over many ranks leaves some of them without a share
            continue
        encoded = state.model(batch)
        loss: Tensor | None = None
        for place, objective in enumerate(state.objectives):
            if objective.count(batch):
                with torch.set_grad_enabled(objective.weight > 0):
                    score = objective.score(state.model, encoded, batch)
                if objective.weight:
                    share = score.loss * objective.weight / counts[objective.name]
                    loss = share if loss is None else loss + share
                sums[0, place] += score.loss.detach()
                sums[1, place] += score.correct
        if loss is not None:
            loss.backward()
    return sums


def _reduce(state: State, sums: Tensor, device: Device) -> tuple[dict[str, float], dict[str, float], str]:
    """Losses, correct answers and the wish to stop, agreed over the ranks: all of them go on or none does."""
    size = len(state.objectives)
    totals = device.sum(sums.flatten().tolist())
    names = [objective.name for objective in state.objectives]
    losses, correct = dict(zip(names, totals[:size], strict=True)), dict(zip(names, totals[size:], strict=True))
    return losses, correct, agreed_signal(device)


def agreed_signal(device: Device) -> str:
    """The signal that asked any rank to stop, or ""; the same answer on every rank."""
    return SIGNALS[int(device.maximum(SIGNALS.index(interrupt.requested())))]


def _not_finite(state: State, losses: dict[str, float], norm: float) -> Diverged:
    bad = [f"the {name} loss is {loss}" for name, loss in losses.items() if not math.isfinite(loss)]
    what = " and ".join(bad) or f"the gradient norm is {norm}"
    return Diverged(
        f"step {state.step + 1}: {what}; checkpoints before it are kept; try a lower training.learning_rate, a longer"
        f" training.warmup or training.precision fp32"
    )
