"""What fine-tuning trains: labels of sequences and tokens, numbers, answers in a text, one of several choices."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from bertsmith.batch import Batch
from bertsmith.errors import UsageError
from bertsmith.models.config import TaskHead
from bertsmith.models.encoder import Encoded
from bertsmith.models.model import Model
from bertsmith.objectives.objective import Score, count_targets

LABELLED = "labelled"
"""Its key in Batch.targets."""

CLOSE = 0.5
"""A predicted number counts as correct up to this distance."""


class Labelled:
    """The loss of a task head, as the published classes compute it, but summed over its targets.

    Batch.targets["labelled"], by kind of task: sequence: rows are sequences, labels int64 (n,), for regression float32;
    tokens: rows are tokens of the flat batch, labels int64 (n,); span: rows are sequences, labels int64 (n, 2), the
    first and last token of the answer counted within the sequence; choice: rows are groups in the order in which
    Batch.groups names them, labels int64 (n,), which sequence of its group is right.

    class_weights: a factor for the loss of each label, for sequences and tokens with labels. The sum is still divided
    by the number of targets, so weights whose mean over the targets is 1 keep the size of the loss.
    """

    name = LABELLED
    weight = 1.0

    def __init__(self, task: TaskHead, class_weights: Sequence[float] | None = None) -> None:
        if class_weights is not None and (task.regression or len(class_weights) != len(task.labels)):
            raise UsageError(f"class weights: {len(class_weights)} given for {len(task.labels)} labels")
        self.heads: tuple[str, ...] = (task.kind,)
        self.task = task
        self.class_weights = None if class_weights is None else torch.tensor(class_weights, dtype=torch.float32)

    def count(self, batch: Batch) -> int:
        """Labelled sequences, tokens or groups in the batch."""
        return count_targets(batch, self.name)

    def score(self, model: Model, encoded: Encoded, batch: Batch) -> Score:
        """The summed loss in fp32; a target is correct when the best class is the label, for a span both of them, for a
        number when it is within 0.5.
        """
        return self.compare(self.logits(model, encoded, batch), batch.targets[self.name].labels)

    def logits(self, model: Model, encoded: Encoded, batch: Batch) -> Tensor:
        """What a model with this head says of the targets, in fp32; -inf where a sequence or group has no such place.

        By kind: sequence and tokens (n, labels), of a regression (n, 1); span (n, longest, 2); choice (n, most).
        """
        logits = model.task_logits(encoded, batch).float()
        if self.task.kind == "span":
            logits = in_sequences(logits, batch)
        elif self.task.kind == "choice":
            logits = in_groups(logits, batch.groups)
        return logits.index_select(0, batch.targets[self.name].rows)

    def compare(self, logits: Tensor, labels: Tensor) -> Score:
        """The score of `logits` against the labels (n, ...) of the same targets."""
        if self.task.kind == "span":
            return _score_span(logits, labels)
        if self.task.regression:
            error = logits.squeeze(1) - labels.float()
            return Score(error.square().sum(), (error.detach().abs() <= CLOSE).sum(), labels.numel())
        weights = None if self.class_weights is None else self.class_weights.to(logits.device)
        loss = F.cross_entropy(logits, labels, weights, reduction="sum")
        return Score(loss, (logits.detach().argmax(-1) == labels).sum(), labels.numel())


def in_sequences(logits: Tensor, batch: Batch) -> Tensor:
    """Scores of tokens (tokens, n) as (sequences, longest, n); -inf where a sequence has no token."""
    lengths = batch.lengths
    numbers = torch.repeat_interleave(torch.arange(lengths.numel()), lengths).to(logits.device)
    grid = logits.new_full((lengths.numel(), int(lengths.max()), logits.shape[1]), float("-inf"))
    return grid.index_put((numbers, batch.positions), logits)


def in_groups(logits: Tensor, groups: Tensor) -> Tensor:
    """Scores of sequences (sequences,) as (groups, most in a group), groups (sequences,) standing side by side; -inf
    where a group has fewer.
    """
    _, numbers, sizes = torch.unique_consecutive(groups, return_inverse=True, return_counts=True)
    places = torch.arange(groups.numel(), device=groups.device) - (sizes.cumsum(0) - sizes)[numbers]
    grid = logits.new_full((sizes.numel(), int(sizes.max())), float("-inf"))
    return grid.index_put((numbers, places), logits)


def _score_span(logits: Tensor, labels: Tensor) -> Score:
    """logits (n, longest, 2), labels (n, 2): a softmax over the tokens for the start, and one for the end."""
    loss = F.cross_entropy(logits, labels, reduction="sum") / 2
    correct = (logits.detach().argmax(1) == labels).all(1).sum()
    return Score(loss, correct, len(labels))
