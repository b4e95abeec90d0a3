"""Folders that are either whole or absent: atomic writes, a manifest written last, checksums, locks.

The manifest is the last file of a folder and names every other one with its size and SHA-256. A folder without
a valid manifest does not exist for any reader.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import secrets
import shutil
import signal
import stat
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

from bertsmith.errors import BertsmithError, UsageError

JSON = None | bool | int | float | str | Sequence["JSON"] | Mapping[str, "JSON"]
T = TypeVar("T")

FORMAT = 1
MANIFEST = "manifest.json"
LOCK = ".lock"
TRANSIENT = {errno.EIO, errno.EAGAIN, errno.EBUSY, errno.ETIMEDOUT, errno.ESTALE}
LARGEST_MANIFEST = 64 * 2**20  # bytes; a manifest is read before anything in it is trusted

_held: set[Path] = set()  # POSIX locks never conflict inside one process, so those are kept track of here
_crash_points_passed: dict[str, int] = {}


# --- fingerprints and checksums ---------------------------------------------------------------------------------


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


# --- single files -----------------------------------------------------------------------------------------------


def write_atomic(path: Path, data: bytes) -> None:
    """Replace a file as a whole: readers see the old bytes or the new ones, also after a crash."""
    path = Path(path)
    try:
        temporary = _write_beside(path, data)
        os.replace(temporary, path)
        sync_folder(path.parent)
    except OSError as error:
        raise explain(error, path) from error


def _write_beside(path: Path, data: bytes) -> Path:
    temporary = _temporary_name(path, "partial")
    try:
        with open(temporary, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return temporary


def _temporary_name(path: Path, purpose: str) -> Path:
    return path.with_name(f".{path.name}.{purpose}-{os.getpid()}-{secrets.token_hex(4)}")


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


# --- folders ----------------------------------------------------------------------------------------------------


@contextmanager
def writing(folder: Path, kind: str, details: Mapping[str, Any]) -> Iterator[Path]:
    """Write a folder as a whole: yields a temporary sibling, which becomes `folder` when the block ends.

    `details` (JSON) go into the manifest; the block may still change them. A folder of the same kind is replaced,
    anything else in the way is a UsageError. An error in the block removes the temporary folder; after a crash it
    stays as `.NAME.partial-*` and the next writer removes it.
    """
    folder = Path(folder)
    _refuse_foreign(folder, kind)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with _lock_file(folder.parent / f".{folder.name}{LOCK}", folder, remove=True):
            _remove_leftovers(folder)
            temporary = _temporary_name(folder, "partial")
            temporary.mkdir()
            try:
                crash_point(f"{kind}.opened")
                yield temporary
                _seal(temporary, kind, details)
                _put_in_place(temporary, folder)
                crash_point(f"{kind}.renamed")
            except BaseException:
                shutil.rmtree(temporary, ignore_errors=True)
                raise
    except OSError as error:
        raise explain(error, folder) from error


def _refuse_foreign(folder: Path, kind: str) -> None:
    if not os.path.lexists(folder):
        return
    if not folder.is_dir():
        raise UsageError(f"{folder}: is a file, not a folder; choose another name")
    if not any(folder.iterdir()):
        return
    found = _kind_of(folder)
    if found != kind:
        what = f"holds a {found}" if found else f"is not empty and holds no {kind}"
        raise UsageError(f"{folder}: {what}; choose another folder")


def _kind_of(folder: Path) -> str:
    try:
        manifest = json.loads((folder / MANIFEST).read_bytes())
    except (OSError, ValueError, RecursionError):
        return ""
    kind = manifest.get("kind") if isinstance(manifest, dict) else ""
    return kind if isinstance(kind, str) else ""


def _remove_leftovers(folder: Path) -> None:
    for entry in folder.parent.iterdir():
        if entry.name.startswith((f".{folder.name}.partial-", f".{folder.name}.replaced-")):
            shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()


def _seal(temporary: Path, kind: str, details: Mapping[str, Any]) -> None:
    """fsync and hash every file, then write the manifest, then fsync the folders."""
    files: dict[str, JSON] = {}
    for name in _files_of(temporary):
        path = temporary / name
        with open(path, "rb") as file:
            os.fsync(file.fileno())
        files[name] = {"bytes": path.stat().st_size, "sha256": hash_file(path)}
        crash_point(f"{kind}.file-{len(files)}")
    crash_point(f"{kind}.before-manifest")
    manifest = _render_manifest({"format": FORMAT, "kind": kind, "files": files, "details": dict(details)})
    _write_beside(temporary / MANIFEST, manifest).rename(temporary / MANIFEST)
    for parent in sorted({(temporary / name).parent for name in files} | {temporary}):
        sync_folder(parent)
    crash_point(f"{kind}.after-manifest")


def _files_of(folder: Path) -> list[str]:
    """Names (relative, POSIX) of all files of a folder but its manifest and lock; links and devices are refused."""
    names = []
    for parent, folders, files in os.walk(folder):
        for name in files + [f for f in folders if os.path.islink(os.path.join(parent, f))]:
            path = Path(parent, name)
            relative = path.relative_to(folder).as_posix()
            if relative in (MANIFEST, LOCK):
                continue
            if not stat.S_ISREG(path.lstat().st_mode):
                raise BertsmithError(f"{path}: is not a regular file")
            names.append(relative)
    return sorted(names)


def _render_manifest(values: Mapping[str, Any]) -> bytes:
    """Readable JSON that ends with a checksum of itself, so that a flipped bit in it is found too."""
    sealed = {**values, "sha256": fingerprint(dict(values))}
    return (json.dumps(sealed, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()


def _put_in_place(temporary: Path, folder: Path) -> None:
    if folder.is_dir() and any(folder.iterdir()):
        replaced = _temporary_name(folder, "replaced")
        os.rename(folder, replaced)
        os.rename(temporary, folder)
        shutil.rmtree(replaced, ignore_errors=True)
    else:
        os.rename(temporary, folder)
    sync_folder(folder.parent)


def verify(folder: Path, kind: str) -> dict[str, Any]:
    """Check the manifest and the size and SHA-256 of every file; returns the details.

    Raises BertsmithError naming the first file that is missing, added, or not as written.
    """
    folder = Path(folder)
    manifest = _read_manifest(folder, kind)
    _check_names_and_sizes(folder, manifest["files"])
    try:
        for name, entry in manifest["files"].items():
            if hash_file(folder / name) != entry["sha256"]:
                raise BertsmithError(f"{folder / name}: damaged (its SHA-256 is not the manifest's)")
    except OSError as error:
        raise explain(error, folder) from error
    return manifest["details"]


def read_details(folder: Path, kind: str) -> dict[str, Any]:
    """The details of a folder after a quick check: manifest, names and sizes, but not the bytes of the files."""
    folder = Path(folder)
    manifest = _read_manifest(folder, kind)
    _check_names_and_sizes(folder, manifest["files"])
    return manifest["details"]


def _read_manifest(folder: Path, kind: str) -> dict[str, Any]:
    path = folder / MANIFEST
    if not folder.is_dir():
        raise UsageError(f"{folder}: {'is not a folder' if os.path.lexists(folder) else 'there is no such folder'}")
    try:
        if not path.is_file() or path.is_symlink():
            raise UsageError(f"{folder}: holds no {kind} (there is no {MANIFEST} in it)")
        if path.stat().st_size > LARGEST_MANIFEST:
            raise BertsmithError(f"{path}: damaged (larger than any manifest)")
        raw = retry(path.read_bytes)
    except OSError as error:
        raise explain(error, path) from error
    try:
        manifest = json.loads(raw)
        body = {key: value for key, value in manifest.items() if key != "sha256"}
        intact = _render_manifest(body) == raw
    except (ValueError, RecursionError, AttributeError, TypeError):
        intact, body = False, {}
    if not intact:
        raise BertsmithError(f"{path}: damaged (its checksum does not match)")
    if body.get("format") != FORMAT:
        raise BertsmithError(f"{path}: format {body.get('format')!r}; this version reads format {FORMAT}")
    if body.get("kind") != kind:
        raise UsageError(f"{folder}: holds a {body.get('kind')}, not a {kind}")
    return body


def _check_names_and_sizes(folder: Path, files: Mapping[str, Mapping[str, Any]]) -> None:
    try:
        for name, entry in files.items():
            parts = PurePosixPath(name).parts
            if PurePosixPath(name).is_absolute() or not parts or ".." in parts:
                raise BertsmithError(f"{folder / MANIFEST}: names {name!r}, which lies outside the folder")
            path = folder / name
            if not os.path.lexists(path):
                raise BertsmithError(f"{path}: missing")
            state = path.lstat()
            if not stat.S_ISREG(state.st_mode):
                raise BertsmithError(f"{path}: is not a regular file")
            if state.st_size != entry["bytes"]:
                raise BertsmithError(f"{path}: damaged ({state.st_size} bytes instead of {entry['bytes']})")
        for name in _files_of(folder):
            if name not in files:
                raise BertsmithError(f"{folder / name}: does not belong here (the manifest does not name it)")
    except OSError as error:
        raise explain(error, folder) from error


# --- locks, space, crash points ---------------------------------------------------------------------------------


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a folder (made when missing) for this process; BertsmithError at once when another process holds it.

    POSIX record locks, not flock: a forked loader worker that outlives its parent must not keep the lock.
    """
    folder = Path(folder)
    if os.path.lexists(folder) and not folder.is_dir():
        raise UsageError(f"{folder}: is a file, not a folder; choose another name")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _lock_file(folder / LOCK, folder, remove=False):
            yield
    except OSError as error:
        raise explain(error, folder) from error


@contextmanager
def _lock_file(path: Path, subject: Path, remove: bool) -> Iterator[None]:
    key = path.parent.resolve() / path.name
    if key in _held:
        raise BertsmithError(f"{subject} is in use by process {os.getpid()} (this one)")
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
            owner = os.pread(handle, 20, 0).decode("ascii", "replace")
            os.close(handle)
            raise BertsmithError(f"{subject} is in use by process {owner or 'unknown'}") from None
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
    if not place.is_dir():
        raise UsageError(f"{place}: is a file, not a folder; choose another name")
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


def crash_point(name: str) -> None:
    """Kill this process when BERTSMITH_CRASH_POINT is `name`, or `name@3` for its third time (fault injection)."""
    wanted = os.environ.get("BERTSMITH_CRASH_POINT")
    if not wanted:
        return
    _crash_points_passed[name] = passed = _crash_points_passed.get(name, 0) + 1
    if wanted in (name, f"{name}@{passed}"):
        os.kill(os.getpid(), signal.SIGKILL)
