"""What a teacher said of sequences that come again, in one file: written when they are first seen, read after that.

A sequence is a run of records, one for each position, at the place of its first position in the file. The first record
holds a checksum of all of them and of their place, so what was never written, or only in part when the process was
killed, is as good as missing and is asked of the teacher again. Plain reads and writes, not a mapping: where a disk is
full, a write into a mapping ends the process.
"""

from __future__ import annotations

import errno
import os
import weakref
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bertsmith import store
from bertsmith.objectives.likeliest import Records


class TeacherCache:
    """The file of one run; its ranks share it when they are on one machine."""

    def __init__(self, path: Path, record: np.dtype[Any]) -> None:
        """record: with a field `check` (uint32), 0 in what is written. BertsmithError where it cannot be opened."""
        self.path, self._record = path, record
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise store.explain(error, path) from error
        self._close = weakref.finalize(self, os.close, self._file)

    def lookup(self, starts: Sequence[int], lengths: Sequence[int], ask: Callable[[], Records]) -> Records:
        """The records of a batch, its sequences end to end: (sum of lengths,).

        starts: the numbers of their first positions. ask: the teacher's records of the whole batch. It is asked of
        the whole batch when any sequence is missing, so that its answer, to the last bit, is a matter of the batch
        alone; but what is there already counts as it is, and so a step done again after a kill finds what it found.
        """
        found = [self._read(start, length) for start, length in zip(starts, lengths, strict=True)]
        if any(records is None for records in found):
            asked = np.split(ask(), np.cumsum(lengths)[:-1])
            for place, (start, records) in enumerate(zip(starts, asked, strict=True)):
                if found[place] is None:
                    self._write(start, records)
                    found[place] = records
        return np.concatenate([records for records in found if records is not None])

    def flush(self) -> None:
        """Make all that was written durable."""
        try:
            os.fsync(self._file)
        except OSError as error:
            raise store.explain(error, self.path) from error

    def remove(self) -> None:
        """Delete the file; nothing can be read or written after that."""
        self._close()
        self.path.unlink(missing_ok=True)

    def _read(self, start: int, length: int) -> Records | None:
        size, place = length * self._record.itemsize, start * self._record.itemsize
        try:
            data = store.retry(lambda: os.pread(self._file, size, place))
        except OSError as error:
            raise store.explain(error, self.path) from error
        if len(data) < size:
            return None
        records = np.frombuffer(bytearray(data), dtype=self._record)
        check = int(records["check"][0])
        records["check"][0] = 0
        return records if check == _check(start, records) else None

    def _write(self, start: int, records: Records) -> None:
        checked = records.copy()
        checked["check"][0] = _check(start, records)
        data = checked.tobytes()
        try:
            written = store.retry(lambda: os.pwrite(self._file, data, start * self._record.itemsize))
            if written < len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path))
        except OSError as error:
            raise store.explain(error, self.path) from error


def _check(start: int, records: Records) -> int:
    """Never 0, which is what a hole in a file reads as."""
    return zlib.crc32(records.tobytes(), zlib.crc32(start.to_bytes(8, "little"))) or 1
