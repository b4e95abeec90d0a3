"""Checkpoints: one folder per step, taken only when every byte is as written, the newest valid one first.

A checkpoint is a model folder (config.json, model.safetensors, tokenizer) with the optimiser and the counters beside
it, so whatever reads models reads checkpoints.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from bertsmith import console, store
from bertsmith.errors import BertsmithError
from bertsmith.models.folder import load_model, save_model, write_tensors
from bertsmith.models.task_models import RAW, Scale, raw_scores
from bertsmith.tokenizers.tokenizer import Tokenizer
from bertsmith.training.state import State

KIND = "checkpoint"
MOMENTS, COUNTERS = "optimizer.safetensors", "state.json"
BYTES_PER_PARAMETER = 12  # fp32 weight and two fp32 moments


@dataclass(frozen=True)
class Checkpoints:
    """The checkpoints of one run.

    max_length: the longest sequence trained, for the tokenizer. fingerprints: of all that a checkpoint depends on; one
    with others is not taken.
    """

    folder: Path
    tokenizer: Tokenizer
    max_length: int
    fingerprints: Mapping[str, str]
    damaged: list[Path] = field(default_factory=list)
    """What `newest` skipped; the next good checkpoint replaces it."""

    def path_of(self, step: int) -> Path:
        """The folder of one step's checkpoint."""
        return self.folder / f"step-{step}"

    def save(self, state: State, extra: Mapping[str, Any], keep: int) -> Path:
        """Write the state, read it back, and only then remove all but the newest `keep`.

        extra: JSON that `load` returns. BertsmithError when the disk is full or refuses; the older ones stay then.
        """
        path = self.path_of(state.step)
        if path.exists():  # damaged, or half removed: training would not have come here otherwise
            _remove(path)
        with store.writing(path, KIND, {"step": state.step, **self.fingerprints}) as partial:
            write_model(state, self.tokenizer, self.max_length, partial)
            write_tensors(partial / MOMENTS, state.optimizer.state())
            counters = {"step": state.step, "tokens": state.tokens, "seconds": state.seconds, **extra}
            (partial / COUNTERS).write_text(json.dumps(counters, indent=1) + "\n", encoding="utf-8")
        store.verify(path, KIND)
        store.crash_point("checkpoint.before-rotation")
        worthless = [skipped for skipped in self.damaged if skipped != path and skipped.exists()]
        sound = [self.path_of(step) for step in steps_in(self.folder) if self.path_of(step) not in worthless]
        for old in worthless + sound[keep:]:
            _remove(old)
            store.crash_point("checkpoint.rotated")
        return path

    def newest(self) -> Path | None:
        """The newest valid checkpoint, or None; each newer one that is damaged is named in a warning.

        BertsmithError when there are checkpoints but none is valid: starting anew would silently lose the run.
        """
        self.damaged.clear()
        for step in steps_in(self.folder):
            path = self.path_of(step)
            try:
                self._require_own(path)
                return path
            except BertsmithError as error:
                self.damaged.append(path)
                console.warn(f"skipped a checkpoint: {error}")
        if self.damaged:
            raise BertsmithError(f"{self.folder}: no checkpoint is valid; remove the run's folder to start anew")
        return None

    def _require_own(self, path: Path) -> None:
        details = store.verify(path, KIND)
        for name, value in self.fingerprints.items():
            if details.get(name) != value:
                raise BertsmithError(f"{path}: was made with another {name}")

    def load(self, path: Path, state: State) -> dict[str, Any]:
        """Put a checkpoint that `newest` returned into `state`; returns the `extra` of `save`."""
        model = load_model(path, tuple(state.model.heads))
        weights = {name: parameter.detach() for name, parameter in model.named_parameters()}
        try:
            moments = load_file(path / MOMENTS)
            counters = json.loads((path / COUNTERS).read_text(encoding="utf-8"))
        except (OSError, ValueError, SafetensorError) as error:
            raise BertsmithError(f"{path}: cannot be read ({error})") from error
        _require_same_names(path / MOMENTS, moments, state.optimizer.state())
        state.optimizer.restore(weights, moments)
        state.step, state.tokens, state.seconds = (counters.pop(name) for name in ("step", "tokens", "seconds"))
        return counters


def steps_in(folder: Path) -> list[int]:
    """Steps that have a checkpoint, newest first. One without a manifest is half removed or unfinished: it is none."""
    paths = [path for path in folder.glob("step-*") if (path / store.MANIFEST).exists()] if folder.is_dir() else []
    return sorted((int(path.name[5:]) for path in paths if path.name[5:].isdigit()), reverse=True)


def write_model(state: State, tokenizer: Tokenizer, max_length: int, folder: Path, scale: Scale = RAW) -> None:
    """The model as a Hugging Face folder, from its fp32 masters. scale: that its regression was trained in."""
    with state.optimizer.masters_in_model(), raw_scores(state.model, scale):
        save_model(state.model, folder, pad_token_id=tokenizer.special.pad)
    tokenizer.save(folder, max_length)


def _remove(path: Path) -> None:
    """Delete a checkpoint, its manifest first: what is left of it after a crash counts as absent."""
    try:
        (path / store.MANIFEST).unlink(missing_ok=True)
        shutil.rmtree(path)
    except OSError as error:
        raise store.explain(error, path) from error


def _require_same_names(path: Path, found: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> None:
    for name in sorted(found.keys() | wanted.keys()):
        if name not in found or name not in wanted:
            raise BertsmithError(f"{path}: {name} is {'missing' if name in wanted else 'not part of this model'}")
        if found[name].shape != wanted[name].shape:
            raise BertsmithError(f"{path}: {name} is {tuple(found[name].shape)}, not {tuple(wanted[name].shape)}")
