"""What one fine-tuning run is asked to do, and how it is judged while it runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bertsmith import console
from bertsmith.errors import Interrupted, Stopped
from bertsmith.models.task_models import Scale, raw_scores
from bertsmith.tasks.encoding import Encoder
from bertsmith.tasks.evaluation import predictions
from bertsmith.tasks.finetuning_config import FinetuningConfig, TaskConfig
from bertsmith.tasks.metrics import score
from bertsmith.tasks.task import Task
from bertsmith.tasks.trained import TaskSettings
from bertsmith.training.config import TrainingConfig
from bertsmith.training.device import Device, eager_only
from bertsmith.training.state import State


@dataclass(frozen=True)
class Job:
    """One fine-tuning run. labels: of the head's outputs, in their order; () where the task has none.

    validation: [] = nothing is validated, and the last weights are the model. name: of the run, for people. inputs:
    fingerprints of the data, by name; those of model, tokenizer and teacher are added. teacher: a run or model folder
    fine-tuned on the task, whose answers are learnt beside the labels; None = the labels alone.
    """

    task: Task
    labels: tuple[str, ...]
    train: list[Any]
    validation: list[Any]
    config: FinetuningConfig
    name: str
    inputs: Mapping[str, str]
    teacher: Path | None = None


def validation_part(examples: list[Any], training: TrainingConfig) -> list[Any]:
    """At most `training.validation_sequences` examples, spread evenly."""
    most = training.validation_sequences
    if len(examples) <= most:
        return examples
    console.say(f"{most:,} of {len(examples):,} validation examples are used (training.validation_sequences)")
    return [examples[i * len(examples) // most] for i in range(most)]


def validator_of(
    job: Job, encoder: Encoder, examples: Sequence[Any], task: TaskConfig, scale: Scale, device: Device
) -> Callable[[State], dict[str, float]]:
    """Metrics of the fp32 masters, which are what is saved; every rank scores all. scale: see FinetuningRun."""
    described = job.task if job.task.labels else replace(job.task, labels=job.labels)

    def validate(state: State) -> dict[str, float]:
        if not examples:
            return {}
        stopped, found = 0.0, []
        state.model.eval()
        try:
            with state.optimizer.masters_in_model(), raw_scores(state.model, scale), eager_only():
                found = list(predictions(state.model, job.task, job.labels, examples, encoder, task))
        except (Stopped, Interrupted):
            stopped = 1.0
        state.model.train()
        return {} if device.maximum(stopped) else score(described, examples, found)

    return validate


def settings_of(job: Job, task: TaskConfig) -> TaskSettings:
    """What is kept beside the model, so that it can be asked as it was trained."""
    return TaskSettings(
        job.task.name,
        job.task.type,
        job.labels,
        job.task.metrics,
        task,
        job.task.no_answer,
        job.task.by_character,
        job.task.language,
    )
