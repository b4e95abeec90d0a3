"""Which files a user means, and opening them safely."""

from __future__ import annotations

import glob
import gzip
import os
import stat
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Literal, NamedTuple

from bertsmith.errors import UsageError

Kind = Literal["txt", "jsonl", "parquet"]
KINDS: dict[str, Kind] = {".txt": "txt", ".jsonl": "jsonl", ".parquet": "parquet"}
LARGEST_EXPANSION = 300  # times; text unpacks to 3 to 10 times its size, one repeated line to about 200
ALWAYS_UNPACKED = 64 * 2**20  # bytes that are unpacked before the expansion counts
_WANTED = "name .txt, .jsonl or .parquet files (also .gz), folders or patterns"


class Source(NamedTuple):
    """One input file; `size` in bytes on disk, 0 where it cannot be told."""

    path: Path
    kind: Kind
    compressed: bool
    size: int


class UnusableFile(Exception):
    """A file whose rest cannot be read; the message says why."""


def find(paths: Sequence[str | Path]) -> list[Source]:
    """The files that are meant: each by name, all suitable ones below a folder, all that match a pattern.

    Sorted within each argument, each file once. Raises UsageError for an argument without any suitable file.
    """
    found: dict[Path, Source] = {}
    for argument in map(str, paths):
        suitable = False
        for path in _expand(argument):
            kind = _kind(path)
            if kind is not None:
                suitable = True
                found.setdefault(path, Source(path, kind, path.suffix.lower() == ".gz", _size(path)))
        if not suitable:
            raise UsageError(_explain(argument))
    if not found:
        raise UsageError(f"no text given; {_WANTED}")
    return list(found.values())


def _expand(argument: str) -> Iterator[Path]:
    path = Path(argument)
    if path.is_dir():
        yield from _walk(path)
    elif os.path.lexists(path):
        if not stat.S_ISREG(_mode(path)):
            raise UsageError(f"{path}: is not a regular file; {_WANTED}")
        yield path
    elif glob.has_magic(argument):
        for match in sorted(glob.glob(argument, recursive=True)):
            yield from _walk(Path(match)) if os.path.isdir(match) else [Path(match)]


def _walk(folder: Path) -> Iterator[Path]:
    """Files below a folder, sorted; hidden ones are left out and links to folders are not followed."""
    for parent, folders, files in os.walk(folder, onerror=_refuse):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(parent, name) for name in sorted(files) if not name.startswith("."))


def _refuse(error: OSError) -> None:
    raise UsageError(f"{error.filename}: cannot be listed ({error.strerror})")


def _mode(path: Path) -> int:
    try:
        return path.stat().st_mode
    except OSError:
        return 0


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _kind(path: Path) -> Kind | None:
    name = path.name.lower().removesuffix(".gz")
    return next((kind for suffix, kind in KINDS.items() if name.endswith(suffix)), None)


def _explain(argument: str) -> str:
    if os.path.isdir(argument):
        return f"{argument}: holds no .txt, .jsonl or .parquet file (also .gz)"
    if os.path.lexists(argument):
        return f"{argument}: is of no known kind; {_WANTED}"
    return f"{argument}: {'matches no file' if glob.has_magic(argument) else 'there is no such file or folder'}"


# --- opening ---


class Stream:
    """The bytes of a source, unpacked, in order."""

    def __init__(self, file: BinaryIO, compressed: bool) -> None:
        self.file = file
        self.compressed = compressed
        self._unpacker = gzip.GzipFile(fileobj=file) if compressed else None
        self._unpacked = 0

    def readline(self, limit: int) -> bytes:
        """The next line with its newline, or `limit` bytes of it; empty at the end. Raises UnusableFile."""
        if self._unpacker is None:
            return self.file.readline(limit)
        return self._unpack(self._unpacker.readline, limit)

    def read(self, limit: int) -> bytes:
        """At most `limit` bytes; empty at the end. Raises UnusableFile."""
        if self._unpacker is None:
            return self.file.read(limit)
        return self._unpack(self._unpacker.read, limit)

    def _unpack(self, read: Callable[[int], bytes], limit: int) -> bytes:
        try:
            data = read(limit)
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise UnusableFile("the .gz file is cut short or damaged") from error
        self._unpacked += len(data)
        if self._unpacked > ALWAYS_UNPACKED and self._unpacked > LARGEST_EXPANSION * self.position():
            raise UnusableFile(f"the .gz file unpacks to more than {LARGEST_EXPANSION} times its size")
        return data

    def position(self) -> int:
        """Bytes of the file on disk that have been taken in."""
        return self.file.tell()


@contextmanager
def open_source(source: Source) -> Iterator[Stream]:
    """Open a source as a stream. Raises OSError, or UnusableFile when it is not a regular file."""
    # Without waiting: opening a pipe that nobody writes to would hang for ever.
    handle = os.open(source.path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(handle, "rb", buffering=1 << 20) as file:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise UnusableFile("not a regular file")
        yield Stream(file, source.compressed)
