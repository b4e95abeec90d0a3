"""From a plan and its settings to a state that can be trained."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from bertsmith import console
from bertsmith.batch import Batch, flat_batch
from bertsmith.models.model import Model
from bertsmith.objectives.objective import Objective
from bertsmith.objectives.table import objectives_for, weights_of
from bertsmith.training.config import TrainingConfig
from bertsmith.training.device import DTYPES, Device, compile_layers, uncompile_layers
from bertsmith.training.environment import Settings
from bertsmith.training.optimizers import Optimizer
from bertsmith.training.plan import PretrainingPlan
from bertsmith.training.state import State
from bertsmith.training.student import POSITIONS


def build_state(
    plan: PretrainingPlan,
    settings: Settings,
    initial: Callable[[], Model],
    device: Device,
    teacher: Callable[[], Model] | None = None,
) -> tuple[State, Settings]:
    """The state before step 1. The settings come back with `compiled` off where compiling is impossible.

    teacher: makes the teacher of a distillation, fp32 on the CPU.
    """

    def placed() -> Model:
        assert teacher is not None
        return teacher().to(device.torch_device, DTYPES[settings.precision])

    model = initial()
    objectives = objectives_for(plan.objectives, model, None if teacher is None else placed, plan.seed)
    frozen = plan.objectives.distils and plan.objectives.distillation.freeze_positions
    rates = {POSITIONS: 0.0} if frozen else None
    shown = _made_up_batches(plan, device)
    beside = weights_of(objectives)
    return prepare_state(model, objectives, plan.training, plan.seed, settings, device, shown, rates, beside=beside)


def prepare_state(
    model: Model,
    objectives: Sequence[Objective],
    training: TrainingConfig,
    seed: int,
    settings: Settings,
    device: Device,
    shown: Sequence[Batch],
    rates: Mapping[str, float] | None = None,
    rows: Mapping[str, Tensor] | None = None,
    beside: nn.Module | None = None,
) -> tuple[State, Settings]:
    """A state before step 1 from a model. shown: batches that the compiler sees first. rates, rows, beside: see
    Optimizer.
    """
    model = model.to(device.torch_device)
    model.encoder.activation_checkpointing = training.activation_checkpointing
    optimizer = Optimizer(model, training, DTYPES[settings.precision], rates, rows, beside)
    state = State(model, objectives, optimizer, seed)
    if settings.compiled:
        compiled = _compile(state, shown, device)
        settings = replace(settings, compiled=device.maximum(0.0 if compiled else 1.0) == 0.0)
        if not settings.compiled:
            uncompile_layers(model.encoder.layers)
    return state, settings


def _compile(state: State, shown: Sequence[Batch], device: Device) -> bool:
    """Compile and run the layers on made-up batches that depend on the plan alone.

    The compiler looks at the sizes it meets first, so a run and its resumed continuation must meet the same ones.
    """
    compile_layers(state.model.encoder.layers)
    console.say("compiling the encoder layer (20 to 90 seconds)")
    try:
        for batch in shown:
            encoded = state.model(batch.to(device.torch_device))
            encoded.hidden_states.float().sum().backward()
        return True
    except RuntimeError as error:
        console.warn(f"training is not compiled: {str(error).strip().splitlines()[0][:200]}")
        return False
    finally:
        state.optimizer.forget_gradients()


def _made_up_batches(plan: PretrainingPlan, device: Device) -> list[Batch]:
    """One batch of equal lengths, one of unequal ones, one of a single sequence where it can occur: a graph each."""
    length, sizes = plan.cut.length, _micro_batch_sizes(plan, device.world)
    rows = max(sizes)
    kinds = [[length] * rows, [length] + [length - 1] * (rows - 1)] if rows > 1 else []
    if min(sizes) == 1:
        kinds.append([length])
    return [blank_batch(lengths) for lengths in kinds]


def blank_batch(lengths: Sequence[int], token: int = 0) -> Batch:
    """Sequences of these lengths of one token."""
    ids = torch.full((sum(lengths),), token)
    return flat_batch(ids, torch.zeros_like(ids), torch.tensor(lengths))


def _micro_batch_sizes(plan: PretrainingPlan, world: int) -> set[int]:
    """Sequences that a micro-batch of either phase can have: sources divide as evenly as possible."""
    sizes: set[int] = set()
    for batch_size in (phase.training.batch_size for phase in plan.phases):
        largest = -(-batch_size // world)
        pieces = -(-largest // plan.training.micro_batch) if plan.training.micro_batch else 1
        for share in (batch_size // world, largest):
            sizes |= {share // pieces, -(-share // pieces)}
    return sizes - {0}
