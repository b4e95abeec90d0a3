"""Log probabilities of chosen words, row by row, over the tokens that a tokenizer really has."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from bertsmith.models.model import Model

CPU_ROWS, GPU_ROWS = 64, 1024  # rows whose logits are held at once: on a CPU they stay in its cache


class Restored(NamedTuple):
    """log_probabilities: (rows,) float32, nats. correct: (rows,) bool, scored above every other token (a tie is not).

    Both on the CPU.
    """

    log_probabilities: Tensor
    correct: Tensor


def asked_rows(hidden_states: Tensor, rows: np.ndarray, labels: np.ndarray) -> tuple[Tensor, Tensor]:
    """The hidden states (tokens, hidden) of these rows, and their labels, on the same device."""
    device = hidden_states.device
    return hidden_states.index_select(0, torch.from_numpy(rows).to(device)), torch.from_numpy(labels).to(device)


def restore(model: Model, hidden_rows: Tensor, labels: Tensor, vocab_size: int) -> Restored:
    """What the masked-LM head says of labels (rows,) at hidden_rows (rows, hidden).

    Embeddings beyond `vocab_size` fill a published matrix up to a round size; no text can hold them, so they take no
    part in the softmax and can never be an answer.
    """
    head, embedding = model.masked_lm_head()
    embedding, bias = embedding[:vocab_size], head.bias[:vocab_size]
    size = GPU_ROWS if hidden_rows.is_cuda else CPU_ROWS
    found: list[Tensor] = []
    correct: list[Tensor] = []
    for rows, gold in zip(hidden_rows.split(size), labels.split(size), strict=True):
        logits = F.linear(head.features(rows), embedding, bias).float()
        right = logits.gather(1, gold[:, None])
        found.append(right.squeeze(1) - logits.logsumexp(1))
        correct.append((logits >= right).sum(1) == 1)
    if not found:
        return Restored(torch.zeros(0), torch.zeros(0, dtype=torch.bool))
    return Restored(torch.cat(found).cpu(), torch.cat(correct).cpu())
