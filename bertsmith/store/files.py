"""Single files: checksums, atomic replacement, retries, and what to say when storage fails."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import secrets
import shutil
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from bertsmith.errors import BertsmithError

JSON = None | bool | int | float | str | Sequence["JSON"] | Mapping[str, "JSON"]
T = TypeVar("T")

TRANSIENT = {errno.EIO, errno.EAGAIN, errno.EBUSY, errno.ETIMEDOUT, errno.ESTALE}


def fingerprint(*values: JSON | bytes) -> str:
    """SHA-256 (hex) of the values: bytes as they are, anything else as canonical JSON."""
    digest = hashlib.sha256()
    for value in values:
        data = value if isinstance(value, bytes) else _canonical(value)
        digest.update(b"%s%d:" % (b"b" if isinstance(value, bytes) else b"j", len(data)))
        digest.update(data)
    return digest.hexdigest()


def _canonical(value: JSON) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def hash_file(path: Path) -> str:
    """SHA-256 (hex) of a file's bytes."""

    def read() -> str:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    return retry(read)


def retry(action: Callable[[], T]) -> T:
    """Run an action that can be repeated, up to three times when the storage reports a passing fault."""
    for pause in (0.1, 0.5):
        try:
            return action()
        except OSError as error:
            if error.errno not in TRANSIENT:
                raise
            time.sleep(pause)
    return action()


def explain(error: OSError, path: Path | str = "") -> BertsmithError:
    """The one line a user needs instead of an operating system's traceback."""
    place = str(error.filename or path)
    reason = error.strerror or str(error)
    advice = {
        errno.ENOSPC: "; free some space and type the same line again",
        errno.EDQUOT: "; free some space and type the same line again",
        errno.EROFS: "; choose a folder that can be written to",
        errno.EACCES: "; check its permissions",
    }.get(error.errno or 0, "")
    return BertsmithError(f"{place}: {reason}{advice}" if place else f"{reason}{advice}")


def write_atomic(path: Path, data: bytes) -> None:
    """Replace a file as a whole: readers see the old bytes or the new ones, also after a crash."""
    path = Path(path)
    try:
        temporary = write_beside(path, data)
        os.replace(temporary, path)
        sync_folder(path.parent)
    except OSError as error:
        raise explain(error, path) from error


def write_json(path: Path, value: JSON) -> None:
    """Replace a file as a whole by indented JSON."""
    write_atomic(path, (json.dumps(value, indent=1, ensure_ascii=False) + "\n").encode())


def write_json_lines(path: Path, values: Iterable[JSON]) -> None:
    """Replace a file as a whole by one JSON a line."""
    lines = (json.dumps(value, ensure_ascii=False, allow_nan=False) + "\n" for value in values)
    write_atomic(path, "".join(lines).encode())


def link_files(source: Path, target: Path, without: Collection[str] = ()) -> None:
    """The files of a folder into another by hard links, as copies where the file system knows none."""
    for file in source.iterdir():
        if not file.is_file() or file.name in without:
            continue
        try:
            os.link(file, target / file.name)
        except OSError:
            shutil.copy2(file, target / file.name)


def write_beside(path: Path, data: bytes) -> Path:
    """Write and fsync a temporary sibling of `path`; returns its name."""
    temporary = temporary_name(path, "partial")
    try:
        with open(temporary, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return temporary


def temporary_name(path: Path, purpose: str) -> Path:
    """A fresh hidden name beside `path`, such as `.NAME.partial-123-8f3a`."""
    return path.with_name(f".{path.name}.{purpose}-{os.getpid()}-{secrets.token_hex(4)}")


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
