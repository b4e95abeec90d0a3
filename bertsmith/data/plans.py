"""Plans on disk: written once, memory-mapped by every rank and loader worker.

A plan file is the rows as int32 (rows, 6), followed by the SHA-256 of those bytes. It can always be computed again,
so a damaged one is replaced.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from bertsmith import store
from bertsmith.data.config import CutConfig
from bertsmith.data.corpus import Corpus
from bertsmith.data.cuts.cut import Cut
from bertsmith.data.cuts.examples import Rows
from bertsmith.errors import BertsmithError

COLUMNS = 6
DIGEST = 32


class Count(NamedTuple):
    """How much an epoch has. tokens: special ones included; 0 where no one counts steps by tokens."""

    rows: int
    tokens: int


class Plans:
    """The plans of one cut over one corpus, kept in `folder` (memory only when it is None)."""

    def __init__(self, corpus: Corpus, cut: Cut, config: CutConfig, seed: int, folder: Path | None) -> None:
        self._corpus, self._cut, self._folder = corpus, cut, folder
        self._open: dict[int, Rows] = {}
        self._counts: dict[int, Count] = {}
        self._by_tokens = config.equal_tokens
        self._passing = config.copies == 0  # an epoch's plan is never needed again
        self._name = ""
        if folder is not None:
            self._name = store.fingerprint(corpus.fingerprint, asdict(config), seed)[:16]

    def rows(self, epoch: int) -> Rows:
        """The rows of an epoch: (rows, 6) int32."""
        number = self._cut.plan_number(epoch)
        if number not in self._open:
            self._open[number] = self._plan(number)
            self._counts[number] = self._count(self._open[number])
            if self._passing:
                self._forget_before(number - 1)
        return self._open[number]

    def lengths(self, epoch: int) -> npt.NDArray[np.int64]:
        """Tokens of each row of an epoch: (rows,) int64."""
        return self._cut.lengths(self._corpus, self.rows(epoch))

    def count(self, epoch: int) -> Count:
        """How much an epoch has; known without its plan once that was made, also in an earlier run."""
        number = self._cut.plan_number(epoch)
        if number not in self._counts and self._folder is not None and self._passing:
            found = _read_count(self._folder / f"{self._name}-{number}.count")
            if found is not None:
                self._counts[number] = found
        if number not in self._counts:
            self.rows(epoch)
        return self._counts[number]

    def _count(self, rows: Rows) -> Count:
        return Count(len(rows), int(self._cut.lengths(self._corpus, rows).sum()) if self._by_tokens else 0)

    def _forget_before(self, number: int) -> None:
        """Leave plans of earlier epochs, so that neither memory nor disk grows with epochs.

        The one just before stays, as other processes may be there still. A plan wanted again is made again.
        """
        for old in [old for old in self._open if old < number]:
            del self._open[old]
        if self._folder is not None:
            for path in self._folder.glob(f"{self._name}-*.plan"):
                if int(path.stem.rpartition("-")[2]) < number:
                    path.unlink(missing_ok=True)

    def _plan(self, number: int) -> Rows:
        if self._folder is None:
            return self._cut.plan(self._corpus, number)
        path = self._folder / f"{self._name}-{number}.plan"
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with _waiting_lock(self._folder / f"{self._name}.lock"):
                rows = _read(path)
                if rows is None:
                    rows = self._cut.plan(self._corpus, number)
                    data = np.ascontiguousarray(rows, dtype=np.int32).tobytes()
                    store.write_atomic(path, data + hashlib.sha256(data).digest())
                    rows = _read(path)
                if self._passing and rows is not None:
                    count = self._count(rows)
                    store.write_atomic(path.with_suffix(".count"), f"{count.rows} {count.tokens}\n".encode())
        except OSError as error:
            raise store.explain(error, path) from error
        if rows is None:
            raise BertsmithError(f"{path}: what was written cannot be read back")
        return rows


def _read(path: Path) -> Rows | None:
    """The plan in a file, memory-mapped, or None where there is no whole one."""
    row_bytes = COLUMNS * np.dtype(np.int32).itemsize
    if not path.is_file() or (path.stat().st_size - DIGEST) % row_bytes:
        return None
    data = np.memmap(path, dtype=np.uint8, mode="r")
    if hashlib.sha256(data[:-DIGEST].data).digest() != data[-DIGEST:].tobytes():
        return None
    return data[:-DIGEST].view(np.int32).reshape(-1, COLUMNS)


def _read_count(path: Path) -> Count | None:
    try:
        text = path.read_text()
        rows, tokens = text.split(" ")
        return Count(int(rows), int(tokens)) if text.endswith("\n") else None
    except (OSError, ValueError):
        return None


@contextmanager
def _waiting_lock(path: Path) -> Iterator[None]:
    """Let one process at a time plan; the others wait and find the plan made. Ends with the process that holds it."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        fcntl.lockf(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
