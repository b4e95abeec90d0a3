"""The explicit table of objectives. A new one is one file beside this and one line here and in config.ObjectiveName."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from torch import nn

from bertsmith.errors import UsageError
from bertsmith.models.model import Model
from bertsmith.objectives.config import ObjectivesConfig
from bertsmith.objectives.distillation import DISTILLATION, Distillation, heads_of
from bertsmith.objectives.masked_lm import MaskedLM
from bertsmith.objectives.objective import Objective
from bertsmith.objectives.pair import Pair

OBJECTIVES: dict[str, Objective] = {objective.name: objective for objective in (MaskedLM(), Pair())}
"""Those that need nothing but a batch; beside them there is distillation, which needs a teacher."""


def needed_heads(config: ObjectivesConfig) -> tuple[str, ...]:
    """The heads that the objectives train."""
    heads = [
        head
        for name in config.use
        for head in (heads_of(config.distillation) if name == DISTILLATION else OBJECTIVES[name].heads)
    ]
    return tuple(dict.fromkeys(heads))


def objectives_for(
    config: ObjectivesConfig, student: Model, teacher: Callable[[], Model] | None, seed: int = 0
) -> list[Objective]:
    """The objectives of a run. teacher: makes the teacher, on the student's device and in its number format. seed: of
    the weights that an objective brings along.

    UsageError when distillation is among them and there is no teacher.
    """
    if not config.distils:
        return [OBJECTIVES[name] for name in config.use]
    if teacher is None:
        raise UsageError("objectives.use: distillation wants a teacher; name one with --teacher")
    distillation = Distillation(config.distillation, student, teacher(), seed)
    weighted: dict[str, Objective] = {**OBJECTIVES, DISTILLATION: distillation}
    weighted[MaskedLM.name] = MaskedLM(config.distillation.mlm)
    return [weighted[name] for name in config.use]


def distillation_in(objectives: Sequence[Objective]) -> Distillation | None:
    """The distillation among the objectives of a run."""
    return next((objective for objective in objectives if isinstance(objective, Distillation)), None)


def weights_of(objectives: Sequence[Objective]) -> nn.Module | None:
    """The weights that objectives bring along: trained with the model, and no part of it. None without any."""
    distillation = distillation_in(objectives)
    if distillation is None or distillation.projections is None:
        return None
    return nn.ModuleDict({DISTILLATION: distillation.projections})


def without_teacher(config: ObjectivesConfig) -> ObjectivesConfig:
    """The same objectives but for distillation."""
    return replace(config, use=tuple(name for name in config.use if name != DISTILLATION))
