"""The folder of a fine-tuning: what the same line finds there, its runs, its best model, its result."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from bertsmith import config, store
from bertsmith.errors import BertsmithError, UsageError

MODEL_KIND = "model"
CARD = "README.md"
COPIED = ("recipe.toml", "environment.json", "metrics.jsonl")
"""Of the best run, so that OUT itself reads like a run."""

EXTENDABLE = frozenset({"seeds", "baselines"})
"""What the same line may ask for anew: runs that are there already are not trained again."""

KEPT_APART = frozenset(f"config.training.{name}" for name in ("save_every", "keep", "log_every", "workers"))


class SearchFolder:
    """Names inside OUT."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.request_file = path / "request.json"
        self.result_file = path / "result.json"
        self.runs = path / "runs"
        self.model = path / "model"
        self.submission = path / "submission"
        self.report = path / "report.html"

    def begin(self, request: Mapping[str, Any], write: bool = True) -> dict[str, Any] | None:
        """The result when this very request is finished, else None, with the request noted (`write`).

        UsageError naming the first field in which an earlier line differs, or when the folder holds something else.
        Only for the holder of the lock.
        """
        earlier = self._earlier()
        if earlier is None:
            foreign = [path.name for path in self.path.iterdir() if path.name[0] != "."] if write else []
            if foreign:
                raise UsageError(f"{self.path}: is not empty and holds no fine-tuning; choose another --out")
        else:
            self._refuse_other(earlier, request)
            if dict(earlier) == dict(request) and (result := self.result()):
                return result
        if write:
            store.write_atomic(self.request_file, (json.dumps(request, indent=1, ensure_ascii=False) + "\n").encode())
        return None

    def _earlier(self) -> dict[str, Any] | None:
        if not self.request_file.exists():
            return None
        try:
            earlier = json.loads(self.request_file.read_bytes())
        except (OSError, ValueError) as error:
            raise BertsmithError(f"{self.request_file}: damaged; remove the folder or choose another --out") from error
        if not isinstance(earlier, dict):
            raise BertsmithError(f"{self.request_file}: damaged; remove the folder or choose another --out")
        return earlier

    def _refuse_other(self, earlier: Mapping[str, Any], request: Mapping[str, Any]) -> None:
        if not self.runs.is_dir():  # nothing was trained yet
            return
        before, now = config.flat_values(dict(earlier)), config.flat_values(dict(request))
        for key in [*now, *(key for key in before if key not in now)]:
            if key in EXTENDABLE or key in KEPT_APART or before.get(key) == now.get(key):
                continue
            name = key.removeprefix("config.")
            shown = "" if key.endswith("fingerprint") else f" ({before.get(key)!r}, now {now.get(key)!r})"
            raise UsageError(
                f"{self.path}: was started with another {name.replace('.fingerprint', '')}{shown};"
                " type the line as it was or choose another --out"
            )

    def result(self) -> dict[str, Any] | None:
        """The result of a finished fine-tuning, or None."""
        try:
            result = json.loads(self.result_file.read_bytes())
        except (OSError, ValueError):
            return None
        whole = (self.model / "model.safetensors").is_file() and (self.model / "config.json").is_file()
        return result if whole and isinstance(result, dict) else None

    def write_result(self, result: Mapping[str, Any]) -> None:
        """Mark the fine-tuning as finished."""
        store.write_atomic(self.result_file, (json.dumps(result, indent=1, ensure_ascii=False) + "\n").encode())

    def take_best(self, run: Path, card: Callable[[], str]) -> None:
        """OUT/model from the best run, its files linked, with the card of `card()`; and copies of the run's records."""
        details = store.verify(run / "model", MODEL_KIND)
        with store.writing(self.model, MODEL_KIND, details) as partial:
            for file in (run / "model").iterdir():
                if file.is_file() and file.name not in (store.MANIFEST, CARD, ".lock"):
                    link_or_copy(file, partial / file.name)
            (partial / CARD).write_text(card(), "utf-8")
        for name in COPIED:
            if (run / name).is_file():
                store.write_atomic(self.path / name, (run / name).read_bytes())


def link_or_copy(file: Path, copy: Path) -> None:
    """Link a file, or copy it where the file system knows no hard links."""
    try:
        os.link(file, copy)
    except OSError:
        shutil.copy2(file, copy)
