"""What a task trains: its head's labels, alone or beside a teacher, or the vectors of texts."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from bertsmith import console
from bertsmith.data.labelled import LabelledSource
from bertsmith.errors import UsageError
from bertsmith.models.config import TaskHead
from bertsmith.models.task_models import Scale
from bertsmith.objectives.contrastive import Contrastive, CosineRegression
from bertsmith.objectives.labelled import Labelled
from bertsmith.objectives.objective import Objective
from bertsmith.tasks.finetuning_config import FinetuningConfig, TaskConfig
from bertsmith.tasks.teacher import Teacher
from bertsmith.training.device import Device


def objective_of(
    config: FinetuningConfig, source: LabelledSource, head: TaskHead | None, teacher: Teacher | None, scale: Scale
) -> Callable[[str, Device], Objective]:
    """A function that gives what is learnt, in a precision and on a device.

    head: None = the encoder's own vectors are trained. scale: of a regression. UsageError for a config that does not go
    with the examples.
    """
    if head is None:
        of_pairs = _of_pairs(config.task, source)
        return lambda precision, device: of_pairs
    labels = Labelled(head, _class_weights(config.task, head, source))
    if teacher is not None:
        return teacher.objective(labels, scale, config.distillation)
    return lambda precision, device: labels


def _class_weights(task: TaskConfig, head: TaskHead, source: LabelledSource) -> list[float] | None:
    """Number of targets ÷ (number of classes x targets of the class): as many for each class, and 1 on average."""
    if task.class_weights == "none":
        return None
    if head.regression or not head.labels:
        raise UsageError("task.class_weights: balanced is for classification and tagging")
    labels = np.concatenate([example.labels for example in source.examples])
    counts = np.bincount(labels, minlength=len(head.labels))
    present = int((counts > 0).sum())
    return (labels.size / (present * np.maximum(counts, 1))).tolist()


def _of_pairs(config: TaskConfig, source: LabelledSource) -> Contrastive | CosineRegression:
    """The objective that `config.objective` names. Scores are divided by the largest one, so that cosines reach them.

    UsageError where a contrastive loss would meet pairs without others beside them.
    """
    if config.objective == "cosine":
        largest = max(float(abs(example.labels[0])) for example in source.examples)
        console.say(f"objective: cosine, which comes close to the score / {largest:g}")
        return CosineRegression(largest, config.pooling)
    _require_others(source)
    what = "a sentence is found again" if config.objective == "simcse" else "the partner is found"
    console.say(f"objective: {config.objective}, {what} among the other pairs of a micro-batch")
    return Contrastive(config.temperature, config.pooling)


def _require_others(source: LabelledSource) -> None:
    if min(source.micro_batch, source.batch_size // source.world) < 2:
        raise UsageError(
            "training.batch_size and training.micro_batch leave a pair alone, without others to be told from; at least"
            " two stand together"
        )
    longest = max(map(source.tokens_of, range(len(source.examples))))
    if 0 < source.tokens_at_once < 2 * longest:
        raise UsageError(
            f"task.tokens_at_once: {source.tokens_at_once} tokens hold no two pairs of {longest}, and a pair alone has"
            f" no others to be told from; at least {2 * longest}, or a smaller task.max_length"
        )
