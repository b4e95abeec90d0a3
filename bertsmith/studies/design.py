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
from bertsmith.models.families import FAMILIES
from bertsmith.pretraining import plan_of
from bertsmith.recipe import find_recipe, load_recipe
from bertsmith.studies.study import Arm, Study
from bertsmith.training import budget
from bertsmith.training.cost import operations_of
from bertsmith.training.device import Device
from bertsmith.training.plan import PretrainingPlan, open_sources

MATCHED = 0.02
"""How far the budget of a run may be from that of the study, as a share of it."""


@dataclass(frozen=True)
class Run:
    """One training. rate: its learning rate where that is not the recipe's; share: of the study's budget.

    flags: fields over its recipe, by dotted key. fingerprint: equal for the same weights. used: of the budget's unit,
    as planned; 0 of minutes, which are known afterwards.
    """

    arm: str
    seed: int
    rate: float
    share: float
    recipe: Path
    flags: Mapping[str, Any]
    corpus: Path
    teacher: Run | None
    fingerprint: str
    used: float

    @property
    def name(self) -> str:
        """What its folder is called: readable, and the same in every study that holds it under this arm."""
        rate = f"-{self.rate:g}" if self.rate else ""
        part = f"-{self.share:.0%}".replace("%", "") if self.share < 1 else ""
        return f"{self.arm}{rate}{part}-seed{self.seed}-{self.fingerprint[:12]}"


@dataclass(frozen=True)
class Design:
    """A study with the corpora it is carried out on, by name; the first is the one that arms take by default."""

    study: Study
    corpora: Mapping[str, Path]

    def check(self) -> None:
        """UsageError for the first arm that cannot be trained as the study says, before anything is."""
        for arm in self.study.arms:
            self.run(arm, seed=0)

    def run(self, arm: Arm, seed: int, rate: float = 0.0, share: float = 1.0) -> Run:
        """The run of an arm with a seed."""
        key = (arm.name, seed, rate, share)
        if key not in self._runs:
            self._runs[key] = self._run(arm, seed, rate, share)
        return self._runs[key]

    def _run(self, arm: Arm, seed: int, rate: float, share: float) -> Run:
        plan, flags, used = self._within_budget(arm, seed, rate, share * (1 - arm.teacher_share))
        teacher = self.teacher_of(arm, seed)
        fingerprint = store.fingerprint(
            plan.values(), self._opened(arm).fingerprint, teacher.fingerprint if teacher else ""
        )
        path, corpus = self._recipe_of(arm), self.corpora[self.corpus_of(arm)]
        return Run(arm.name, seed, rate, share, path, flags, corpus, teacher, fingerprint, used)

    def teacher_of(self, arm: Arm, seed: int) -> Run | None:
        """The run that teaches an arm: within the arm's own budget, or that of another arm."""
        if not arm.teacher:
            return None
        return self.run(self.study.arm(arm.teacher), seed, share=arm.teacher_share or 1.0)

    def corpus_of(self, arm: Arm) -> str:
        """The name of the corpus an arm is trained on; UsageError when it is not there."""
        if arm.corpus and arm.corpus not in self.corpora:
            raise UsageError(f"{self.study.path}: arm {arm.name} wants its own --corpus {arm.corpus}=FOLDER")
        return next((name for name in (arm.corpus, arm.prefers) if name in self.corpora), next(iter(self.corpora)))

    def values(self) -> dict[str, Any]:
        """All that decides what the study finds, but for the number of seeds."""
        study = self.study
        return {
            "study": study.name,
            "base": study.base,
            "budget": config.to_values(study.budget),
            "set": dict(study.set),
            "arms": {arm.name: {**config.to_values(arm), "set": dict(study.sets[arm.name])} for arm in study.arms},
            "corpora": {name: Corpus.open(folder).fingerprint for name, folder in self.corpora.items()},
        }

    # --- one arm ---

    def _recipe_of(self, arm: Arm) -> Path:
        return find_recipe(arm.recipe or self.study.base, self.study.path.parent)

    def _opened(self, arm: Arm) -> Corpus:
        return self._corpora[self.corpus_of(arm)]

    @cached_property
    def _corpora(self) -> dict[str, Corpus]:
        return {name: Corpus.open(folder) for name, folder in self.corpora.items()}

    @cached_property
    def _runs(self) -> dict[tuple[str, int, float, float], Run]:
        return {}

    @cached_property
    def _tokens(self) -> dict[str, float]:
        return {}

    def _within_budget(
        self, arm: Arm, seed: int, rate: float, share: float
    ) -> tuple[PretrainingPlan, dict[str, Any], float]:
        """The plan, the flags that make it, and what it uses of the budget."""
        unit, amount = self.study.budget.unit_and_amount
        plan, flags = self._plan(arm, seed, rate, {"training.steps": 1})
        if unit == "minutes":
            return *self._plan(arm, seed, rate, {"training.minutes": amount * share}), 0.0
        cost = 1.0 if unit == "steps" else self._tokens_per_step(arm, plan)
        if unit == "operations":
            cost *= self._operations_per_token(arm, plan)
        steps = round(amount * share / cost)
        if steps < 1 or abs(steps * cost - amount * share) > MATCHED * amount * share:
            raise UsageError(
                f"{self.study.path}: arm {arm.name}: {amount * share:g} {unit} cannot be met within {MATCHED:.0%}: a"
                f" step has {cost:,.0f}; give a larger budget"
            )
        return *self._plan(arm, seed, rate, {"training.steps": steps}), steps * cost

    def _plan(
        self, arm: Arm, seed: int, rate: float, budget_flag: Mapping[str, Any]
    ) -> tuple[PretrainingPlan, dict[str, Any]]:
        corpus = self._opened(arm)
        flags: dict[str, Any] = {
            **config.flat_values(dict(self.study.set)),
            **config.flat_values(dict(self.study.sets[arm.name])),
            "seed": seed,
            **({"training.learning_rate": rate} if rate else {}),
            **budget_flag,
        }
        recipe = load_recipe(self._recipe_of(arm), flags)
        if FAMILIES[recipe.model.family].positions_after_padding:  # the tokenizer decides, not the recipe
            flags["model.position_offset"] = corpus.tokenizer.special.pad + 1
            recipe = load_recipe(self._recipe_of(arm), flags)
        plan = plan_of(recipe)
        plan = replace(plan, model=replace(plan.model, vocab_size=corpus.vocab_size))
        plan.check()
        return plan, flags

    def _tokens_per_step(self, arm: Arm, plan: PretrainingPlan) -> float:
        """Mean tokens of a step; the same for every seed and rate, so that all runs of an arm have equal steps."""
        if arm.name not in self._tokens:
            sources = open_sources(replace(plan, seed=0), self._opened(arm), Device(torch.device("cpu")), None)
            self._tokens[arm.name] = budget.tokens_per_step(sources[0])
        return self._tokens[arm.name]

    def _operations_per_token(self, arm: Arm, plan: PretrainingPlan) -> float:
        """Of the model, and of its teacher's pass; where both meet the whole vocabulary, at every position."""
        found = operations_of(plan)
        if not arm.teacher:
            return found["total"]
        other, _ = self._plan(self.study.arm(arm.teacher), 0, 0.0, {"training.steps": 1})
        taught = operations_of(other)
        total = found["total"] + taught["total"] / 3
        if plan.objectives.distillation.kl:
            total += 3 * _vocabulary(plan) - found["vocabulary"] + _vocabulary(other) - taught["vocabulary"] / 3
        return total


def _vocabulary(plan: PretrainingPlan) -> float:
    model = plan.model.resolved()
    return 2 * model.embedding_size * (model.hidden_size + model.vocab_size)


def parse_corpora(given: Sequence[str]) -> dict[str, Path]:
    """["en", "bytes=en-bytes"] as {"": en, "bytes": en-bytes}: the one without a name comes first."""
    found: dict[str, Path] = {}
    for one in given:
        name, equals, folder = one.rpartition("=")
        if name in found:
            told = f"{name} twice" if equals else "two corpora without a name; call the others NAME=FOLDER"
            raise UsageError(f"--corpus: gives {told}")
        found[name] = Path(folder)
    if not found:
        raise UsageError("--corpus: is missing")
    return dict(sorted(found.items(), key=lambda item: item[0] != ""))
