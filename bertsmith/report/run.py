"""A finished run as the report reads it: everything comes from the run folder and the corpus folder."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bertsmith import config
from bertsmith.errors import BertsmithError, UsageError
from bertsmith.training.budget import phase_ends
from bertsmith.training.environment import Record, read_record
from bertsmith.training.initial import CORPUS_SHARES
from bertsmith.training.logs import read_metrics
from bertsmith.training.plan import PretrainingPlan


@dataclass(frozen=True)
class Run:
    """recipe: its resolved tables. plan: as it was settled. training, validation: lines of metrics.jsonl. result: what
    pretrain returned.
    """

    folder: Path
    recipe: Mapping[str, Any]
    record: Record
    plan: PretrainingPlan
    training: Sequence[Mapping[str, Any]]
    validation: Sequence[Mapping[str, Any]]
    result: Mapping[str, Any]

    @property
    def name(self) -> str:
        """What the recipe is called."""
        return str(self.recipe.get("name") or self.folder.resolve().name)

    @property
    def initial(self) -> bool:
        """Whether training started from the weights of another model."""
        return bool(self.record.inputs.get("initial model"))

    @property
    def shares(self) -> list[float]:
        """What each of several corpora gives to a step; empty where there is only one."""
        return [float(share) for share in self.record.inputs.get(CORPUS_SHARES, "").split()]

    @property
    def last_phase(self) -> PretrainingPlan:
        """What its last sequences were like, and so those it was last validated on."""
        return self.plan.phases[-1]

    @property
    def phases(self) -> str:
        """Where its second phase begins, in words; "" of one without."""
        if len(self.plan.phases) == 1:
            return ""
        end, _ = phase_ends(int(self.result["steps"]), self.plan.long_phase)
        return f"{self.plan.cut.length} tokens a sequence up to step {end:,}, then {self.last_phase.cut.length}"


def read_run(folder: Path) -> Run:
    """Read a finished run. Raises UsageError when it is none, BertsmithError naming a damaged file."""
    result_file = folder / "result.json"
    if not result_file.exists():
        raise UsageError(f"{folder}: holds no finished run; type its pretrain line again to finish it")
    try:
        result = json.loads(result_file.read_bytes())
        recipe = tomllib.loads((folder / "recipe.toml").read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise BertsmithError(f"{folder}: recipe.toml or result.json cannot be read ({error})") from error
    lines = list(read_metrics(folder / "metrics.jsonl"))
    record = read_record(folder / "environment.json")
    return Run(
        folder,
        recipe,
        record,
        config.build(PretrainingPlan, record.resolved, f"{folder / 'environment.json'}: resolved"),
        [line for line in lines if "validation" not in line],
        [{"step": line["step"], **line["validation"]} for line in lines if "validation" in line],
        result,
    )
