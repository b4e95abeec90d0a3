"""What every objective offers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch.nn.functional as F
from torch import Tensor

from bertsmith.batch import Batch
from bertsmith.models.encoder import Encoded
from bertsmith.models.model import Model


@dataclass(frozen=True)
class Score:
    """loss: () fp32, the SUM over the targets in nats, never a mean, so that micro-batches and ranks add up.

    correct: () int64, targets whose best class is the label. count: targets.
    """

    loss: Tensor
    correct: Tensor
    count: int


class Objective(Protocol):
    """name: its key in Batch.targets and in `objectives.use`. heads: the heads it needs. weight: times its mean loss,
    in what is trained; 0 = it is only looked at.
    """

    name: str
    heads: tuple[str, ...]
    weight: float

    def count(self, batch: Batch) -> int:
        """Targets in the batch, known before anything is computed."""
        ...

    def score(self, model: Model, encoded: Encoded, batch: Batch) -> Score:
        """The summed loss over the batch's targets."""
        ...


def count_targets(batch: Batch, name: str) -> int:
    """Targets of the named objective; 0 when the batch has none of them."""
    return batch.targets[name].rows.numel() if name in batch.targets else 0


def cross_entropy(logits: Tensor, labels: Tensor) -> Score:
    """Scores logits (rows, classes) against labels (rows,); log-softmax in fp32 whatever the logits' type."""
    loss = F.cross_entropy(logits.float(), labels, reduction="sum")
    return Score(loss, (logits.detach().argmax(-1) == labels).sum(), labels.numel())
