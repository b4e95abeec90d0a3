"""One vector for a text, from the states of its tokens."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

Pooling = Literal["mean", "cls"]


def pool(hidden_states: Tensor, lengths: Tensor, pooling: Pooling) -> Tensor:
    """The vectors of sequences laid end to end: (tokens, hidden), lengths (sequences,) -> (sequences, hidden) fp32.

    mean: over all tokens of a sequence, special ones included; cls: the state of its first token.
    """
    lengths = lengths.to(hidden_states.device)
    if pooling == "cls":
        return hidden_states.index_select(0, lengths.cumsum(0) - lengths).float()
    return torch.segment_reduce(hidden_states.float(), "mean", lengths=lengths, axis=0)
