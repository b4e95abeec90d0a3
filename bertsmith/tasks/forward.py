"""Sequences of any length through a model: sorted by length, a bounded number of tokens at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

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
    "POOL",
    "TOKENS_PER_BATCH",
    "TokenSequence",
    "batches",
    "device_of",
    "pair",
    "read_ahead",
    "require_head",
    "sequences_of",
    "single",
    "starts_of",
]

TOKENS_PER_BATCH = {"cpu": 1024, "cuda": 4096}
"""Tokens of one forward pass on each kind of device: enough to keep it busy, little enough for a CPU's caches (a
BERT-base answers 10 % faster than with 4,096) and any memory."""

POOL = 512
"""Items that are sorted by length together: bounds memory whatever their number."""

T = TypeVar("T")
P = TypeVar("P")


def read_ahead(items: Iterable[T], prepare: Callable[[list[T]], P]) -> Iterator[tuple[list[T], P]]:
    """The items in pools, each with what `prepare` (tokenisation) made of it.

    While the caller computes with one pool, a thread prepares the next. A few items never need one: starting it would
    take longer than they do.
    """
    rest = iter(items)

    def take() -> tuple[list[T], P | None]:
        pool = list(islice(rest, POOL))
        return pool, prepare(pool) if pool else None

    pool, prepared = take()
    if len(pool) < POOL:
        if prepared is not None:
            yield pool, prepared
        return
    with ThreadPoolExecutor(1) as thread:
        while prepared is not None:
            following = thread.submit(take)
            yield pool, prepared
            pool, prepared = following.result()


def sequences_of(examples: Examples, token_ids: npt.NDArray[np.int64]) -> list[TokenSequence]:
    """The sequences that a cut made, with these ids (its own, or those after masking): (tokens,) int64."""
    ends = np.cumsum(examples.lengths)
    return [
        TokenSequence(token_ids[start:stop], int((examples.type_ids[start:stop] == 0).sum()))
        for start, stop in zip(ends - examples.lengths, ends, strict=True)
    ]


def batches(
    sequences: Sequence[TokenSequence], device: torch.device, budget: int = 0
) -> Iterator[tuple[list[int], Batch]]:
    """Every sequence once, longest first, as (indices into `sequences`, their batch) of at most `budget` tokens each.

    budget: 0 = TOKENS_PER_BATCH. A sequence above it goes alone. Longest first, so that a lack of memory shows at once.
    Raises `Stopped` or `Interrupted` between batches when a signal has asked for it.
    """
    budget = budget or TOKENS_PER_BATCH[device.type]
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
