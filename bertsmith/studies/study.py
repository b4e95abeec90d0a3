"""A study: a question, arms that differ in one thing, and claims about them, read from a TOML file.

    question = "..."
    base = "bert-mini"                      # a recipe
    [budget]                                # of every run, in one unit
    tokens = 5_000_000
    [set]                                   # fields of the recipe, for all arms
    cut.length = 128
    [[arms]]                                # name, note, recipe, corpus, prefers, teacher, teacher_share, rates
    name = "all"
    set = { model.sharing = "all" }
    [[claims]]                              # better, worse: arms; metric; text; paper
    better = "none"
    worse = "all"

A study without claims asks whether its first arm is better than each other one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from bertsmith import config
from bertsmith.config import Flags, Values
from bertsmith.errors import UsageError
from bertsmith.recipe import Recipe, find_recipe
from bertsmith.studies.metrics import METRICS, TASK

FOLDER = Path(__file__).with_name("shipped")
NAME = re.compile(r"\w[\w .+-]{0,59}")
OF_CORPUS = ("tokenizer", "text")
OF_STUDY = {
    "seed": "--seeds says how many there are",
    "name": "an arm has a name of its own",
    **{f"training.{unit}": f"the study has a budget; give --budget.{unit}" for unit in ("steps", "tokens", "minutes")},
    "training.epochs": "the study has a budget; give --budget.tokens",
}
"""Fields of a recipe that are not an arm's to set, and why."""
Share = Annotated[float, Field(ge=0.0, lt=1.0)]


@dataclass(frozen=True)
class BudgetConfig:
    """What every run may use; exactly one is above 0."""

    tokens: Annotated[int, Field(ge=0)] = 0
    steps: Annotated[int, Field(ge=0)] = 0
    operations: Annotated[float, Field(ge=0)] = 0.0
    minutes: Annotated[float, Field(ge=0)] = 0.0

    @property
    def unit_and_amount(self) -> tuple[str, float]:
        """("tokens", 300000) of a budget that was checked."""
        return self.given[0]

    @property
    def given(self) -> list[tuple[str, float]]:
        """All that are above 0."""
        return [(name, value) for name, value in config.to_values(self).items() if value]


@dataclass(frozen=True)
class Arm:
    """One of the things that are compared.

    recipe: "" = the study's base. corpus: the name of the corpus it needs; prefers: of one it takes if given; else the
    first. teacher: an arm that teaches it; teacher_share: of the budget that goes to a teacher of its own, 0 = the
    teacher is that arm's run, whose cost is not counted. rates: learning rates of which the best is taken.
    """

    name: str
    note: str = ""
    recipe: str = ""
    corpus: str = ""
    prefers: str = ""
    teacher: str = ""
    teacher_share: Share = 0.0
    rates: tuple[float, ...] = ()


@dataclass(frozen=True)
class Claim:
    """That one arm is better than another by a metric. paper: what was published."""

    better: str
    worse: str
    metric: str = "loss"
    text: str = ""
    paper: str = ""


@dataclass(frozen=True)
class _Head:
    question: str
    base: str
    note: str = ""
    seeds: Annotated[int, Field(ge=1)] = 3
    budget: BudgetConfig = BudgetConfig()


@dataclass(frozen=True)
class Study:
    """A whole study. name: that of its file. set, sets: fields of the recipe, nested, for all arms and for each."""

    name: str
    path: Path
    question: str
    note: str
    base: str
    seeds: int
    budget: BudgetConfig
    set: Values
    arms: tuple[Arm, ...]
    sets: Mapping[str, Values]
    claims: tuple[Claim, ...]

    @property
    def reference(self) -> str:
        """What finds its file again: the name of a shipped one, wherever bertsmith lies, or a path."""
        return self.name if self.path.parent == FOLDER else str(self.path.absolute())

    def arm(self, name: str) -> Arm:
        """The arm of that name."""
        return next(arm for arm in self.arms if arm.name == name)


def shipped() -> list[str]:
    """Names of the studies that come with bertsmith."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def find_study(name_or_path: str | Path) -> Path:
    """The file of a shipped name, or of a path."""
    path = FOLDER / f"{name_or_path}.toml"
    if "/" not in str(name_or_path) and path.is_file():
        return path
    if Path(name_or_path).is_file():
        return Path(name_or_path)
    near = config.did_you_mean(str(name_or_path), shipped()) or "; see bertsmith study list"
    raise UsageError(f"{name_or_path}: no such study (a shipped name or a TOML file){near}")


def load_study(name_or_path: str | Path, flags: Flags | None = None, seeds: int = 0) -> Study:
    """A study with what was typed over it: its budget (`budget.tokens`), fields of the recipe for all arms, seeds.

    UsageError with one line per mistake.
    """
    path = find_study(name_or_path)
    values = _in_lines(config.read(path))
    budget = {key: text for key, text in (flags or {}).items() if key.startswith("budget.")}
    fields = {key: text for key, text in (flags or {}).items() if not key.startswith("budget.")}
    head = config.build(_Head, {k: v for k, v in values.items() if k not in ("arms", "claims", "set")}, str(path))
    arms, sets = [], {}
    for number, table in _tables(values, "arms", path):
        place = f"{path}: arms.{number}"
        arms.append(config.build(Arm, {key: value for key, value in table.items() if key != "set"}, place))
        sets[arms[-1].name] = _fields_of(table.get("set", {}), f"{place}.set")
    claims = tuple(
        config.build(Claim, table, f"{path}: claims.{number}") for number, table in _tables(values, "claims", path)
    )
    common = _fields_of(values.get("set", {}), f"{path}: set")
    if budget:
        typed = {key.removeprefix("budget."): text for key, text in budget.items()}
        head = replace(head, budget=config.build(BudgetConfig, _budget(typed), "--budget"))
    typed_values = config.parse_overrides(Recipe, fields)
    study = Study(
        path.stem,
        path,
        head.question,
        head.note,
        head.base,
        seeds or head.seeds,
        head.budget,
        config.merge(common, typed_values),
        tuple(arms),
        sets,
        claims or tuple(Claim(arms[0].name, arm.name) for arm in arms[1:]),
    )
    _check_typed(study, config.flat_values(typed_values))
    _check(study)
    return study


def _budget(typed: Mapping[str, Any]) -> Values:
    try:
        return config.parse_overrides(BudgetConfig, typed)
    except UsageError as error:
        raise UsageError("\n".join(line.replace("--", "--budget.", 1) for line in str(error).split("\n"))) from error


def _in_lines(value: Any) -> Any:
    """Every text on one line, as tables show it, however it was broken in the file."""
    if isinstance(value, dict):
        return {key: _in_lines(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_in_lines(one) for one in value]
    return " ".join(value.split()) if isinstance(value, str) else value


def _tables(values: Values, key: str, path: Path) -> list[tuple[int, Values]]:
    found = values.get(key, [])
    if not isinstance(found, list) or not all(isinstance(table, dict) for table in found):
        raise UsageError(f"{path}: {key}: is written as [[{key}]]")
    return list(enumerate(found, 1))


def _fields_of(table: Any, place: str) -> Values:
    """Fields of a recipe as nested tables, checked by name and type."""
    if not isinstance(table, dict):
        raise UsageError(f"{place}: wants a table")
    try:
        return config.parse_overrides(Recipe, config.flat_values(table))
    except UsageError as error:
        told = str(error).replace("unknown flag", "unknown key").split("\n")
        raise UsageError("\n".join(line.replace("--", f"{place}.", 1) for line in told)) from error


def _check_typed(study: Study, typed: Values) -> None:
    """UsageError for a typed field that is not for a study to set, or that an arm sets itself."""
    mistakes = [f"--{key.replace('_', '-')}: {reason}" for key in typed if (reason := _not_an_arms(key))]
    for arm in study.arms:
        own = {*config.flat_values(study.sets[arm.name]), *(("training.learning_rate",) if arm.rates else ())}
        mistakes += [
            f"--{key.replace('_', '-')}: arm {arm.name} of {study.name} sets its own" for key in typed if key in own
        ]
    if mistakes:
        raise UsageError("\n".join(mistakes))


def _not_an_arms(key: str) -> str:
    """Why a field cannot be set by a study; "" where it can."""
    if key.split(".")[0] in OF_CORPUS:
        return "is settled when a corpus is prepared; give the arm a corpus of its own"
    return OF_STUDY.get(key, "")


def _check(study: Study) -> None:
    """UsageError, one line per mistake, for names that do not fit together."""
    mistakes: list[str] = []
    names = [arm.name for arm in study.arms]
    lowered = [name.lower() for name in names]
    mistakes += [f"arms: {name} is there twice" for name in sorted({n for n in lowered if lowered.count(n) > 1})]
    if len(study.budget.given) != 1:
        told = ", ".join(name for name, _ in study.budget.given) or "none"
        mistakes.append(f"budget: wants one of tokens, steps, operations or minutes, not {told}")
    for place, values in (("set", study.set), *((f"arms: {name}: set", values) for name, values in study.sets.items())):
        mistakes += [f"{place}.{k}: {why}" for k in config.flat_values(dict(values)) if (why := _not_an_arms(k))]
    if len(names) < 2:
        mistakes.append("arms: a study compares two or more")
    for arm in study.arms:
        mistakes += _mistakes_of(arm, study)
    for number, claim in enumerate(study.claims, 1):
        unknown = [name for name in (claim.better, claim.worse) if name not in names]
        mistakes += [f"claims.{number}: no arm is called {name}{config.did_you_mean(name, names)}" for name in unknown]
        if claim.better == claim.worse:
            mistakes.append(f"claims.{number}: better and worse are the same arm")
        if claim.metric not in METRICS and not re.fullmatch(f"{TASK}.+", claim.metric):
            near = config.did_you_mean(claim.metric, list(METRICS))
            mistakes.append(f"claims.{number}: there is no metric {claim.metric}{near}")
    if mistakes:
        raise UsageError("\n".join(f"{study.path}: {mistake}" for mistake in dict.fromkeys(mistakes)))


def _mistakes_of(arm: Arm, study: Study) -> list[str]:
    found, names = [], [one.name for one in study.arms]
    try:
        find_recipe(arm.recipe or study.base, study.path.parent)
    except UsageError as error:
        found.append(f"arms: {arm.name}: recipe: {error}" if arm.recipe else f"base: {error}")
    if not NAME.fullmatch(arm.name):
        found.append(f"arms: {arm.name!r}: a name is letters, digits, space and . + - _, 60 at most")
    if len(set(arm.rates)) < len(arm.rates):
        found.append(f"arms: {arm.name}: a rate is there twice")
    taught, teacher = {arm.name}, arm.teacher
    while teacher in names and teacher not in taught:
        taught.add(teacher)
        teacher = study.arm(teacher).teacher
    if teacher in taught and arm.teacher != arm.name:
        found.append(f"arms: {arm.name}: teaches itself, through {arm.teacher}")
    if arm.teacher and (arm.teacher not in names or arm.teacher == arm.name):
        found.append(f"arms: {arm.name}: its teacher {arm.teacher} is no other arm")
    if arm.teacher_share and not arm.teacher:
        found.append(f"arms: {arm.name}: has teacher_share and no teacher")
    if any(rate <= 0 for rate in arm.rates):
        found.append(f"arms: {arm.name}: rates must be above 0")
    return found
