"""What turns hidden states into scores. `HEADS` is the explicit table of pretraining heads; a new one is one class and
one line in it. `TaskScores` is every task head, built as the family's table of forms says.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bertsmith.models.config import EncoderConfig
from bertsmith.models.dropout import dropout
from bertsmith.models.encoder import Encoded
from bertsmith.models.families.family import HeadForm
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


class TaskScores(nn.Module):
    """A task head of any kind and family: reads tokens or the first one, and gives `outputs` scores for each row.

    dense: a layer before the scores, None where the form has none. Dropout is that of the encoder's hidden states.
    """

    def __init__(self, config: EncoderConfig, form: HeadForm, outputs: int) -> None:
        super().__init__()
        self.form = form
        self.probability = config.dropout
        self.dense = nn.Linear(config.hidden_size, config.hidden_size) if form.dense else None
        self.output = nn.Linear(config.hidden_size, outputs)

    def forward(self, encoded: Encoded, lengths: Tensor) -> Tensor:
        """Encoded sequences of these lengths (sequences,) -> (tokens or sequences, outputs)."""
        probability = self.probability if self.training else 0.0
        rows = self._rows(encoded, lengths)
        if self.form.drops_input:
            rows = dropout(rows, probability)
        if self.dense is not None:
            rows = self.dense(rows)
            rows = dropout(rows.tanh() if self.form.dense == "tanh" else rows.relu(), probability)
        return self.output(rows)

    def _rows(self, encoded: Encoded, lengths: Tensor) -> Tensor:
        """What the head reads: (tokens or sequences, hidden)."""
        if self.form.reads == "tokens":
            return encoded.hidden_states
        if self.form.reads == "pooled":
            assert encoded.pooled is not None, "a model whose head reads the pooled token has a pooler"
            return encoded.pooled
        starts = torch.cumsum(lengths, 0) - lengths
        return encoded.hidden_states.index_select(0, starts.to(encoded.hidden_states.device))
