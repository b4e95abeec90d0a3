"""A fine-tuned model as a teacher: held against the task and the student, and made to answer as the student's head."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from bertsmith import config, console, store
from bertsmith.errors import UsageError
from bertsmith.models.config import EncoderConfig, TaskHead
from bertsmith.models.folder import CONFIG, WEIGHTS, load_model
from bertsmith.models.huggingface import config_from_json
from bertsmith.models.model import Model
from bertsmith.models.task_labels import head_named, task_from_json
from bertsmith.models.task_models import RAW, Scale
from bertsmith.models.untrusted import in_one_line, read_config, regular_file
from bertsmith.objectives.labelled import Labelled
from bertsmith.objectives.soft_labels import SoftLabels
from bertsmith.tasks.evaluation import labels_for, task_type_of
from bertsmith.tasks.finetuning_config import DistillationConfig
from bertsmith.tasks.task import Task
from bertsmith.tasks.trained import FILES, longest, model_folder, require_embeddings
from bertsmith.tokenizers.tokenizer import Tokenizer
from bertsmith.training.device import DTYPES, Device
from bertsmith.training.finetuning import FinetuningPlan

LABELS_SHOWN = 8


@dataclass(frozen=True)
class DistillationPlan(FinetuningPlan):
    """What is asked for, with what the teacher's answers count for."""

    distillation: DistillationConfig

    def values(self) -> dict[str, Any]:
        """See FinetuningPlan."""
        return {**super().values(), "distillation": config.to_values(self.distillation)}

    def defaults(self) -> dict[str, Any]:
        """See FinetuningPlan."""
        own = {f"distillation.{key}": value for key, value in config.defaults(DistillationConfig).items()}
        return {**super().defaults(), **own}


@dataclass(frozen=True)
class Teacher:
    """A teacher that fits. order: for each output of the student's head, which one of the teacher's it is."""

    folder: Path
    shape: EncoderConfig
    order: tuple[int, ...]
    fingerprint: str

    def load(self, head: TaskHead, scale: Scale) -> Model:
        """The teacher with the student's head: fp32, on the CPU, in evaluation mode, and nothing to be trained.

        scale: units that the student's regression is trained in; folders hold scores as they are.
        """
        model = load_model(self.folder)
        output = model.heads[head.kind].get_submodule("output")
        with torch.no_grad():
            for name in ("weight", "bias"):
                parameter = output.get_parameter(name)
                parameter.copy_(parameter[list(self.order)])
            if scale != RAW:
                output.get_parameter("weight").div_(scale.spread)
                output.get_parameter("bias").sub_(scale.center).div_(scale.spread)
        model.task = head
        return model.requires_grad_(False)

    def objective(
        self, hard: Labelled, scale: Scale, distillation: DistillationConfig
    ) -> Callable[[str, Device], SoftLabels]:
        """A function that gives what the student learns, the teacher in a precision and on a device. Says who teaches.

        hard: the labels' part of it.
        """
        model = self.load(hard.task, scale)
        temperature = "" if hard.task.regression else f"temperature {distillation.temperature:g}, "
        console.say(
            f"teacher: {self.folder} ({self.shape.layers} layers, {self.shape.hidden_size} wide), {temperature}"
            f"weight {distillation.weight:g} beside {1 - distillation.weight:g} of the labels"
        )

        def make(precision: str, device: Device) -> SoftLabels:
            placed = copy.deepcopy(model).to(device.torch_device, DTYPES[precision])
            return SoftLabels(hard, placed, distillation.temperature, distillation.weight)

        return make


def find_teacher(path: Path, task: Task, head: TaskHead, student: Tokenizer, max_length: int) -> Teacher:
    """Look at a run of `finetune`, or a model folder, without reading its weights but for their hash.

    head: the student's, of the task. max_length: tokens of a sequence, special tokens included. UsageError for a folder
    that is none, or for a teacher with no head, one for another task, other labels, another tokenizer, or too few
    positions; BertsmithError for one that is damaged.
    """
    folder = model_folder(path)
    store.verify_files(folder, FILES)
    values, file = read_config(regular_file(folder, CONFIG)), folder / CONFIG
    shape, own = config_from_json(values, file), task_from_json(values, file)
    tokenizer = Tokenizer.load(folder)
    if own is None:
        named = head_named(values)
        raise UsageError(
            f"--teacher {path}: has no head for a task{f' (it is a {named})' if named else ''}; a teacher is fine-tuned"
            f" first: bertsmith finetune {task.name} --from {path} ..."
        )
    order = _order(path, own, task, head)
    if tokenizer.fingerprint != student.fingerprint:
        raise UsageError(
            f"--teacher {path}: its tokenizer is not the student's, so ids would mean other tokens to it; teacher and"
            " student must share one"
        )
    require_embeddings(folder, tokenizer, shape.vocab_size)
    positions = longest(folder, shape.max_positions)
    if positions < max_length:
        raise UsageError(
            f"--teacher {path}: reads {positions} tokens, and a sequence here may have {max_length};"
            f" --task.max-length {positions} makes them fit"
        )
    return Teacher(folder, shape, order, store.hash_file(regular_file(folder, WEIGHTS)))


def _order(path: Path, own: TaskHead, task: Task, wanted: TaskHead) -> tuple[int, ...]:
    """For each output of the wanted head, which one of the teacher's it is."""
    if (own.kind, own.regression) != (wanted.kind, wanted.regression):
        raise UsageError(
            f"--teacher {path}: its head is for {task_type_of(own)}, and {task.name} is a task of {task.type}"
        )
    if own.regression or not wanted.labels:
        return tuple(range(wanted.outputs))
    try:
        labels = labels_for(own, task)
    except UsageError:
        labels = ()
    if sorted(labels) != sorted(wanted.labels):
        raise UsageError(
            f"--teacher {path}: its head knows the labels {_shown(own.labels)}; {task.name} has {_shown(wanted.labels)}"
        )
    return tuple(labels.index(label) for label in wanted.labels)


def _shown(labels: Sequence[str]) -> str:
    named = ", ".join(in_one_line(label, 30) for label in labels[:LABELS_SHOWN])
    return named + (", ..." if len(labels) > LABELS_SHOWN else "")
