"""A study on given corpora: which runs it takes, each with an equal budget and a fingerprint of all that decides it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from bertsmith import config, store
from bertsmith.data.corpus import Corpus
from bertsmith.errors import UsageError
from bertsmith.models.config import EncoderConfig
from bertsmith.models.families import FAMILIES
from bertsmith.pretraining import plan_of
from bertsmith.recipe import find_recipe, load_recipe
from bertsmith.studies.study import Arm, Study
from bertsmith.training import budget
from bertsmith.training.cost import operations_of
from bertsmith.training.device import Device
from bertsmith.training.finished import FREE
from bertsmith.training.plan import PretrainingPlan, open_sources
from bertsmith.training.student import inherited_fields

MATCHED = 0.02
"""How far the budget of a run may be from that of the study, as a share of it."""


@dataclass(frozen=True)
class Run:
    """One training. rate: its learning rate where that is not the recipe's, else 0; share: of the study's budget.

    flags: fields over its recipe, by dotted key. plan: what they come to. fingerprint: equal for the same weights.
    """

    arm: str
    seed: int
    rate: float
    share: float
    recipe: Path
    flags: Mapping[str, Any]
    plan: PretrainingPlan
    corpus: Path
    teacher: Run | None
    fingerprint: str

    @property
    def name(self) -> str:
        """What its folder is called."""
        rate = f"-{self.rate:g}" if self.rate else ""
        part = f"-{100 * self.share:.0f}" if self.share < 1 else ""
        return f"{self.arm}{rate}{part}-seed{self.seed}-{self.mark}"

    @property
    def mark(self) -> str:
        """What tells it from others in the names of files."""
        return self.fingerprint[:12]


@dataclass(frozen=True)
class Design:
    """A study with the corpora it is carried out on, by name; the first is the one that arms take by default."""

    study: Study
    corpora: Mapping[str, Path]

    def run(self, arm: Arm, seed: int, rate: float = 0.0, share: float = 1.0) -> Run:
        """The run of an arm with a seed; a rate that is the recipe's own is no other run."""
        if rate and rate == self._plan(arm, seed, 0.0, {"training.steps": 1})[0].training.learning_rate:
            rate = 0.0
        key = (arm.name, seed, rate, share)
        if key not in self._runs:
            self._runs[key] = self._run(arm, seed, rate, share)
        return self._runs[key]

    def _run(self, arm: Arm, seed: int, rate: float, share: float) -> Run:
        plan, flags = self._within_budget(arm, seed, rate, share * (1 - arm.teacher_share))
        teacher = self.teacher_of(arm, seed)
        values = {key: value for key, value in config.flat_values(plan.values()).items() if key not in FREE}
        fingerprint = store.fingerprint(values, self.opened(arm).fingerprint, teacher.fingerprint if teacher else "")
        path, corpus = self.recipe_of(arm), self.corpora[self.corpus_of(arm)]
        return Run(arm.name, seed, rate, share, path, flags, plan, corpus, teacher, fingerprint)

    def teacher_of(self, arm: Arm, seed: int) -> Run | None:
        """The run that teaches an arm: within the arm's own budget, or that of another arm."""
        if not arm.teacher:
            return None
        other = self.study.arm(arm.teacher)
        if self.tokenizer_of(other) != self.tokenizer_of(arm):
            raise UsageError(f"its teacher {other.name} has another tokenizer")
        return self.run(other, seed, share=arm.teacher_share or 1.0)

    def corpus_of(self, arm: Arm) -> str:
        """The name of the corpus an arm is trained on; UsageError when it is not there."""
        if arm.corpus and arm.corpus not in self.corpora:
            raise UsageError(f"wants its own --corpus {arm.corpus}=FOLDER")
        return next((name for name in (arm.corpus, arm.prefers) if name in self.corpora), next(iter(self.corpora)))

    @property
    def length(self) -> int:
        """Tokens of the sequences that all models are asked: what the shortest of them reads."""
        return min(self.run(arm, 0).plan.longest for arm in self.study.arms)

    def values(self) -> dict[str, Any]:
        """All that decides what the study finds, but for the number of seeds."""
        study = self.study
        told = ("note",)
        arms = {
            arm.name: {**{k: v for k, v in config.to_values(arm).items() if k not in told}, "set": study.sets[arm.name]}
            for arm in study.arms
        }
        common = {key: value for key, value in config.flat_values(dict(study.set)).items() if key not in FREE}
        return {
            "study": study.name,
            "base": study.base,
            "budget": dict([study.budget.unit_and_amount]),
            "set": common,
            "arms": arms,
            "corpora": {name: corpus.fingerprint for name, corpus in self.opened_corpora.items()},
        }

    # --- one arm ---

    def recipe_of(self, arm: Arm) -> Path:
        """The recipe that an arm builds on."""
        return find_recipe(arm.recipe or self.study.base, self.study.path.parent)

    def opened(self, arm: Arm) -> Corpus:
        """The corpus an arm is trained on."""
        return self.opened_corpora[self.corpus_of(arm)]

    def tokenizer_of(self, arm: Arm) -> str:
        """The fingerprint of its corpus' tokenizer."""
        return str(self.opened(arm).details["tokenizer_fingerprint"])

    @cached_property
    def opened_corpora(self) -> dict[str, Corpus]:
        """The corpora by name, opened once."""
        return {name: Corpus.open(folder) for name, folder in self.corpora.items()}

    @cached_property
    def _runs(self) -> dict[tuple[str, int, float, float], Run]:
        return {}

    @cached_property
    def _costs(self) -> dict[str, float]:
        return {}

    def _within_budget(self, arm: Arm, seed: int, rate: float, share: float) -> tuple[PretrainingPlan, dict[str, Any]]:
        """The plan of a run that uses that share of the budget, and the flags that make it."""
        unit, amount = self.study.budget.unit_and_amount
        amount *= share
        cost = self._cost_of_step(arm)
        if unit == "minutes":
            return self._plan(arm, seed, rate, {"training.minutes": amount})
        steps = round(amount / cost)
        if steps < 1 or abs(steps * cost - amount) > MATCHED * amount:
            raise UsageError(
                f"{amount:,.10g} {unit} cannot be met within {MATCHED:.0%}: a step has {cost:,.0f};"
                " give a larger budget"
            )
        return self._plan(arm, seed, rate, {"training.steps": steps})

    def _plan(
        self, arm: Arm, seed: int, rate: float, budget_flag: Mapping[str, Any]
    ) -> tuple[PretrainingPlan, dict[str, Any]]:
        corpus = self.opened(arm)
        flags: dict[str, Any] = {
            **config.flat_values(dict(self.study.set)),
            **config.flat_values(dict(self.study.sets[arm.name])),
            "seed": seed,
            **({"training.learning_rate": rate} if rate else {}),
            **budget_flag,
        }
        sizes = self._sizes_from_teacher(arm, flags)
        recipe = load_recipe(self.recipe_of(arm), flags, sizes)
        if FAMILIES[recipe.model.family].positions_after_padding:  # the tokenizer decides, not the recipe
            flags["model.position_offset"] = corpus.tokenizer.special.pad + 1
            recipe = load_recipe(self.recipe_of(arm), flags, sizes)
        plan = plan_of(recipe)
        plan = replace(plan, model=replace(plan.model, vocab_size=corpus.vocab_size))
        plan.check()
        if "masked_lm" not in plan.heads:
            raise UsageError("objectives.use has no masked_lm, by which a study judges")
        return plan, flags

    def _sizes_from_teacher(self, arm: Arm, flags: Mapping[str, Any]) -> config.Values | None:
        """The sizes of a student that starts from its teacher's layers, as `pretrain` gives them to it."""
        teacher = self._teacher_of(arm)
        objectives = load_recipe(self.recipe_of(arm), flags).objectives
        return inherited_fields(objectives.distillation, teacher) if teacher and objectives.distils else None

    def _teacher_of(self, arm: Arm) -> EncoderConfig | None:
        if not arm.teacher:
            return None
        plan, _ = self._plan(self.study.arm(arm.teacher), 0, 0.0, {"training.steps": 1})
        return plan.model

    def _cost_of_step(self, arm: Arm) -> float:
        """What a step uses of the budget; the same for every seed and rate, so that runs of an arm have equal steps.

        BertsmithError where the corpus has no whole step.
        """
        if arm.name not in self._costs:
            self._costs[arm.name] = self._cost(arm)
        return self._costs[arm.name]

    def _cost(self, arm: Arm) -> float:
        unit, _ = self.study.budget.unit_and_amount
        plan, _ = self._plan(arm, 0, 0.0, {"training.steps": 1})
        sources = open_sources(plan, self.opened(arm), Device(torch.device("cpu")), None)
        for source in sources:
            source.steps_per_epoch(0)
        if unit in ("steps", "minutes"):
            return 1.0
        total = 0.0
        for phase, source, share in zip(plan.phases, sources, plan.long_phase.shares, strict=True):
            cost = budget.tokens_per_step(source)
            if unit == "operations":
                cost *= operations_of(phase, self._teacher_of(arm))["total"]
            total += share * cost
        return total


def parse_corpora(given: Sequence[str]) -> dict[str, Path]:
    """["en", "bytes=en-bytes"] as {"": en, "bytes": en-bytes}: the one without a name comes first."""
    found: dict[str, Path] = {}
    for one in given:
        name, equals, folder = ("", "", one) if "=" not in one or Path(one).is_dir() else one.partition("=")
        if name in found:
            told = f"{name} twice" if equals else "two corpora without a name; call the others NAME=FOLDER"
            raise UsageError(f"--corpus: gives {told}")
        found[name] = Path(folder)
    if not found:
        raise UsageError("--corpus: is missing")
    return dict(sorted(found.items(), key=lambda item: item[0] != ""))
