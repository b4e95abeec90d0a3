"""The manifest of a folder: written last, checked first."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from bertsmith.errors import BertsmithError, UsageError
from bertsmith.store.files import explain, fingerprint, hash_file, retry

FORMAT = 1
MANIFEST = "manifest.json"
LOCK = ".lock"
LARGEST_MANIFEST = 64 * 2**20  # bytes; a manifest is read before anything in it is trusted


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


def verify_files(folder: Path, names: Sequence[str]) -> None:
    """Check those of the named files that the folder's manifest lists; whatever else lies there is the user's business.

    Nothing is checked in a folder without a manifest. Raises BertsmithError naming the first file that is damaged.
    """
    folder = Path(folder)
    kind = kind_of(folder)
    if not kind:
        return
    listed = _read_manifest(folder, kind)["files"]
    try:
        for name in names:
            if name in listed and hash_file(folder / name) != listed[name]["sha256"]:
                advice = f"if it was changed on purpose, remove {MANIFEST} beside it"
                raise BertsmithError(f"{folder / name}: damaged (its SHA-256 is not the manifest's; {advice})")
    except OSError as error:
        raise explain(error, folder) from error


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
        intact = render_manifest(body) == raw
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
        for name in files_of(folder):
            if name not in files:
                raise BertsmithError(f"{folder / name}: does not belong here (the manifest does not name it)")
    except OSError as error:
        raise explain(error, folder) from error


def files_of(folder: Path) -> list[str]:
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


def render_manifest(values: Mapping[str, Any]) -> bytes:
    """Readable JSON that ends with a checksum of itself, so that a flipped bit in it is found too."""
    sealed = {**values, "sha256": fingerprint(dict(values))}
    return (json.dumps(sealed, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()


def kind_of(folder: Path) -> str:
    """What a folder says it holds, unchecked; "" when it has no manifest."""
    try:
        manifest = json.loads((folder / MANIFEST).read_bytes())
    except (OSError, ValueError, RecursionError):
        return ""
    kind = manifest.get("kind") if isinstance(manifest, dict) else ""
    return kind if isinstance(kind, str) else ""
