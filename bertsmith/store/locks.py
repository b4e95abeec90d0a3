"""Who may write a folder, and whether there is room."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bertsmith.errors import BertsmithError, InUse, UsageError
from bertsmith.store.files import explain
from bertsmith.store.manifest import LOCK

_held: set[Path] = set()  # POSIX locks never conflict inside one process, so those are kept track of here


def refuse_file(folder: Path) -> None:
    """UsageError where something that is no folder lies in a folder's place."""
    if os.path.lexists(folder) and not folder.is_dir():
        raise UsageError(f"{folder}: is a file, not a folder; choose another name")


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a folder (made when missing) for this process; BertsmithError at once when another process holds it.

    POSIX record locks, not flock: a forked loader worker that outlives its parent must not keep the lock.
    """
    folder = Path(folder)
    refuse_file(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with lock_file(folder / LOCK, folder, remove=False):
            yield
    except OSError as error:
        raise explain(error, folder) from error


def refuse_locked(folder: Path) -> None:
    """BertsmithError when another process holds or writes the folder: a quick look before any long work."""
    for path in (Path(folder) / LOCK, writer_lock(Path(folder))):
        _refuse_held(path, Path(folder))


def writer_lock(folder: Path) -> Path:
    """The lock of a folder that is written as a whole: beside it, as the folder itself comes last."""
    return folder.parent / f".{folder.name}{LOCK}"


def _refuse_held(path: Path, folder: Path) -> None:
    if path.parent.resolve() / path.name in _held or not path.is_file():
        return
    try:
        with path.open("rb") as file:
            fcntl.lockf(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        raise _in_use(folder, path.read_bytes()) from None
    except OSError as error:
        raise explain(error, path) from error


def _in_use(subject: Path, owner: bytes) -> InUse:
    return InUse(f"{subject} is in use by process {owner[:20].decode('ascii', 'replace') or 'unknown'}")


@contextmanager
def lock_file(path: Path, subject: Path, remove: bool) -> Iterator[None]:
    """Hold the lock file `path`, which speaks for `subject`; `remove` takes it away again afterwards."""
    key = path.parent.resolve() / path.name
    if key in _held:
        raise InUse(f"{subject} is in use by process {os.getpid()} (this one)")
    handle = _take_lock(path, subject)
    _held.add(key)
    try:
        yield
    finally:
        _held.discard(key)
        if remove:
            path.unlink(missing_ok=True)
        os.close(handle)


def _take_lock(path: Path, subject: Path) -> int:
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _same_file(handle, path):
                os.ftruncate(handle, 0)
                os.pwrite(handle, str(os.getpid()).encode(), 0)
                return handle
        except (BlockingIOError, PermissionError):
            owner = os.pread(handle, 20, 0)
            os.close(handle)
            raise _in_use(subject, owner) from None
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)  # its last holder removed the file between our open and our lock: take the new one


def _same_file(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), os.stat(path))
    except FileNotFoundError:
        return False


def require_space(folder: Path, size: int) -> None:
    """Raise BertsmithError unless `folder` (or where it will be made) can be written to and has `size` bytes free."""
    place = Path(folder).absolute()
    while not place.exists():
        place = place.parent
    refuse_file(place)
    try:
        free = shutil.disk_usage(place).free
        if free < size:
            raise BertsmithError(f"{folder}: needs {size / 1e6:,.0f} MB, but only {free / 1e6:,.0f} MB are free there")
        with tempfile.NamedTemporaryFile(prefix=".trial-", dir=place) as file:
            file.write(b"trial")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise explain(error, folder) from error
