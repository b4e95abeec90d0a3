"""Which objectives a run trains."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

ObjectiveName = Literal["masked_lm", "pair"]


@dataclass(frozen=True)
class ObjectivesConfig:
    """The active objectives; their losses are added, unweighted, as in BERT."""

    use: tuple[ObjectiveName, ...] = field(
        default=("masked_lm", "pair"), metadata={"help": "active objectives (a list replaces the recipe's)"}
    )
