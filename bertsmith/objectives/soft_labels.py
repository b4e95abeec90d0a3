"""Labels together with what a fine-tuned teacher says of the same examples (Hinton et al., 2015)."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from bertsmith.batch import Batch
from bertsmith.models.encoder import Encoded
from bertsmith.models.model import Model
from bertsmith.objectives.labelled import Labelled
from bertsmith.objectives.objective import Score


class SoftLabels:
    """(1 - share) x the loss of the labels + share x the distance to the teacher, summed over the same targets.

    The distance is T² KL(softmax(teacher / T) || softmax(student / T)) of each target: over its labels, its choices, or
    for a span over the tokens of its sequence, the mean of start and end. With T² its gradient is as large at any
    temperature T. For a regression it is the squared difference of the two scores, without a temperature. Class weights
    count for the labels alone.

    teacher: with the same head as the student, outputs in the same order and units, in evaluation mode, on the
    student's device.
    """

    weight = 1.0

    def __init__(self, hard: Labelled, teacher: Model, temperature: float, share: float) -> None:
        self.name, self.heads = hard.name, hard.heads
        self.hard, self.teacher = hard, teacher
        self.temperature, self.share = temperature, share

    def count(self, batch: Batch) -> int:
        """Labelled sequences, tokens or groups in the batch."""
        return self.hard.count(batch)

    def score(self, model: Model, encoded: Encoded, batch: Batch) -> Score:
        """The summed loss in fp32; what is correct is decided by the labels."""
        logits = self.hard.logits(model, encoded, batch)
        hard = self.hard.compare(logits, batch.targets[self.name].labels)
        soft = self._distance(logits, self._asked(batch))
        return replace(hard, loss=(1 - self.share) * hard.loss + self.share * soft)

    @torch.no_grad()
    def _asked(self, batch: Batch) -> Tensor:
        """What the teacher says of the targets, as Labelled.logits."""
        return self.hard.logits(self.teacher, self.teacher(batch), batch)

    def _distance(self, student: Tensor, teacher: Tensor) -> Tensor:
        task = self.hard.task
        if task.regression:
            return (student - teacher).square().sum()
        distance = self.temperature**2 * summed_kl(student / self.temperature, teacher / self.temperature)
        return distance / 2 if task.kind == "span" else distance


def summed_kl(student: Tensor, teacher: Tensor) -> Tensor:
    """KL(softmax(teacher) || softmax(student)) over dimension 1, summed over all others; () in nats.

    Places at which the teacher's logits are -inf are none, and the student's must be -inf there too.
    """
    absent = teacher == float("-inf")
    theirs = teacher.log_softmax(1).masked_fill(absent, 0.0)
    ours = student.log_softmax(1).masked_fill(absent, 0.0)
    return (theirs.exp() * (theirs - ours)).sum()
