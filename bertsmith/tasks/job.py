"""What one fine-tuning run is asked to do, and how it is judged while it runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
from bertsmith.tasks.threshold import best_threshold, threshold_sample
from bertsmith.tasks.trained import TaskSettings, write_settings
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


@dataclass
class Judge:
    """Metrics of the fp32 masters, which are what is saved; every rank scores all.

    examples: [] = nothing is judged. settings: how examples are read; a threshold is found anew each time, where the
    training part allows it. scale: see FinetuningRun.
    """

    job: Job
    encoder: Encoder
    examples: Sequence[Any]
    settings: TaskConfig
    scale: Scale
    device: Device

    def __call__(self, state: State) -> dict[str, float]:
        """{} without examples, and where a signal cut it short."""
        if not self.examples:
            return {}
        task = self.job.task if self.job.task.labels else replace(self.job.task, labels=self.job.labels)
        stopped, found = 0.0, []
        state.model.eval()
        try:
            with state.optimizer.masters_in_model(), raw_scores(state.model, self.scale), eager_only():
                self._find_threshold(state)
                found = self._predictions(state, self.examples)
        except (Stopped, Interrupted):
            stopped = 1.0
        state.model.train()
        return {} if self.device.maximum(stopped) else score(task, self.examples, found)

    def _predictions(self, state: State, examples: Sequence[Any]) -> list[Any]:
        asked = self.job.labels, examples, self.encoder, self.settings
        return list(predictions(state.model, self.job.task, *asked))

    def _find_threshold(self, state: State) -> None:
        sample = threshold_sample(self.job.train) if self.job.task.type == "similarity" else []
        if sample:
            self.settings = replace(self.settings, threshold=best_threshold(sample, self._predictions(state, sample)))

    def write_settings(self, folder: Path) -> None:
        """What is kept beside the model, so that it can be asked as it was trained."""
        job = self.job
        fields = job.task.no_answer, job.task.by_character, job.task.language
        write_settings(
            folder, TaskSettings(job.task.name, job.task.type, job.labels, job.task.metrics, self.settings, *fields)
        )
