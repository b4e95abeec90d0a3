"""Predicting the masked tokens (Devlin et al., 2018)."""

from __future__ import annotations

from bertsmith.batch import Batch
from bertsmith.models.encoder import Encoded
from bertsmith.models.layout import filled_rows
from bertsmith.models.model import Model
from bertsmith.objectives.objective import Score, count_targets
from bertsmith.objectives.vocabulary_loss import vocabulary_loss


class MaskedLM:
    """Cross-entropy of the original tokens at the chosen positions; the head sees those rows only."""

    name = "masked_lm"
    heads: tuple[str, ...] = ("masked_lm",)

    def __init__(self, weight: float = 1.0) -> None:
        self.weight = weight

    def count(self, batch: Batch) -> int:
        """Chosen positions in the batch."""
        return count_targets(batch, self.name)

    def score(self, model: Model, encoded: Encoded, batch: Batch) -> Score:
        """Rows of the target are tokens of the flat batch."""
        target = batch.targets[self.name]
        head, word_embedding = model.masked_lm_head()
        features = head.features(encoded.hidden_states.index_select(0, filled_rows(target.rows)))
        loss, correct = vocabulary_loss(features, word_embedding, head.bias, target.labels)
        return Score(loss, correct, target.labels.numel())
