"""The folder of a run: what the same line typed again finds there, and what it may change."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bertsmith import config, store
from bertsmith.errors import BertsmithError, UsageError
from bertsmith.training import checkpoint
from bertsmith.training.environment import Record, read_record, write_record
from bertsmith.training.finished import FREE, finished_result
from bertsmith.training.work import Plan


class RunFolder:
    """Names inside RUN, and the record in it (None when nothing was settled yet)."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.record_file = path / "environment.json"
        self.recipe_file = path / "recipe.toml"
        self.result_file = path / "result.json"
        self.metrics = path / "metrics.jsonl"
        self.tensorboard = path / "tensorboard"
        self.checkpoints = path / "checkpoints"
        self.best = path / "best"
        self.model = path / "model"
        self.plans = path / ".plans"
        self.teacher_cache = path / ".teacher-cache"

    def refuse_foreign(self) -> None:
        """UsageError when the folder holds something that is no run."""
        # A recipe alone is what a kill leaves between the two files that start a run.
        foreign = (path for path in self.path.iterdir() if path.name[0] != "." and path != self.recipe_file)
        if not self.record_file.exists() and any(foreign):
            raise UsageError(f"{self.path}: is not empty and holds no run; choose another --out")

    def record(self, plan: Plan, inputs: Mapping[str, str]) -> Record | None:
        """What an earlier line settled, or None to start anew.

        UsageError naming the field when the run there was asked for something else and has a checkpoint to lose.
        """
        if not self.record_file.exists():
            return None
        started = bool(checkpoint.steps_in(self.checkpoints)) or self.result_file.exists()
        try:
            record = read_record(self.record_file)
        except BertsmithError:
            if started:
                raise
            return None
        try:
            refuse_other(self.path, record, plan, inputs)
        except UsageError:
            if started:
                raise
            return None
        return record

    def start(self, plan: Plan, record: Record) -> None:
        """Write what was settled, before step 1; whatever an earlier start without a checkpoint left is removed."""
        for leftover in (self.tensorboard, self.model, self.best):
            shutil.rmtree(leftover, ignore_errors=True)
        self.metrics.unlink(missing_ok=True)
        store.write_atomic(self.recipe_file, config.dump(plan.recipe(record.resolved)).encode())
        write_record(self.record_file, record)

    def sweep(self) -> None:
        """Remove what a killed process left half written. Only for the holder of the lock."""
        for place in (self.path, self.checkpoints, self.best):
            for pattern in (".*.partial-*", ".*.replaced-*", ".?*.lock"):
                for path in place.glob(pattern) if place.is_dir() else ():
                    shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)

    def result(self) -> dict[str, Any] | None:
        """The result of a finished run, or None."""
        return finished_result(self.result_file, self.model)

    def write_result(self, result: Mapping[str, Any]) -> None:
        """Mark the run as finished."""
        store.write_json(self.result_file, result)


def refuse_other(path: Path, record: Record, plan: Plan, inputs: Mapping[str, str]) -> None:
    """UsageError naming the first field in which this line differs from the one that started the run."""
    for name, found in inputs.items():
        if record.inputs.get(name, "") != found:
            raise UsageError(
                f"{path}: was started with another {name}; type the line as it was or choose another --out"
            )
    now = plan.values()
    asked = _completed(record.asked, plan)
    for key in config.differences(asked, now):
        if key not in FREE and _at(now, key) != _at(record.resolved, key):
            raise UsageError(
                f"{path}: {key} was {_at(asked, key)!r} and is now {_at(now, key)!r};"
                f" type the line as it was or choose another --out"
            )


def _completed(asked: Mapping[str, Any], plan: Plan) -> config.Values:
    """What was asked for, with the defaults of fields that came into being after the run was started: a long run goes
    on under a later version.
    """
    known, now = config.flat_values(dict(asked)), config.flat_values(plan.values())
    completed = dict(asked)
    for key, default in plan.defaults().items():
        if key in now and key not in known:
            completed = config.merge(completed, config.nested(key, default))
    return completed


def _at(values: Mapping[str, Any], key: str) -> Any:
    part: Any = values
    for name in key.split("."):
        part = part.get(name) if isinstance(part, Mapping) else None
    return part
