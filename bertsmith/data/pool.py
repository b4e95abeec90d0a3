"""Worker processes that apply one function to many items, in order, at bounded memory.

The workers are started as commands with pipes, not through multiprocessing: nothing of the parent is inherited (no
locks, no threads, no half-written buffers), a caller's script needs no `if __name__ == "__main__"`, and a worker ends
by itself when the pipe from its parent closes, however the parent died.
"""

from __future__ import annotations

import os
import pickle
import queue
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import IO, Any, Generic, TypeVar

from bertsmith import interrupt
from bertsmith.data.processes import die_with_parent
from bertsmith.errors import BertsmithError

Item = TypeVar("Item")
Result = TypeVar("Result")

IN_FLIGHT = 2  # items a worker has at a time: one in work, one waiting, so that it never waits for its parent
START = "import sys; sys.path[:] = {path!r}; from bertsmith.data.pool import work; work({parent})"


class Pool(Generic[Item, Result]):
    """`count` processes that know `task` (a picklable callable); with one or none, this process does the work.

    A context manager: leaving it ends the workers.
    """

    def __init__(self, task: Callable[[Item], Result], count: int) -> None:
        self._task = task
        self._workers: list[subprocess.Popen[bytes]] = []
        if count > 1:
            start = START.format(path=sys.path, parent=os.getpid())
            for _ in range(count):
                self._workers.append(
                    subprocess.Popen([sys.executable, "-c", start], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
                )
            for worker in self._workers:
                self._send(worker, task)

    def __enter__(self) -> Pool[Item, Result]:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker in self._workers:
            worker.kill()
            worker.wait()
            for pipe in (worker.stdin, worker.stdout):
                _close(pipe)

    def map(self, items: Iterable[Item]) -> Iterator[Result]:
        """The task's result for each item, in the order of the items. Raises what `interrupt.check` raises."""
        waiting: deque[subprocess.Popen[bytes]] = deque()
        for number, item in enumerate(items):
            interrupt.check()
            if not self._workers:
                yield self._task(item)
                continue
            if len(waiting) == IN_FLIGHT * len(self._workers):
                yield self._receive(waiting.popleft())
            worker = self._workers[number % len(self._workers)]
            self._send(worker, item)
            waiting.append(worker)
        while waiting:
            interrupt.check()
            yield self._receive(waiting.popleft())

    def _send(self, worker: subprocess.Popen[bytes], item: object) -> None:
        assert worker.stdin is not None
        try:
            pickle.dump(item, worker.stdin, protocol=5)
            worker.stdin.flush()
        except BrokenPipeError:
            raise _died(worker) from None

    def _receive(self, worker: subprocess.Popen[bytes]) -> Result:
        assert worker.stdout is not None
        try:
            result, error = pickle.load(worker.stdout)
        except (EOFError, pickle.UnpicklingError):
            raise _died(worker) from None
        if error:
            raise BertsmithError(error)
        return result


def _died(worker: subprocess.Popen[bytes]) -> BertsmithError:
    interrupt.check()
    return BertsmithError(
        f"worker process {worker.pid} ended early (exit {worker.wait()}); the system may be short of memory: "
        "type the same line again, with fewer workers if it keeps happening"
    )


def _close(pipe: IO[bytes] | None) -> None:
    try:
        if pipe is not None:
            pipe.close()
    except OSError:  # what was still to be sent has nobody left to read it
        pass


def work(parent: int) -> None:
    """A worker's life: the task, then items until the pipe closes."""
    die_with_parent(parent)
    for number in (signal.SIGINT, signal.SIGTERM):  # the parent decides; it closes the pipe
        signal.signal(number, signal.SIG_IGN)
    results = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library may print must not mix with the results
    items: queue.SimpleQueue[Any] = queue.SimpleQueue()
    # A thread takes items off the pipe, so that a parent that sends never waits for a worker that sends.
    threading.Thread(target=_take, args=(items,), daemon=True).start()
    task = items.get()
    while task is not None and (item := items.get()) is not None:
        try:
            answer = (task(item), "")
        except BertsmithError as error:
            answer = (None, str(error))
        except Exception as error:  # a mistake of ours or of a library: the parent reports it in one line
            answer = (None, f"a worker process failed ({type(error).__name__}: {error})")
        try:
            pickle.dump(answer, results, protocol=5)
            results.flush()
        except BrokenPipeError:
            break
    os._exit(0)  # at once: the parent has gone or needs nothing more


def _take(items: queue.SimpleQueue[Any]) -> None:
    try:
        while True:
            items.put(pickle.load(sys.stdin.buffer))
    except (EOFError, pickle.UnpicklingError):
        items.put(None)
