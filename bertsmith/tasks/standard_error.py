"""How much a figure would change with another draw of as many examples: what is below it is noise."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from typing import Any

from bertsmith.tasks.examples import TaggedExample
from bertsmith.tasks.metrics import score
from bertsmith.tasks.predictions import Prediction
from bertsmith.tasks.task import Task

GROUPS = 20


def standard_error(task: Task, examples: Sequence[Any], predictions: Sequence[Prediction], metric: str) -> float:
    """The standard error of a metric over these examples.

    An accuracy is a share of independent examples: sqrt(p (1 - p) / n). For everything else the examples are divided
    into 20 groups and the metric is taken without each of them in turn (delete-a-group jackknife; Kott, 2001).
    """
    if len(examples) < 2:
        return 0.0
    if metric == "accuracy" and not isinstance(examples[0], TaggedExample):
        share = score(task, examples, predictions)[metric]
        return math.sqrt(share * (1 - share) / len(examples))
    groups = min(GROUPS, len(examples))
    member = _groups(examples, groups)
    left = []
    for group in range(groups):
        kept = [index for index in range(len(examples)) if member[index] != group]
        left.append(score(task, [examples[i] for i in kept], [predictions[i] for i in kept])[metric])
    mean = sum(left) / groups
    return math.sqrt((groups - 1) / groups * sum((value - mean) ** 2 for value in left))


def _groups(examples: Sequence[Any], groups: int) -> list[int]:
    """A group for each example, of equal sizes, by a hash of their names: neighbours are often alike."""
    labels = [f"{index}:{example.name}" for index, example in enumerate(examples)]
    names = [hashlib.blake2b(label.encode(errors="replace")).digest() for label in labels]
    member = [0] * len(examples)
    for rank, index in enumerate(sorted(range(len(examples)), key=names.__getitem__)):
        member[index] = rank % groups
    return member
