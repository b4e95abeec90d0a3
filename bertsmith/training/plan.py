"""What a pretraining run is asked to do, and its examples: one or two phases over one corpus or several."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from bertsmith import config
from bertsmith.batch import Batch
from bertsmith.data.config import CutConfig, MaskingConfig
from bertsmith.data.corpus import Corpus
from bertsmith.data.loader import stream
from bertsmith.data.mixture import Batches, MixedCorpus, open_batches
from bertsmith.errors import UsageError
from bertsmith.models.config import EncoderConfig
from bertsmith.objectives.config import ObjectivesConfig
from bertsmith.objectives.table import OBJECTIVES, needed_heads
from bertsmith.training.config import LongPhaseConfig, TrainingConfig
from bertsmith.training.device import Device


@dataclass(frozen=True)
class PretrainingPlan:
    """The parts of a recipe that pretraining reads, and the recipe's text for the run folder.

    recipe_text: the resolved recipe as TOML; its [training] and [model] tables are rewritten with what was settled.
    recipe_advice: a line to say before step 1, or "".
    """

    seed: int
    model: EncoderConfig
    cut: CutConfig
    masking: MaskingConfig
    objectives: ObjectivesConfig
    training: TrainingConfig
    long_phase: LongPhaseConfig = field(default_factory=LongPhaseConfig)
    recipe_text: str = ""
    recipe_name: str = ""
    recipe_advice: str = ""

    def check(self) -> None:
        """UsageError naming the key when parts contradict each other."""
        self.training.check()
        self.masking.check()
        self.model.resolved().check()
        self.objectives.check()
        if not self.objectives.use:
            raise UsageError(f"objectives.use: is empty; name at least one of {', '.join(OBJECTIVES)}")
        if "pair" in self.objectives.use and not self.cut.makes_pairs:
            raise UsageError(f'objectives.use: "pair" needs a cut that makes pairs, not cut.name = "{self.cut.name}"')
        if self.objectives.keeps_words and not self.masking.copies:
            raise UsageError(
                "objectives.distillation.cache_top_k: masking.copies is 0, so every epoch has masks of its own and "
                "nothing would ever be read twice; set masking.copies to 1 or more"
            )
        if self.longest > self.model.max_positions:
            key = "cut.length" if self.cut.length == self.longest else "long_phase.length"
            raise UsageError(f"{key}: {self.longest} is more than model.max_positions = {self.model.max_positions}")

    @property
    def longest(self) -> int:
        """Tokens of the longest sequence trained."""
        return max(self.cut.length, self.long_phase.length if self.long_phase.share else 0)

    @property
    def phases(self) -> list[PretrainingPlan]:
        """Each phase, one or two, with its own lengths, masks and batch."""
        long = self.long_phase
        if not long.share:
            return [self]
        training = replace(self.training, batch_size=long.batch_size or self.training.batch_size)
        masking = replace(self.masking, max_predictions=long.max_predictions)
        return [self, replace(self, cut=replace(self.cut, length=long.length), masking=masking, training=training)]

    @property
    def heads(self) -> tuple[str, ...]:
        """The heads that the objectives train."""
        return needed_heads(self.objectives)

    def values(self) -> dict[str, Any]:
        """All that decides the result, as plain nested values: what a resumed run is compared by."""
        names = [f.name for f in fields(self) if not f.name.startswith("recipe_")]
        tables = {name: getattr(self, name) for name in names if name != "seed"}
        return {"seed": self.seed, **{name: config.to_values(table) for name, table in tables.items()}}

    def defaults(self) -> dict[str, Any]:
        """What fields are where nothing is said, by dotted key."""
        return config.defaults(type(self))

    def recipe(self, resolved: Mapping[str, Any]) -> dict[str, Any]:
        """The tables of recipe.toml, with the values that were settled."""
        tables: dict[str, Any] = tomllib.loads(self.recipe_text) if self.recipe_text else {"name": self.recipe_name}
        if "tokenizer" in tables:  # where it was "auto" or larger than what the text could fill
            tables["tokenizer"]["size"] = resolved["model"]["vocab_size"]
        return config.merge(tables, resolved)


def open_sources(
    plan: PretrainingPlan, corpus: Corpus | MixedCorpus, device: Device, folder: Path | None
) -> list[Batches]:
    """The examples of each phase (one or two); `folder` is where they keep which spans make which example."""
    return [
        open_batches(
            corpus,
            phase.cut,
            phase.masking,
            phase.training.batch_size,
            plan.seed,
            rank=device.rank,
            world=device.world,
            micro_batch=plan.training.micro_batch,
            plans=folder,
            objectives=plan.objectives.use,
        )
        for phase in plan.phases
    ]


def batches_from(sources: Sequence[Batches], ends: list[int], start: int, workers: int) -> Iterator[list[Batch]]:
    """This rank's micro-batches of step `start`, `start` + 1, ...; phase i ends before step `ends[i]`."""
    begin = 0
    for source, end in zip(sources, ends, strict=True):
        if start < end:
            yield from stream(source, max(start - begin, 0), end - begin, workers)
        begin = end
