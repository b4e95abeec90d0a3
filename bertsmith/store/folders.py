"""Folders written as a whole."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bertsmith.errors import UsageError
from bertsmith.store.faults import crash_point
from bertsmith.store.files import JSON, explain, hash_file, sync_folder, temporary_name, write_beside
from bertsmith.store.locks import lock_file, refuse_file, writer_lock
from bertsmith.store.manifest import FORMAT, MANIFEST, files_of, kind_of, render_manifest


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
        with lock_file(writer_lock(folder), folder, remove=True):
            _remove_leftovers(folder)
            temporary = temporary_name(folder, "partial")
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
    refuse_file(folder)
    if not any(folder.iterdir()):
        return
    found = kind_of(folder)
    if found != kind:
        what = f"holds a {found}" if found else f"is not empty and holds no {kind}"
        raise UsageError(f"{folder}: {what}; choose another folder")


def _remove_leftovers(folder: Path) -> None:
    for entry in folder.parent.iterdir():
        if entry.name.startswith((f".{folder.name}.partial-", f".{folder.name}.replaced-")):
            shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()


def _seal(temporary: Path, kind: str, details: Mapping[str, Any]) -> None:
    """fsync and hash every file, then write the manifest, then fsync the folders."""
    files: dict[str, JSON] = {}
    for name in files_of(temporary):
        path = temporary / name
        with open(path, "rb") as file:
            os.fsync(file.fileno())
        files[name] = {"bytes": path.stat().st_size, "sha256": hash_file(path)}
        crash_point(f"{kind}.file-{len(files)}")
    crash_point(f"{kind}.before-manifest")
    manifest = render_manifest({"format": FORMAT, "kind": kind, "files": files, "details": dict(details)})
    write_beside(temporary / MANIFEST, manifest).rename(temporary / MANIFEST)
    for parent in sorted({(temporary / name).parent for name in files} | {temporary}):
        sync_folder(parent)
    crash_point(f"{kind}.after-manifest")


def _put_in_place(temporary: Path, folder: Path) -> None:
    if folder.is_dir() and any(folder.iterdir()):
        replaced = temporary_name(folder, "replaced")
        os.rename(folder, replaced)
        os.rename(temporary, folder)
        shutil.rmtree(replaced, ignore_errors=True)
    else:
        os.rename(temporary, folder)
    sync_folder(folder.parent)
