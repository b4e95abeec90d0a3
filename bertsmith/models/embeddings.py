"""Token ids, positions and types to vectors."""

from __future__ import annotations

from torch import Tensor, nn

from bertsmith.models.config import EncoderConfig
from bertsmith.models.dropout import dropout


class Embeddings(nn.Module):
    """The sum of word, position and type embeddings, normalised and dropped out at the width of the embeddings.

    mapping: from there to the width of the encoder, None where the two are one (Lan et al., 2019, section 3.1).
    types: None where tokens have none; with a single one it belongs to every token, whatever the batch says.
    """

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        width = config.embedding_size
        self.probability = config.dropout
        self.position_offset = config.position_offset
        self.words = nn.Embedding(config.vocab_size, width)
        self.positions = nn.Embedding(config.max_positions + config.position_offset, width)
        self.types = nn.Embedding(config.token_types, width) if config.token_types else None
        self.norm = nn.LayerNorm(width, eps=config.layer_norm_eps)
        self.mapping = nn.Linear(width, config.hidden_size) if config.has_mapping else None

    def forward(self, token_ids: Tensor, type_ids: Tensor, positions: Tensor) -> Tensor:
        """(tokens,) int64 each, positions from 0 -> (tokens, hidden)."""
        return self.mapped(self.narrow(token_ids, type_ids, positions))

    def narrow(self, token_ids: Tensor, type_ids: Tensor, positions: Tensor) -> Tensor:
        """The same before the mapping, (tokens, width of the embeddings)."""
        summed = self.words(token_ids)
        if self.types is not None:
            summed = summed + (self.types(type_ids) if self.types.num_embeddings > 1 else self.types.weight[0])
        summed = summed + self.positions(positions + self.position_offset if self.position_offset else positions)
        return dropout(self.norm(summed), self.probability if self.training else 0.0)

    def mapped(self, embedded: Tensor) -> Tensor:
        """(rows, width of the embeddings) -> (rows, hidden)."""
        return embedded if self.mapping is None else self.mapping(embedded)
