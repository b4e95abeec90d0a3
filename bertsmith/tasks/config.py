"""How text is read, and cut into pairs, where a model is evaluated on it. Needs no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bertsmith import config
from bertsmith.data.config import CutConfig
from bertsmith.text.config import TextConfig


@dataclass(frozen=True)
class EvaluationConfig:
    """What the flags of `evaluate` and `compare` may set."""

    text: TextConfig = TextConfig()
    cut: CutConfig = CutConfig()


def evaluation_config(flags: Mapping[str, config.Override] | None) -> EvaluationConfig:
    """The config with flags as typed on a command line: {"text.field": "body"}. UsageError for each mistake."""
    return config.build(EvaluationConfig, config.parse_overrides(EvaluationConfig, flags or {}), "")
