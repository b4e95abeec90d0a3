"""The folder of a fine-tuning: what the same line finds there, its runs, its best model, its result."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from bertsmith import config, store
from bertsmith.errors import BertsmithError, UsageError
from bertsmith.tasks.finetuning_config import FinetuningConfig
from bertsmith.training.finished import FREE, finished_result

MODEL_KIND = "model"
CARD = "README.md"
COPIED = ("recipe.toml", "environment.json", "metrics.jsonl")
"""Of the best run, so that OUT itself reads like a run."""

EXTENDABLE = frozenset({"seeds", "baselines"})
"""What the same line may ask for anew: runs that are there already are not trained again."""

KEPT_APART = frozenset(f"config.{name}" for name in FREE)


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
            store.write_json(self.request_file, request)
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
        later = {f"config.{key}": default for key, default in config.defaults(FinetuningConfig).items()}
        before = {key: later[key] for key in now if key in later} | before  # fields that there were not yet
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
        return finished_result(self.result_file, self.model)

    def write_result(self, result: Mapping[str, Any]) -> None:
        """Mark the fine-tuning as finished."""
        store.write_json(self.result_file, result)

    def take_best(self, run: Path, card: Callable[[], str]) -> None:
        """OUT/model from the best run, its files linked, with the card of `card()`; and copies of the run's records."""
        details = store.verify(run / "model", MODEL_KIND)
        with store.writing(self.model, MODEL_KIND, details) as partial:
            store.link_files(run / "model", partial, without=(store.MANIFEST, CARD, ".lock"))
            (partial / CARD).write_text(card(), "utf-8")
        for name in COPIED:
            if (run / name).is_file():
                store.write_atomic(self.path / name, (run / name).read_bytes())


def result_of(model: Path) -> dict[str, Any]:
    """What the fine-tuning that a model belongs to came to (result.json beside it); {} of any other model."""
    for folder in (model, model.parent):
        try:
            result = json.loads((folder / "result.json").read_bytes())
        except (OSError, ValueError):
            continue
        return result if isinstance(result, dict) else {}
    return {}
