"""Worker processes that end, all of them, as soon as one dies or a signal asks to stop."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType

from bertsmith import interrupt
from bertsmith.data.pool import Item, Pool, Result

LOOK_EVERY = 0.2  # seconds


class WatchedPool(Pool[Item, Result]):
    """A pool whose reader never waits long for an answer that will not come, though a chunk may take a minute.

    The workers are ended at once, their pipes close, and whoever waits for one of them reads that.
    """

    def __init__(self, task: Callable[[Item], Result], count: int) -> None:
        super().__init__(task, count)
        self._left = threading.Event()
        self._watcher = threading.Thread(target=self._watch, daemon=True)
        self._watcher.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._left.set()
        self._watcher.join()
        super().__exit__(kind, error, trace)

    def _watch(self) -> None:
        while not self._left.wait(LOOK_EVERY):
            if interrupt.requested() or any(worker.poll() is not None for worker in self._workers):
                for worker in self._workers:
                    worker.kill()
                return
