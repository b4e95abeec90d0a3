"""Sequences of any length through a model: sorted by length, a bounded number of tokens at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import torch

from bertsmith import interrupt
from bertsmith.batch import Batch, flat_batch
from bertsmith.data.cuts.examples import Examples
from bertsmith.data.sequences import TokenSequence, pair, single, type_ids_of
from bertsmith.errors import UsageError
from bertsmith.models.model import Model

__all__ = [
    "TOKENS_PER_BATCH",
    "TokenSequence",
    "batches",
    "device_of",
    "pair",
    "require_head",
    "sequences_of",
    "single",
    "starts_of",
]

TOKENS_PER_BATCH = 4096
"""Tokens of one forward pass: enough to keep the processor busy, little enough for its caches and any memory."""


def sequences_of(examples: Examples, token_ids: npt.NDArray[np.int64]) -> list[TokenSequence]:
    """The sequences that a cut made, with these ids (its own, or those after masking): (tokens,) int64."""
    ends = np.cumsum(examples.lengths)
    return [
        TokenSequence(token_ids[start:stop], int((examples.type_ids[start:stop] == 0).sum()))
        for start, stop in zip(ends - examples.lengths, ends, strict=True)
    ]


def batches(
    sequences: Sequence[TokenSequence], device: torch.device, budget: int = TOKENS_PER_BATCH
) -> Iterator[tuple[list[int], Batch]]:
    """Every sequence once, longest first, as (indices into `sequences`, their batch) of at most `budget` tokens each.

    A sequence above the budget goes alone. Longest first, so that a lack of memory shows at once. Raises
    `Stopped` or `Interrupted` between batches when a signal has asked for it.
    """
    order = sorted(range(len(sequences)), key=lambda index: -len(sequences[index].token_ids))
    chosen: list[int] = []
    tokens = 0
    for index in order:
        length = len(sequences[index].token_ids)
        if chosen and tokens + length > budget:
            yield chosen, _batch([sequences[i] for i in chosen], device)
            chosen, tokens = [], 0
        chosen.append(index)
        tokens += length
    if chosen:
        yield chosen, _batch([sequences[i] for i in chosen], device)


def _batch(sequences: list[TokenSequence], device: torch.device) -> Batch:
    interrupt.check()
    token_ids = np.concatenate([sequence.token_ids for sequence in sequences]).astype(np.int64)
    lengths = torch.tensor([len(sequence.token_ids) for sequence in sequences])
    type_ids = torch.from_numpy(type_ids_of(sequences))
    return flat_batch(torch.from_numpy(token_ids), type_ids, lengths).to(device)


def starts_of(batch: Batch) -> np.ndarray:
    """Row of the first token of every sequence of a flat batch: (sequences,) int64."""
    lengths = batch.lengths.cpu().numpy()
    return np.cumsum(lengths) - lengths


def require_head(model: Model, head: str, ability: str) -> None:
    """Raise UsageError, naming the heads that are there, unless the model has this one with trained weights."""
    if head not in model.trained_heads:
        has = ", ".join(sorted(model.trained_heads)) or "none"
        raise UsageError(f"this model cannot {ability}: it has no trained {head} head (trained heads: {has})")


def device_of(model: torch.nn.Module) -> torch.device:
    """Where the model's weights are."""
    return next(model.parameters()).device
