"""Batches as a function of the global step: the same samples for any number of ranks, workers and micro-batches."""

from __future__ import annotations

import atexit
import os
import signal
import sys
import threading
from collections.abc import Iterator
from functools import cache, partial
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import DataLoader, Dataset

from bertsmith import console, interrupt
from bertsmith.batch import Batch, Target, flat_batch
from bertsmith.data.config import CutConfig, MaskingConfig
from bertsmith.data.corpus import Corpus, Split
from bertsmith.data.cuts import cut_for
from bertsmith.data.masking import mask
from bertsmith.data.plans import Plans
from bertsmith.data.processes import die_with_parent
from bertsmith.data.randomness import key, permute
from bertsmith.errors import BertsmithError, UsageError

if TYPE_CHECKING:
    from bertsmith.tokenizers.tokenizer import SpecialIds

MASKED_LM, PAIR = "masked_lm", "pair"
EXIT_SECONDS = 60  # how long a loader worker outlives a SIGTERM, so that the step it feeds can end


class MicroBatch(NamedTuple):
    """A batch as numpy arrays: what loader workers send, so that nothing goes through shared memory."""

    token_ids: npt.NDArray[np.int64]
    type_ids: npt.NDArray[np.int64]
    lengths: npt.NDArray[np.int64]
    targets: dict[str, tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]

    def to_batch(self) -> Batch:
        """The same as tensors."""
        targets = {
            name: Target(torch.from_numpy(rows), torch.from_numpy(labels))
            for name, (rows, labels) in self.targets.items()
        }
        ids, types, lengths = (torch.from_numpy(a) for a in (self.token_ids, self.type_ids, self.lengths))
        return flat_batch(ids, types, lengths, targets)


class BatchSource:
    """All batches of a run. `step(i)` is what this rank trains on in global step i, whoever asks and in what order.

    An epoch is the plan's rows in an order of its own; what does not fill a global batch at its end is dropped.
    A global batch is divided among the ranks, a rank's share into micro-batches of at most `micro_batch` sequences
    (0 = no division), the same number of them on every rank.
    """

    def __init__(
        self,
        corpus: Corpus,
        cut: CutConfig,
        masking: MaskingConfig,
        batch_size: int,
        seed: int,
        purpose: Split = "train",
        rank: int = 0,
        world: int = 1,
        micro_batch: int = 0,
        plans: Path | None = None,
        objectives: tuple[str, ...] = (MASKED_LM, PAIR),
        special: SpecialIds | None = None,
    ) -> None:
        """batch_size: sequences of a global step. plans: folder where plans are kept, None = in memory.

        special: the tokenizer's special ids, from the corpus' own tokenizer when None.
        """
        masking.check()
        if batch_size < world:
            raise UsageError(f"training.batch_size is {batch_size}, fewer than the {world} ranks that share it")
        self.corpus, self.masking, self.objectives = corpus, masking, objectives
        self.batch_size, self.purpose = batch_size, purpose
        self._seed = int(key(seed, purpose))
        self.rank, self.world, self.micro_batch = rank, world, micro_batch
        self.special = special or corpus.tokenizer.special
        self.cut = cut_for(cut, self.special, self._seed)
        if PAIR in objectives and not self.cut.has_pairs:
            raise UsageError(
                f"objectives.use: {PAIR!r} needs a cut that makes pairs, and cut.name = {cut.name!r} makes none"
            )
        if self.cut.has_pairs and purpose == "train" and rank == 0 and _lonely(corpus):
            _warn_once(
                "a part of the corpus holds a single document, so its random second segments come from that same "
                "document; prepare text with more documents (separated by a blank line)"
            )
        self._plans = Plans(corpus, self.cut, cut, self._seed, plans)
        self._first_steps = [0]  # the first global step of each epoch reached so far

    def rows_per_epoch(self, epoch: int) -> int:
        """Sequences in an epoch's plan."""
        return self._plans.count(epoch)

    def steps_per_epoch(self, epoch: int) -> int:
        """Whole global batches in an epoch; BertsmithError when there is none."""
        rows = self.rows_per_epoch(epoch)
        if rows < self.batch_size:
            raise BertsmithError(
                f"the {self.purpose} part of the corpus has {rows} sequences, fewer than one batch of "
                f"{self.batch_size}; prepare more text or set training.batch_size lower"
            )
        return rows // self.batch_size

    def place(self, step: int) -> tuple[int, int]:
        """Epoch and step within it of a global step (from 0)."""
        while step >= self._first_steps[-1]:
            self._first_steps.append(self._first_steps[-1] + self.steps_per_epoch(len(self._first_steps) - 1))
        epoch = int(np.searchsorted(self._first_steps, step, side="right")) - 1
        return epoch, step - self._first_steps[epoch]

    def indices(self, step: int) -> tuple[int, npt.NDArray[np.int64]]:
        """Epoch of a global step and the rows of the plan in it, over all ranks: (batch_size,) int64."""
        epoch, within = self.place(step)
        positions = np.arange(within * self.batch_size, (within + 1) * self.batch_size)
        return epoch, permute(key(self._seed, "order", epoch), self.rows_per_epoch(epoch), positions)

    def step(self, step: int) -> list[Batch]:
        """This rank's micro-batches of a global step (from 0)."""
        return [micro.to_batch() for micro in self.arrays(step)]

    def arrays(self, step: int) -> list[MicroBatch]:
        """The same as numpy arrays."""
        epoch, indices = self.indices(step)
        share = _share(indices, self.rank, self.world)
        largest = -(-self.batch_size // self.world)
        pieces = -(-largest // self.micro_batch) if self.micro_batch else 1
        return [self.make(epoch, _share(share, piece, pieces)) for piece in range(pieces)]

    def make(self, epoch: int, indices: npt.NDArray[np.int64]) -> MicroBatch:
        """The sequences of chosen rows of an epoch's plan, masked as that epoch masks them."""
        rows = self._plans.rows(epoch)[indices]
        examples = self.cut.build(self.corpus, rows)
        targets = {}
        token_ids = examples.token_ids
        if MASKED_LM in self.objectives:
            masked = mask(examples, self.masking, self.special, self.corpus.vocab_size, self._seed, epoch, indices)
            token_ids = masked.token_ids
            targets[MASKED_LM] = (masked.rows, masked.labels)
        if PAIR in self.objectives:
            targets[PAIR] = (np.arange(examples.labels.size), examples.labels)
        return MicroBatch(token_ids, examples.type_ids, examples.lengths, targets)


def _lonely(corpus: Corpus) -> bool:
    """Whether a part has only one document: random segments come from the same part."""
    return any(part.documents.size == 2 for part in corpus.parts)


@cache
def _warn_once(line: str) -> None:
    console.warn(line)


def _share(values: npt.NDArray[np.int64], number: int, of: int) -> npt.NDArray[np.int64]:
    """Contiguous share `number` of `of` nearly equal ones."""
    return values[number * values.size // of : (number + 1) * values.size // of]


class _Steps(Dataset[list[MicroBatch] | BertsmithError]):
    """The source as torch's loader wants it: one item is one global step, or the error it ended in."""

    def __init__(self, source: BatchSource) -> None:
        self._source = source

    def __getitem__(self, index: int) -> list[MicroBatch] | BertsmithError:
        try:
            return self._source.arrays(index)
        except BertsmithError as error:  # raised in a worker, torch would wrap it in a page of traceback
            return error


def stream(source: BatchSource, start: int, stop: int, workers: int) -> Iterator[list[Batch]]:
    """This rank's micro-batches of global steps start .. stop - 1, in order.

    They are made by `workers` processes (0 = this one). Close the iterator to end the workers; they also end with
    their parent, however it dies.
    """
    if stop > start:
        source.place(start)  # the first plan is made before workers are forked, so that they share it
    loader = DataLoader(
        _Steps(source),
        batch_size=None,
        sampler=range(start, stop),
        num_workers=workers,
        collate_fn=_unchanged,
        worker_init_fn=partial(_start_worker, os.getpid()),
        prefetch_factor=4 if workers else None,
        multiprocessing_context="fork" if workers and sys.platform == "linux" else None,
    )
    steps = [iter(loader)]
    atexit.register(steps.clear)  # ends the workers, before multiprocessing waits for them at exit
    if workers and threading.current_thread() is threading.main_thread():
        # torch would raise wherever the main thread is when a worker dies; without its handler `next` finds out.
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    try:
        while (arrays := _next(steps[0])) is not None:
            if isinstance(arrays, BertsmithError):
                raise arrays
            yield [micro.to_batch() for micro in arrays]
    finally:
        atexit.unregister(steps.clear)
        steps.clear()


def _next(steps: Iterator[list[MicroBatch] | BertsmithError]) -> list[MicroBatch] | BertsmithError | None:
    try:
        return next(steps, None)
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        interrupt.check()
        raise BertsmithError(
            "a loader worker ended early; the system may be short of memory: type the same line again, "
            "with fewer training.workers if it keeps happening"
        ) from None


def _unchanged(item: list[MicroBatch] | BertsmithError) -> list[MicroBatch] | BertsmithError:
    return item


def _start_worker(parent: int, number: int) -> None:
    """Tie a loader worker to its parent: killed with it, but not stopped before it by a signal to the whole group."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _end_later)
    die_with_parent(parent)


def _end_later(number: int, frame: FrameType | None) -> None:
    signal.alarm(EXIT_SECONDS)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # a second one ends the worker at once
