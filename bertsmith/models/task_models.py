"""Models with a task head: on the encoder of a folder, or on random weights."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import torch

from bertsmith import console
from bertsmith.models.config import EncoderConfig, TaskHead
from bertsmith.models.folder import load_model
from bertsmith.models.model import Model, build_model
from bertsmith.models.untrusted import in_one_line


class Scale(NamedTuple):
    """Units in which a regression is trained: (score - center) / spread. Scores as they are have Scale(0, 1)."""

    center: float
    spread: float


RAW = Scale(0.0, 1.0)


def new_task_model(config: EncoderConfig, task: TaskHead | None, seed: int) -> Model:
    """A model of this shape with random weights from the seed: fp32, on the CPU, in training mode.

    task: None = the encoder alone. UsageError when labels and kind of the task do not go together, or the config is
    none.
    """
    return build_model(config, (), seed, task=task)


def start_task_model(
    folder: Path, task: TaskHead | None, seed: int, *, dropout: float | None = None, scale: Scale = RAW
) -> Model:
    """A model for a task on the encoder of a folder of any supported family: fp32, on the CPU, in training mode.

    Pretraining heads, and heads of kinds that are not known here, are left behind. A head of the same kind that knows
    the same labels, in whatever order, is taken over; else a new one starts from the seed, and so does a pooler that is
    needed and not there. What is new is said. task: None = the encoder alone, without a pooler. dropout: of hidden
    states and of attention alike; None = the folder's. scale: what a regression's head that is taken over is to answer
    in; folders hold scores as they are.
    Errors as in `load_model`, and UsageError when labels and kind of the task do not go together.
    """
    given = load_model(folder, foreign_heads=True)
    config = given.config if dropout is None else replace(given.config, dropout=dropout, attention_dropout=dropout)
    model = build_model(config, (), seed, task=task)
    weights = dict(given.named_parameters())
    order = _label_order(given.task, task) if task else None
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if not name.startswith("heads."):
                if name in weights:
                    parameter.copy_(weights[name])
            elif order is not None:
                of_labels = name.endswith(("output.weight", "output.bias"))
                parameter.copy_(weights[name][order] if of_labels else weights[name])
    if model.encoder.pooler is not None and given.encoder.pooler is None:
        console.say(f"{folder} has no pooler: it starts from random weights")
    if task is not None:
        if order is not None and task.regression:
            _rescale(model, Scale(-scale.center / scale.spread, 1 / scale.spread))
        _tell_of_head(folder, given.task, task, order is not None)
    return model


@contextmanager
def raw_scores(model: Model, scale: Scale) -> Iterator[None]:
    """Inside, a head that answers in a scale gives scores as they are. Its weights come back bit for bit."""
    if scale == RAW:
        yield
        return
    output = model.heads["sequence"].get_submodule("output")
    kept = {name: parameter.detach().clone() for name, parameter in output.named_parameters()}
    _rescale(model, scale)
    try:
        yield
    finally:
        with torch.no_grad():
            for name, parameter in output.named_parameters():
                parameter.copy_(kept[name])


@torch.no_grad()
def _rescale(model: Model, scale: Scale) -> None:
    output = model.heads["sequence"].get_submodule("output")
    output.get_parameter("weight").mul_(scale.spread)
    output.get_parameter("bias").mul_(scale.spread).add_(scale.center)


def _label_order(given: TaskHead | None, wanted: TaskHead) -> list[int] | None:
    """For each output wanted, which one of the given head it is; None when that head decides something else."""
    if given is None or (given.kind, given.regression) != (wanted.kind, wanted.regression):
        return None
    if given.regression or not wanted.labels:
        return list(range(wanted.outputs))
    if set(given.labels) != set(wanted.labels):
        return None
    return [given.labels.index(label) for label in wanted.labels]


def _tell_of_head(folder: Path, given: TaskHead | None, wanted: TaskHead, taken: bool) -> None:
    if taken:
        console.say(f"{folder}: its trained {wanted.kind} head is taken over")
        return
    why = "has no task head"
    if given is not None:
        labels = ", ".join(in_one_line(label, 20) for label in given.labels[:3])
        more = ", ..." if len(given.labels) > 3 else ""
        why = f"has a {given.kind} head{f' for {labels}{more}' if labels else ''}, which decides something else"
    console.say(f"{folder} {why}: the {wanted.kind} head starts from random weights")
