"""Judging whether the second segment belongs after the first (next sentence prediction, sentence order)."""

from __future__ import annotations

from bertsmith.batch import Batch
from bertsmith.models.encoder import Encoded
from bertsmith.models.model import Model
from bertsmith.objectives.objective import Score, count_targets, cross_entropy


class Pair:
    """Cross-entropy of the pair's label from the pooled first token; which pairs there are is the cut's business."""

    name = "pair"
    heads: tuple[str, ...] = ("pair",)
    weight = 1.0

    def count(self, batch: Batch) -> int:
        """Labelled sequences in the batch."""
        return count_targets(batch, self.name)

    def score(self, model: Model, encoded: Encoded, batch: Batch) -> Score:
        """Rows of the target are sequences of the batch."""
        target = batch.targets[self.name]
        assert encoded.pooled is not None, "a model with a pair head has a pooler"
        logits = model.pair(encoded.pooled.index_select(0, target.rows))
        return cross_entropy(logits, target.labels)
