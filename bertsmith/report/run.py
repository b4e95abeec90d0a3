"""A finished run as the report reads it: everything comes from the run folder and the corpus folder."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bertsmith import config
from bertsmith.data.config import CutConfig, MaskingConfig
from bertsmith.errors import BertsmithError, UsageError
from bertsmith.objectives.config import ObjectivesConfig
from bertsmith.objectives.table import needed_heads
from bertsmith.training.environment import Record, read_record
from bertsmith.training.initial import CORPUS_SHARES
from bertsmith.training.logs import read_metrics


@dataclass(frozen=True)
class Run:
    """recipe: its resolved tables. training, validation: lines of metrics.jsonl. result: what pretrain returned."""

    folder: Path
    recipe: Mapping[str, Any]
    record: Record
    training: Sequence[Mapping[str, Any]]
    validation: Sequence[Mapping[str, Any]]
    result: Mapping[str, Any]

    @property
    def name(self) -> str:
        """What the recipe is called."""
        return str(self.recipe.get("name") or self.folder.resolve().name)

    @property
    def seed(self) -> int:
        """The seed of everything random in the run."""
        return int(self.record.resolved["seed"])

    @property
    def heads(self) -> tuple[str, ...]:
        """The heads that were trained."""
        return needed_heads(config.build(ObjectivesConfig, self.record.resolved["objectives"], "objectives"))

    @property
    def initial(self) -> bool:
        """Whether training started from the weights of another model."""
        return bool(self.record.inputs.get("initial model"))

    @property
    def shares(self) -> list[float]:
        """What each of several corpora gives to a step; empty where there is only one."""
        return [float(share) for share in self.record.inputs.get(CORPUS_SHARES, "").split()]

    @property
    def longest(self) -> int:
        """Tokens of the longest sequence trained."""
        long_phase = self.record.resolved["long_phase"]
        return max(self.cut.length, long_phase["length"] if long_phase["share"] else 0)

    @property
    def cut(self) -> CutConfig:
        """How the sequences of its first phase were cut."""
        return CutConfig(**self.record.resolved["cut"])

    @property
    def masking(self) -> MaskingConfig:
        """How they were masked."""
        return MaskingConfig(**self.record.resolved["masking"])


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
    return Run(
        folder,
        recipe,
        read_record(folder / "environment.json"),
        [line for line in lines if "validation" not in line],
        [{"step": line["step"], **line["validation"]} for line in lines if "validation" in line],
        result,
    )
