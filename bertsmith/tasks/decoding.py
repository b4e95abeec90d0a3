"""Scores of a task head as predictions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from bertsmith.tasks.answering import answered
from bertsmith.tasks.examples import Example
from bertsmith.tasks.finetuning_config import TaskConfig
from bertsmith.tasks.inputs import Inputs
from bertsmith.tasks.predictions import Chosen, Classified, Prediction, Regressed
from bertsmith.tasks.tagging import tagged
from bertsmith.tasks.task import Task

Scores = npt.NDArray[Any]


def decode(
    task: Task, labels: Sequence[str], config: TaskConfig, example: Example, inputs: Inputs, logits: Sequence[Scores]
) -> Prediction:
    """The prediction for one example. logits: of each of its sequences: (labels,), (tokens, labels), (tokens, 2), or
    (1,) of a choice.
    """
    arguments: Any = example
    match task.type:
        case "classification":
            return classified(logits[0], labels)
        case "regression":
            return Regressed(float(logits[0][0]))
        case "choice":
            return chosen(np.concatenate(logits))
        case "tagging":
            return tagged(arguments, inputs, logits, labels)
        case "answering":
            return answered(arguments, inputs, logits, config.max_answer_length, task.no_answer)


def classified(scores: Scores, labels: Sequence[str]) -> Classified:
    """scores: (labels,)."""
    probabilities = softmax(scores).tolist()
    return Classified(labels[int(np.argmax(scores))], dict(zip(labels, probabilities, strict=True)))


def chosen(scores: Scores) -> Chosen:
    """scores: (choices,)."""
    return Chosen(int(np.argmax(scores)), tuple(softmax(scores).tolist()))


def softmax(scores: Scores) -> npt.NDArray[np.float64]:
    """Probabilities from scores (n,)."""
    shifted = np.exp(scores.astype(np.float64) - float(scores.max()))
    return shifted / shifted.sum()
