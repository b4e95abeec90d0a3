"""What a model in 8 bits loses on the data of its task."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

from bertsmith import console
from bertsmith.errors import BertsmithError
from bertsmith.models.model import Model
from bertsmith.tasks.evaluation import evaluate
from bertsmith.tasks.task import Task
from bertsmith.tasks.trained import Trained


class Loss(NamedTuple):
    """The task's first metric before and after, and how many points (hundredths) of it are lost."""

    metric: str
    before: float
    after: float
    lost: float
    examples: int


@dataclass(frozen=True)
class Judge:
    """Labelled examples of the model's task, and the points of its first metric that may be lost."""

    task: Task
    examples: Sequence[Any]
    max_loss: float

    def lost(self, trained: Trained, model: Any) -> Loss:
        """How much the same examples lose with `model`, which is asked as ours are; BertsmithError if too much."""
        metric = self.task.metrics[0]
        before = evaluate(trained, self.task, self.examples).metrics[metric]
        after = evaluate(trained._replace(model=cast(Model, model)), self.task, self.examples).metrics[metric]
        lost = 100 * (before - after)
        told = f"{metric} {before:.4f} before, {after:.4f} in 8 bits over {len(self.examples):,} examples"
        if not lost <= self.max_loss:
            raise BertsmithError(
                f"8 bits lose {lost:.2f} points ({told}), more than {self.max_loss:g}: nothing is written; "
                "leave out --int8, or allow more with --max-loss"
            )
        console.say(told)
        return Loss(metric, before, after, lost, len(self.examples))
