"""How long a step takes on this machine, from a few short timings of real training on made-up batches."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Sequence
from dataclasses import replace
from statistics import median
from typing import NamedTuple

import numpy as np
import torch

from bertsmith import interrupt
from bertsmith.batch import Batch, Target, flat_batch
from bertsmith.models.config import EncoderConfig
from bertsmith.models.model import build_model
from bertsmith.objectives.table import without_teacher
from bertsmith.training.cost import memory_of, micro_batch_of, operations_of, predictions
from bertsmith.training.device import Device
from bertsmith.training.environment import Settings
from bertsmith.training.loop import steps
from bertsmith.training.plan import PretrainingPlan
from bertsmith.training.setup import build_state
from bertsmith.training.state import State

ROUNDS = 3  # the median of so many timings counts
LEAST_SECONDS = 0.2  # of steps in one timing
LARGEST_STEP = 3e11  # operations of a step that is timed as it is: one to two seconds on two cores
LARGEST_MEMORY = 1.5e9  # bytes of a model that is timed as it is
LARGEST_LAYER = 60e6  # weights of a layer that is timed at its own width
LEAST_TOKENS = 1024  # of a shortened step: below it products are slower per token than in the step that is meant


class StepTime(NamedTuple):
    """seconds: of one step. exact: whether that very step was timed, or a smaller one and the rest worked out."""

    seconds: float
    exact: bool


def time_step(
    plan: PretrainingPlan, settings: Settings, lengths: Sequence[int], teacher: EncoderConfig | None = None
) -> StepTime:
    """Seconds of one step of the plan's first phase, whose sequences have these lengths (one global batch).

    A step that is too large to be made three times is timed with one layer and with two, on fewer sequences, and of a
    very wide encoder at a part of its width: layers cost alike, a step costs its tokens, an update its parameters, and
    wide products their operations. teacher: the encoder of a distillation's teacher; without one a student is timed
    without being taught. Raises `Interrupted` or `Stopped` between steps.
    """
    step = _Step(plan, teacher)
    pieces = -(-len(lengths) // micro_batch_of(plan))
    tokens = sum(lengths)
    shown = list(lengths[: -(-len(lengths) // pieces)])
    operations = step.operations()["total"] * sum(shown)
    if operations <= LARGEST_STEP and memory_of(plan, settings.precision, 1.0, teacher)["total"] <= LARGEST_MEMORY:
        timed = _timings(step, settings, shown)
        return StepTime(timed.pass_ * tokens / sum(shown) + timed.update, True)
    count = max(1, min(len(shown), -(-LEAST_TOKENS // max(shown))))
    small = [step.with_layers(layers) for layers in (1, 2)]
    one, two = (_timings(part, settings, shown[:count]) for part in small)
    layer = max(two.pass_ - one.pass_, 0.0)
    rest = max(one.pass_ - layer, 0.0) * _ratio(step, small[0], "vocabulary")
    layers = layer * _ratio(step, small[0], "attention", "feed_forward", "teacher")
    update = two.update * plan_parameters(plan) / two.parameters
    return StepTime((rest + layers) * tokens / sum(shown[:count]) + update, False)


class _Step(NamedTuple):
    """What is timed: a plan, and the encoder of the teacher that its steps ask, if any."""

    plan: PretrainingPlan
    teacher: EncoderConfig | None

    def operations(self) -> dict[str, float]:
        """As `operations_of` counts them."""
        return operations_of(self.plan, self.teacher)

    def with_layers(self, layers: int) -> _Step:
        """With so many layers of no more than a width that can be timed, of a teacher as well; its last one teaches."""
        objectives = self.plan.objectives
        last = replace(objectives.distillation, relation_layer=0, hidden_layers=())
        plan = replace(
            self.plan, model=_small(self.plan.model, layers), objectives=replace(objectives, distillation=last)
        )
        return _Step(plan, None if self.teacher is None else _small(self.teacher, layers))


def _ratio(step: _Step, small: _Step, *parts: str) -> float:
    """How many times the operations of the small one the other has in these parts."""
    of_step, of_small = (sum(one.operations()[part] for part in parts) for one in (step, small))
    return of_step / of_small if of_small else 1.0


def plan_parameters(plan: PretrainingPlan) -> int:
    """Parameters that the plan trains."""
    return memory_of(plan, "fp32")["gradients"] // 4


class _Timings(NamedTuple):
    """Seconds of the way forward and back, and of the update; and parameters of what was timed."""

    pass_: float
    update: float
    parameters: int


def _timings(step: _Step, settings: Settings, lengths: Sequence[int]) -> _Timings:
    device = Device(torch.device("cuda" if torch.cuda.is_available() else "cpu"))
    plan, teacher = step
    if teacher is None:
        plan = replace(plan, objectives=without_teacher(plan.objectives))
    taught_by = None if teacher is None else lambda: build_model(teacher, ("masked_lm",), plan.seed)
    state, _ = build_state(plan, settings, lambda: build_model(plan.model, plan.heads, plan.seed), device, taught_by)
    # At next to no rate: without its warm-up the recipe's own could end in a loss that is not a number.
    training = replace(plan.training, steps=10**9, warmup=0.0, schedule="constant", learning_rate=1e-12)
    batches = ([made_up_batch(plan, lengths, number)] for number in itertools.count())
    timed = steps(state, batches, training, device)
    next(timed)  # kernels are chosen, memory is claimed
    interrupt.check()
    many = max(1, math.ceil(LEAST_SECONDS / next(timed).seconds))
    seconds = []
    for _ in range(ROUNDS):
        interrupt.check()
        seconds.append(sum(next(timed).seconds for _ in range(many)) / many)
    update = median(_update_seconds(state) for _ in range(ROUNDS))
    return _Timings(max(median(seconds) - update, 0.0), update, state.optimizer.masters.numel())


def _update_seconds(state: State) -> float:
    started = time.perf_counter()
    state.optimizer.update(1e-12, 1)
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - started


def made_up_batch(plan: PretrainingPlan, lengths: Sequence[int], number: int) -> Batch:
    """Sequences of these lengths of random tokens, with as many masked ones, and pairs, as the plan makes of them."""
    draw = np.random.default_rng([plan.seed, number])
    tokens = sum(lengths)
    ids = torch.from_numpy(draw.integers(0, plan.model.vocab_size, tokens))
    masked = max(1, round(tokens * predictions(plan.masking, plan.cut) / plan.cut.length))
    rows = torch.from_numpy(np.sort(draw.choice(tokens, masked, replace=False)))
    targets = {}
    if "masked_lm" in plan.objectives.use:
        targets["masked_lm"] = Target(rows, ids[rows])
    if "pair" in plan.objectives.use:
        labels = torch.from_numpy(draw.integers(0, 2, len(lengths)))
        targets["pair"] = Target(torch.arange(len(lengths)), labels)
    return flat_batch(ids, torch.zeros_like(ids), torch.tensor(lengths), targets)


def _small(config: EncoderConfig, layers: int) -> EncoderConfig:
    config = _narrowed(config.resolved())
    return replace(config, layers=layers, groups=min(config.groups, layers))


def _narrowed(config: EncoderConfig) -> EncoderConfig:
    """The encoder at a half or a quarter of its width where one layer alone would be too large; heads keep theirs."""
    while _layer_weights(config) > LARGEST_LAYER and config.heads % 2 == 0 and config.hidden_size > 512:
        narrow = config.embedding_size if config.has_mapping else config.embedding_size // 2
        config = replace(
            config,
            hidden_size=config.hidden_size // 2,
            embedding_size=narrow,
            intermediate_size=config.intermediate_size // 2,
            heads=config.heads // 2,
        )
    return config


def _layer_weights(config: EncoderConfig) -> int:
    return config.inner_groups * (4 * config.hidden_size**2 + 2 * config.hidden_size * config.intermediate_size)
