"""Checkpoints: one folder per step, taken only when every byte is as written, the newest valid one first."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from bertsmith import console, store
from bertsmith.errors import BertsmithError
from bertsmith.training.state import State

KIND = "checkpoint"
WEIGHTS, MOMENTS, STATE = "weights.safetensors", "optimizer.safetensors", "state.json"
BYTES_PER_PARAMETER = 12  # fp32 weight and two fp32 moments


def path_of(folder: Path, step: int) -> Path:
    """The folder of one step's checkpoint."""
    return folder / f"step-{step}"


def steps_in(folder: Path) -> list[int]:
    """Steps that have a folder, valid or not, newest first."""
    names = [path.name for path in folder.glob("step-*")] if folder.is_dir() else []
    return sorted((int(name[5:]) for name in names if name[5:].isdigit()), reverse=True)


def save(folder: Path, state: State, details: Mapping[str, Any], extra: Mapping[str, Any], keep: int) -> Path:
    """Write the state as a checkpoint, read it back, and only then remove all but the newest `keep`.

    details: fingerprints for the manifest. extra: what the caller wants back at a resume. BertsmithError when the disk
    is full or refuses; the older checkpoints are untouched then.
    """
    path = path_of(folder, state.step)
    with store.writing(path, KIND, {"step": state.step, **details}) as partial:
        write_tensors(partial / WEIGHTS, state.optimizer.views(state.optimizer.masters))
        write_tensors(partial / MOMENTS, state.optimizer.state())
        counters = {"step": state.step, "tokens": state.tokens, "seconds": state.seconds, **extra}
        (partial / STATE).write_text(json.dumps(counters, indent=1) + "\n", encoding="utf-8")
    store.verify(path, KIND)
    store.crash_point("checkpoint.before-rotation")
    for step in steps_in(folder)[keep:]:
        remove(path_of(folder, step))
        store.crash_point("checkpoint.rotated")
    return path


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write tensors as safetensors. Raises OSError, as any other write does, when the disk is full or refuses."""
    try:
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path)
    except SafetensorError as error:
        full = f"os error {errno.ENOSPC}" in str(error)
        number = errno.ENOSPC if full else errno.EIO
        raise OSError(number, os.strerror(number) if full else str(error), str(path)) from error


def remove(path: Path) -> None:
    """Delete a checkpoint, its manifest first: what is left of it after a crash counts as absent."""
    try:
        (path / store.MANIFEST).unlink(missing_ok=True)
        shutil.rmtree(path)
    except OSError as error:
        raise store.explain(error, path) from error


def newest(folder: Path, details: Mapping[str, Any]) -> Path | None:
    """The newest valid checkpoint, or None; each newer one that is damaged is named in a warning.

    BertsmithError when there are checkpoints but none is valid: starting anew would silently lose the run.
    """
    skipped = []
    for step in steps_in(folder):
        path = path_of(folder, step)
        if not (path / store.MANIFEST).exists():
            continue  # half removed, or never finished
        try:
            found = store.verify(path, KIND)
            wrong = [name for name, value in details.items() if found.get(name) != value]
            if wrong:
                raise BertsmithError(f"{path}: is of another run ({', '.join(wrong)} differ)")
            return path
        except BertsmithError as error:
            skipped.append(str(error))
            console.warn(f"skipped a checkpoint: {error}")
    if skipped:
        raise BertsmithError(f"{folder}: no checkpoint is valid; remove the run's folder to start anew")
    return None


def load(path: Path, state: State) -> dict[str, Any]:
    """Put a verified checkpoint into `state`; returns the `extra` of `save`."""
    try:
        weights, moments = load_file(path / WEIGHTS), load_file(path / MOMENTS)
        counters = json.loads((path / STATE).read_text(encoding="utf-8"))
    except (OSError, ValueError, SafetensorError) as error:
        raise BertsmithError(f"{path}: cannot be read ({error})") from error
    _check(path / WEIGHTS, weights, state.optimizer.views(state.optimizer.masters))
    _check(path / MOMENTS, moments, state.optimizer.state())
    state.optimizer.restore(weights, moments)
    state.step, state.tokens, state.seconds = (counters.pop(name) for name in ("step", "tokens", "seconds"))
    return counters


def _check(path: Path, found: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> None:
    for name in sorted(found.keys() | wanted.keys()):
        if name not in found or name not in wanted:
            raise BertsmithError(f"{path}: {name} is {'missing' if name in wanted else 'not part of this model'}")
        if found[name].shape != wanted[name].shape:
            raise BertsmithError(f"{path}: {name} is {tuple(found[name].shape)}, not {tuple(wanted[name].shape)}")
