"""What turns hidden states into scores. `HEADS` is the explicit table; a new head is one class and one line in it."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bertsmith.models.config import EncoderConfig
from bertsmith.models.layers import ACTIVATIONS


class MaskedLMHead(nn.Module):
    """Dense to the width of the embeddings, activation, LayerNorm, then the word embedding as output matrix with a bias
    of its own (tied decoder).
    """

    needs_pooler = False

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.activation = ACTIVATIONS[config.activation]
        self.transform = nn.Linear(config.hidden_size, config.embedding_size)
        self.norm = nn.LayerNorm(config.embedding_size, eps=config.layer_norm_eps)
        self.bias = nn.Parameter(torch.empty(config.vocab_size))

    def features(self, hidden_rows: Tensor) -> Tensor:
        """(rows, hidden) -> (rows, embedding), what is compared with every word's embedding."""
        return self.norm(self.activation(self.transform(hidden_rows)))

    def forward(self, hidden_rows: Tensor, word_embedding: Tensor) -> Tensor:
        """(rows, hidden), (vocabulary, embedding) -> logits (rows, vocabulary)."""
        return F.linear(self.features(hidden_rows), word_embedding, self.bias)


class PairHead(nn.Linear):
    """Judges two segments from the pooled first token: class 0 = the second follows the first, 1 = it does not, because
    it is a random one or the two are swapped.
    """

    needs_pooler = True

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__(config.hidden_size, 2)


HEADS: dict[str, type[MaskedLMHead] | type[PairHead]] = {"masked_lm": MaskedLMHead, "pair": PairHead}
