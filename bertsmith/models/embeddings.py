"""Token ids, positions and types to vectors."""

from __future__ import annotations

from torch import Tensor, nn

from bertsmith.models.config import EncoderConfig
from bertsmith.models.dropout import dropout


class Embeddings(nn.Module):
    """The sum of word, position and type embeddings, normalised and dropped out."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.probability = config.dropout
        self.words = nn.Embedding(config.vocab_size, config.hidden_size)
        self.positions = nn.Embedding(config.max_positions, config.hidden_size)
        self.types = nn.Embedding(config.token_types, config.hidden_size)
        self.norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)

    def forward(self, token_ids: Tensor, type_ids: Tensor, positions: Tensor) -> Tensor:
        """(tokens,) int64 each -> (tokens, hidden)."""
        summed = self.words(token_ids) + self.types(type_ids) + self.positions(positions)
        return dropout(self.norm(summed), self.probability if self.training else 0.0)
