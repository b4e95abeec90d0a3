"""Predicting the masked tokens (Devlin et al., 2018)."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from bertsmith.batch import Batch
from bertsmith.models.encoder import Encoded
from bertsmith.models.model import Model
from bertsmith.objectives.objective import Score, count_targets
from bertsmith.objectives.vocabulary_loss import vocabulary_loss

ROWS_MULTIPLE = 32  # chosen rows are filled up to it: as in models.layout, new shapes are dear and a few rows are not


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
        features = head.features(encoded.hidden_states.index_select(0, filled_up(target.rows)))
        loss, correct = vocabulary_loss(features, word_embedding, head.bias, target.labels)
        return Score(loss, correct, target.labels.numel())


def filled_up(rows: Tensor) -> Tensor:
    """Rows (n, ...) with more of 0 after them, so that their number is a multiple of ROWS_MULTIPLE."""
    missing = -len(rows) % ROWS_MULTIPLE
    return F.pad(rows, (0, 0) * (rows.dim() - 1) + (0, missing)) if missing else rows
