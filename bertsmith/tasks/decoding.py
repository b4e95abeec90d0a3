"""Scores of a task head as predictions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from bertsmith.errors import UsageError
from bertsmith.tasks.answering import answered
from bertsmith.tasks.examples import Example, TextExample
from bertsmith.tasks.finetuning_config import TaskConfig
from bertsmith.tasks.inputs import Inputs
from bertsmith.tasks.predictions import Chosen, Classified, Compared, Prediction, Regressed
from bertsmith.tasks.tagging import tagged
from bertsmith.tasks.task import Task

Scores = npt.NDArray[Any]
EQUAL = 1e-6  # cosines that differ by less are those of the same text


def decode(
    task: Task,
    labels: Sequence[str],
    config: TaskConfig,
    examples: Sequence[Example],
    inputs: Sequence[Inputs],
    scores: Sequence[Sequence[Scores]],
) -> list[Prediction]:
    """The predictions for examples that were read together. scores: of each of their sequences: (labels,), (tokens,
    labels), (tokens, 2), (1,) of a choice, or the vector (hidden,) of a text whose similarity is wanted.
    """
    read: list[Any] = list(zip(examples, inputs, scores, strict=True))
    match task.type:
        case "classification":
            return [classified(own[0], labels) for own in scores]
        case "regression":
            return [Regressed(float(own[0][0])) for own in scores]
        case "choice":
            return [chosen(np.concatenate(own)) for own in scores]
        case "tagging":
            return [tagged(example, own, several, labels) for example, own, several in read]
        case "answering":
            longest, none = config.max_answer_length, task.no_answer
            return [answered(example, own, several, longest, none) for example, own, several in read]
        case "similarity":
            return list(compared(read, config.threshold))


def classified(scores: Scores, labels: Sequence[str]) -> Classified:
    """scores: (labels,)."""
    probabilities = softmax(scores).tolist()
    return Classified(labels[int(np.argmax(scores))], dict(zip(labels, probabilities, strict=True)))


def chosen(scores: Scores) -> Chosen:
    """scores: (choices,)."""
    return Chosen(int(np.argmax(scores)), tuple(softmax(scores).tolist()))


def compared(read: Sequence[tuple[TextExample, Inputs, Sequence[Scores]]], threshold: float) -> list[Compared]:
    """Pairs and the vectors (hidden,) of their two texts. UsageError naming a text that stands alone."""
    alone = next((example.name for example, _, _ in read if example.second is None), "")
    if alone:
        raise UsageError(f"{alone}: is a single text; models are judged by pairs of texts")
    first, second = (_unit(np.stack([vectors[place] for _, _, vectors in read])) for place in (0, 1))
    return ranked(first @ second.T, threshold)


def ranked(cosines: Scores, threshold: float) -> list[Compared]:
    """cosines (n, n): of the first texts of pairs that were read together with all their second ones."""
    own = cosines.diagonal()
    ranks = 1 + (cosines > own[:, None] + EQUAL).sum(1)
    return [Compared(float(one), int(rank), bool(one >= threshold)) for one, rank in zip(own, ranks, strict=True)]


def _unit(vectors: Scores) -> Scores:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)


def softmax(scores: Scores) -> npt.NDArray[np.float64]:
    """Probabilities from scores (n,)."""
    shifted = np.exp(scores.astype(np.float64) - float(scores.max()))
    return shifted / shifted.sum()
