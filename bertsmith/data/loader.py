"""A stream of batches, made ahead of the training step by worker processes that end with it."""

from __future__ import annotations

import atexit
import os
import signal
import sys
import threading
from collections.abc import Iterator
from functools import partial
from types import FrameType
from typing import Protocol

from torch.utils.data import DataLoader, Dataset

from bertsmith import interrupt
from bertsmith.batch import Batch
from bertsmith.data.batches import MicroBatch
from bertsmith.data.processes import die_with_parent
from bertsmith.errors import BertsmithError

EXIT_SECONDS = 60  # how long a loader worker outlives a SIGTERM, so that the step it feeds can end


class Source(Protocol):
    """Whatever has batches for every global step."""

    def place(self, step: int) -> tuple[int, int]:
        """Epoch and step within it of a global step (from 0)."""
        ...

    def arrays(self, step: int) -> list[MicroBatch]:
        """This rank's micro-batches of a global step (from 0)."""
        ...


class _Steps(Dataset[list[MicroBatch] | BertsmithError]):
    """The source as torch's loader wants it: one item is one global step, or the error it ended in."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def __getitem__(self, index: int) -> list[MicroBatch] | BertsmithError:
        try:
            return self._source.arrays(index)
        except BertsmithError as error:  # raised in a worker, torch would wrap it in a page of traceback
            return error


def stream(source: Source, start: int, stop: int, workers: int) -> Iterator[list[Batch]]:
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
