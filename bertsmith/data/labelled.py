"""Labelled examples as batches: a function of the global step, as those of a corpus are."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from bertsmith.batch import Batch
from bertsmith.data.batches import MicroBatch, share_of
from bertsmith.data.sequences import TokenSequence, type_ids_of
from bertsmith.errors import BertsmithError, UsageError
from bertsmith.randomness import key, permutation

LABELLED = "labelled"  # the key of the targets
POOL = 50  # batches: as many as Hugging Face's sampler of similar lengths takes together
Kind = Literal["sequence", "tokens", "span", "choice", "pair"]
Indices = npt.NDArray[np.int64]


class LabelledExample(NamedTuple):
    """sequences: what the model reads: one, a question's choices, or the two of a pair. labels: what is wanted of it.

    rows: for kind tokens the places in the sequence that have a label, (targets,); empty for the other kinds.
    labels: tokens (targets,) int64; span (1, 2) int64, first and last token in the sequence; sequence (1,) int64, or
    float32 for a regression; choice (1,) int64; pair as its objective reads them, one row.
    """

    sequences: tuple[TokenSequence, ...]
    rows: npt.NDArray[np.int64]
    labels: npt.NDArray[Any]


class LabelledSource:
    """All batches of a fine-tuning run. `step(i)` is what this rank trains on in global step i.

    Each epoch holds every example once, in an order of its own; its last batch is smaller where they do not divide.
    The examples of a batch are of similar length, which leaves attention little to pad: the order is cut into pools of
    POOL batches, each sorted by length, and the batches then follow each other in a random order.

    A batch is `batch_size` examples, divided among the ranks; a rank's share is divided into micro-batches of at most
    `micro_batch` examples (0 = any number) and `tokens_at_once` tokens (an example of more stands alone).
    """

    def __init__(
        self,
        examples: Sequence[LabelledExample],
        kind: Kind,
        batch_size: int,
        seed: int,
        rank: int = 0,
        world: int = 1,
        micro_batch: int = 0,
        tokens_at_once: int = 0,
    ) -> None:
        """BertsmithError without examples, UsageError for a batch smaller than the number of ranks."""
        if not examples:
            raise BertsmithError("the training part holds no labelled example")
        if batch_size < world:
            raise UsageError(f"training.batch_size is {batch_size}, fewer than the {world} ranks that share it")
        self.examples, self.kind, self.batch_size = examples, kind, batch_size
        self.rank, self.world = rank, world
        self.micro_batch, self.tokens_at_once = micro_batch or batch_size, tokens_at_once
        self._seed = int(key(seed, "finetuning"))
        self._lengths = np.fromiter(map(self.tokens_of, range(len(examples))), np.int64, len(examples))
        self._ordered: tuple[int, Indices] = (-1, np.zeros(0, dtype=np.int64))  # the epoch asked for last, its order

    def steps_per_epoch(self, epoch: int) -> int:
        """Batches in an epoch, the smaller last one included."""
        return -(-len(self.examples) // self.batch_size)

    def place(self, step: int) -> tuple[int, int]:
        """Epoch and step within it of a global step (from 0)."""
        return divmod(step, self.steps_per_epoch(0))

    def indices(self, step: int) -> Indices:
        """The examples of a global step, over all ranks: (examples,)."""
        epoch, within = self.place(step)
        if self._ordered[0] != epoch:
            self._ordered = (epoch, self._order(epoch))
        return self._ordered[1][within * self.batch_size : (within + 1) * self.batch_size]

    def _order(self, epoch: int) -> Indices:
        """Every example once, (examples,)."""
        order = permutation(key(self._seed, "order", epoch), len(self.examples))
        full, size = len(order) // self.batch_size, self.batch_size * POOL
        head, rest = order[: full * self.batch_size], order[full * self.batch_size :]
        if not full:
            return rest
        pools = [head[start : start + size] for start in range(0, len(head), size)]
        alike = np.concatenate([pool[np.argsort(self._lengths[pool], kind="stable")] for pool in pools])
        batches = alike.reshape(full, self.batch_size)
        return np.concatenate([batches[permutation(key(self._seed, "batches", epoch), full)].reshape(-1), rest])

    def step(self, step: int) -> list[Batch]:
        """This rank's micro-batches of a global step (from 0)."""
        return [micro.to_batch() for micro in self.arrays(step)]

    def arrays(self, step: int) -> list[MicroBatch]:
        """The same as numpy arrays."""
        share = share_of(self.indices(step), self.rank, self.world)
        return [self.make(piece) for piece in self._divided(share)]

    def whole(self, step: int) -> MicroBatch:
        """The examples of a global step, of all ranks, in one piece."""
        return self.make(self.indices(step))

    def token_ids(self) -> Indices:
        """The ids of all tokens that the examples hold, sorted, each once."""
        used = np.zeros(0, dtype=bool)
        for sequence in chain.from_iterable(example.sequences for example in self.examples):
            largest = int(sequence.token_ids.max())
            if largest >= len(used):
                used = np.pad(used, (0, largest + 1 - len(used)))
            used[sequence.token_ids] = True
        return np.flatnonzero(used)

    def tokens_of(self, index: int) -> int:
        """Tokens of one example, over all its sequences."""
        return sum(len(sequence.token_ids) for sequence in self.examples[index].sequences)

    def _divided(self, indices: Indices) -> list[Indices]:
        pieces: list[list[int]] = []
        tokens = 0
        for index in indices.tolist():
            more = self.tokens_of(index)
            full = self.tokens_at_once and tokens + more > self.tokens_at_once
            if not pieces or full or len(pieces[-1]) == self.micro_batch:
                pieces.append([])
                tokens = 0
            pieces[-1].append(index)
            tokens += more
        return [np.array(piece, dtype=np.int64) for piece in pieces] or [indices]

    def make(self, indices: Indices) -> MicroBatch:
        """These examples as one batch; also of none, where a rank has no share of a small batch."""
        chosen = [self.examples[index] for index in indices.tolist()]
        sequences = list(chain.from_iterable(example.sequences for example in chosen))
        if not sequences:
            empty = np.zeros(0, dtype=np.int64)
            return MicroBatch(empty, empty, empty, {})
        lengths = np.fromiter((len(sequence.token_ids) for sequence in sequences), np.int64, len(sequences))
        token_ids = np.concatenate([sequence.token_ids for sequence in sequences]).astype(np.int64)
        rows = np.arange(len(chosen))
        groups = None
        if self.kind == "tokens":
            starts = np.cumsum(lengths) - lengths
            rows = np.concatenate([example.rows + start for example, start in zip(chosen, starts, strict=True)])
        elif self.kind in ("choice", "pair"):
            groups = np.repeat(rows, [len(example.sequences) for example in chosen])
        labels = np.concatenate([example.labels for example in chosen])
        return MicroBatch(token_ids, type_ids_of(sequences), lengths, {LABELLED: (rows, labels)}, groups)
