"""From which cosine on two texts are said to belong together: what is best for training pairs with labels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bertsmith.tasks.examples import TextExample
from bertsmith.tasks.finetuning_config import TaskConfig
from bertsmith.tasks.predictions import Compared

MOST = 1000  # pairs: enough for one number, few enough to be read at every validation


def threshold_sample(train: Sequence[TextExample]) -> list[TextExample]:
    """Training pairs, spread evenly, that a threshold is found on; none where they are not labelled 0 and 1."""
    if {example.label for example in train} != {0.0, 1.0}:
        return []
    count = min(MOST, len(train))
    return [train[index * len(train) // count] for index in range(count)]


def best_threshold(examples: Sequence[TextExample], predicted: Sequence[Compared]) -> float:
    """The cosine from which on pairs are best said to belong together (label 1): halfway between two neighbours.

    Of several that are as good it is the lowest; without examples it is the default.
    """
    if not examples:
        return TaskConfig.threshold
    order = np.argsort([pair.cosine for pair in predicted], kind="stable")
    cosines = np.array([pair.cosine for pair in predicted])[order]
    together = np.array([float(example.label or 0.0) > 0 for example in examples])[order]
    below = np.concatenate([[0], np.cumsum(~together)])  # right ones, with so many pairs below the threshold
    above = together.sum() - np.concatenate([[0], np.cumsum(together)])
    edges = np.concatenate([[-1.0], (cosines[1:] + cosines[:-1]) / 2, [1.0]])
    possible = np.concatenate([[True], cosines[1:] > cosines[:-1], [True]])  # equal cosines are not to be parted
    return float(np.clip(edges[int(np.where(possible, below + above, -1).argmax())], -1.0, 1.0))
