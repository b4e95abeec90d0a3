"""A trained model on the examples of a task: predictions in their order, and what they are worth."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from bertsmith import console
from bertsmith.batch import Batch
from bertsmith.data.sequences import TokenSequence
from bertsmith.errors import UsageError
from bertsmith.models.config import TaskHead
from bertsmith.models.model import Model
from bertsmith.tasks.decoding import decode
from bertsmith.tasks.encoding import KINDS, Encoder, encoder_for, unknown_label
from bertsmith.tasks.examples import Example, TaskType
from bertsmith.tasks.finetuning_config import ANSWER_LENGTH, TaskConfig
from bertsmith.tasks.forward import batches, device_of, read_ahead
from bertsmith.tasks.metrics import score
from bertsmith.tasks.predictions import Prediction
from bertsmith.tasks.table import TASKS
from bertsmith.tasks.task import Task
from bertsmith.tasks.trained import Trained
from bertsmith.tasks.vectors import text_vectors
from bertsmith.text.skipped import Skipped

TYPES: dict[str, TaskType] = {"tokens": "tagging", "span": "answering", "choice": "choice"}
METRICS: dict[TaskType, tuple[str, ...]] = {
    "classification": ("accuracy", "macro_f1"),
    "regression": ("pearson", "spearman"),
    "choice": ("accuracy",),
    "tagging": ("f1", "precision", "recall"),
    "answering": ("f1", "exact"),
    "similarity": ("spearman", "pearson"),
}


class Evaluation(NamedTuple):
    """metrics: see metrics.score. predictions: one for each example. truncated: examples that were cut."""

    metrics: dict[str, float]
    predictions: list[Prediction]
    examples: int
    truncated: int


def longest_sequence(task_type: TaskType, config: TaskConfig, positions: int) -> int:
    """Tokens of a sequence: as asked, or what the model takes; UsageError when it takes less than is asked."""
    if config.max_length > positions:
        raise UsageError(f"task.max_length: {config.max_length} is more than the {positions} tokens this model reads")
    if 0 < config.max_length < 8:
        raise UsageError(f"task.max_length: {config.max_length} leaves no room for a text; at least 8")
    return config.max_length or (min(ANSWER_LENGTH, positions) if task_type == "answering" else positions)


def predict(
    trained: Trained, task: Task, examples: Iterable[Example], config: TaskConfig | None = None
) -> Iterator[Prediction]:
    """A prediction for each example, in their order, as they come: memory does not grow with their number.

    config: None = as the model was fine-tuned, or the defaults. UsageError when the model is for another kind of task.
    """
    asked = asking(trained, task, config)
    return predictions(trained.model, task, asked.labels, examples, asked.encoder, asked.config)


def evaluate(trained: Trained, task: Task, examples: Sequence[Any], config: TaskConfig | None = None) -> Evaluation:
    """The metrics of a model over labelled examples.

    UsageError when the model is for another kind of task, or knows other labels than the examples have.
    """
    asked = asking(trained, task, config)
    if task.type == "classification":
        _require_known(asked.labels, examples)
    found: list[Prediction] = []
    with console.Progress(len(examples), "examples", f"evaluate {task.name}") as progress:
        for prediction in predictions(trained.model, task, asked.labels, examples, asked.encoder, asked.config):
            found.append(prediction)
            progress.update(len(found))
    task = task if task.labels else replace(task, labels=asked.labels)
    return Evaluation(score(task, examples, found), found, len(examples), asked.encoder.truncated)


class Asking(NamedTuple):
    """How a model is asked about a task. labels: of the head's outputs, in the words of the task."""

    labels: tuple[str, ...]
    encoder: Encoder
    config: TaskConfig


def asking(trained: Trained, task: Task, config: TaskConfig | None) -> Asking:
    """How a model is asked. config: None = as it was fine-tuned, or the defaults. UsageError as in `predict`."""
    head = None if task.type == "similarity" else require_task(trained, task)
    if config is None:
        config = trained.settings.config if trained.settings else TaskConfig()
    length = longest_sequence(task.type, config, trained.max_length)
    labels = labels_for(head, task) if head else ()
    head = replace(head, labels=labels) if head else None
    return Asking(labels, encoder_for(task, head, trained.tokenizer, length, config), config)


def require_task(trained: Trained, task: Task) -> TaskHead:
    """The model's task head; UsageError unless it is one for tasks of this type, with this task's labels if fixed."""
    head = trained.model.task
    if head is None:
        raise UsageError(
            f"{trained.folder}: has no task head; fine-tune it first: bertsmith finetune {task.name} --from ..."
        )
    if head.kind != KINDS[task.type] or head.regression != (task.type == "regression"):
        found = task_type_of(head)
        raise UsageError(f"{trained.folder}: its head is for {found}, and {task.name} is a task of {task.type}")
    if task.labels and task.type == "classification" and len(head.labels) != len(task.labels):
        raise UsageError(
            f"{trained.folder}: its head knows the labels {_shown(head.labels)}; {task.name} has {_shown(task.labels)}"
        )
    labels_for(head, task)
    return head


def labels_for(head: TaskHead, task: Task) -> tuple[str, ...]:
    """The names of the head's outputs in the words of the task.

    Published folders write the same labels in capitals, or say nothing (LABEL_0, ...): then they are taken to be in the
    task's order. UsageError when they are other labels.
    """
    if not task.labels or task.type != "classification" or set(head.labels) == set(task.labels):
        return head.labels
    folded = {label.casefold(): label for label in task.labels}
    if {label.casefold() for label in head.labels} == set(folded):
        return tuple(folded[label.casefold()] for label in head.labels)
    if head.labels == tuple(f"LABEL_{number}" for number in range(len(task.labels))):
        return task.labels
    raise UsageError(f"this model knows the labels {_shown(head.labels)}; {task.name} has {_shown(task.labels)}")


def _shown(labels: Sequence[str]) -> str:
    return ", ".join(label[:30] for label in labels[:8]) + (", ..." if len(labels) > 8 else "")


def task_type_of(head: TaskHead) -> TaskType:
    """The type of task that a head is for."""
    if head.kind == "sequence":
        return "regression" if head.regression else "classification"
    return TYPES[head.kind]


def task_of(trained: Trained) -> Task:
    """The task that a model was fine-tuned for; of a published folder, what its head tells. UsageError without one."""
    settings, head = trained.settings, trained.model.task
    if settings is not None and settings.task in TASKS:
        return TASKS[settings.task]
    found = settings.type if settings else task_type_of(head) if head else None
    if found is None or (head is None and found != "similarity"):
        raise UsageError(f"{trained.folder}: has no task head; fine-tune it first (bertsmith finetune)")
    return Task(
        name=settings.task if settings else found,
        type=found,
        description="",
        read=_nothing,
        metrics=settings.metrics if settings else METRICS[found],
        files={},
        labels=head.labels if head and found == "classification" else (),
        language=settings.language if settings else "en",
        by_character=bool(settings and settings.by_character),
        no_answer=settings.no_answer if settings else found == "answering",
    )


def _nothing(path: Path, skipped: Skipped) -> list[Any]:
    raise UsageError(f"{path}: a task known by its model alone has no files of its own; give its name")


def _require_known(labels: Sequence[str], examples: Sequence[Any]) -> None:
    for example in examples:
        if str(example.label) not in labels:
            raise unknown_label(example.name, str(example.label), labels)


def predictions(
    model: Model,
    task: Task,
    labels: Sequence[str],
    examples: Iterable[Example],
    encoder: Encoder,
    config: TaskConfig,
) -> Iterator[Prediction]:
    """A prediction for each example, in their order. labels: of the head's outputs, in the words of the task.

    Raises Stopped or Interrupted between batches.
    """
    for pool, several in read_ahead(examples, encoder.encode):
        sequences = [sequence for inputs in several for sequence in inputs.sequences]
        vectors = task.type == "similarity"
        found = iter(text_vectors(model, sequences, config.pooling) if vectors else task_scores(model, sequences))
        scores = [list(islice(found, len(inputs.sequences))) for inputs in several]
        yield from decode(task, labels, config, pool, several, scores)


def task_scores(model: Model, sequences: Sequence[TokenSequence]) -> list[npt.NDArray[np.float32]]:
    """The task head's scores of each sequence, in their order: (labels,), (tokens, labels), (tokens, 2), or (1,)."""
    assert model.task is not None, "asked of models with a task alone"
    found: list[npt.NDArray[np.float32]] = [np.zeros(0, dtype=np.float32)] * len(sequences)
    with torch.inference_mode():
        for chosen, batch in batches(sequences, device_of(model)):
            scores = model.task_logits(model(batch), batch).float().cpu().numpy()
            for index, own in zip(chosen, _by_sequence(scores, batch, model.task), strict=True):
                found[index] = own
    return found


def _by_sequence(scores: Any, batch: Batch, head: TaskHead) -> list[Any]:
    if head.kind in ("tokens", "span"):
        return np.split(scores, np.cumsum(batch.lengths.numpy())[:-1])
    return list(scores.reshape(len(scores), -1))
