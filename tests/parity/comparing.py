"""A flat batch as transformers takes it, and what it returns as ours."""

from __future__ import annotations

import torch
from torch import Tensor

from bertsmith.batch import Batch


def assert_equal(found: Tensor | None, expected: Tensor) -> None:
    """Equal to 1e-5, absolutely."""
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


def padded(batch: Batch, padding: int = 0) -> dict[str, Tensor]:
    """The batch as transformers takes it."""
    lengths = batch.lengths.tolist()

    def grid(values: Tensor, filling: int) -> Tensor:
        return torch.nn.utils.rnn.pad_sequence(list(values.split(lengths)), batch_first=True, padding_value=filling)

    mask = grid(torch.ones_like(batch.token_ids), 0)
    return {
        "input_ids": grid(batch.token_ids, padding),
        "token_type_ids": grid(batch.type_ids, 0),
        "attention_mask": mask,
    }


def flat(values: Tensor, batch: Batch) -> Tensor:
    """(sequences, longest, ...) of theirs -> (tokens, ...)."""
    return torch.cat([row[:length] for row, length in zip(values, batch.lengths.tolist(), strict=True)])
