"""Which settings and which seeds are trained, and what they come to: best by validation, mean and deviation.

Grids are small: every point is trained with the first seed, and only the best one with the others, as it is done in
the papers that compare a handful of rates. The figure of a best run is a little kind to itself; the mean is not.
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from bertsmith import config, console
from bertsmith.errors import BertsmithError, UsageError
from bertsmith.tasks.finetuning_config import FinetuningConfig

LONGEST_NAME = 100  # characters of a folder of runs
BASELINES = ("auto", "all", "none")


@dataclass(frozen=True)
class Search:
    """How often is trained, and what is set beside the result.

    seeds: how many, counted up from the seed. grid: fields with values to try. baselines: "all" trains the same
    encoder from random weights too; "auto" only where training was short; "none" leaves out every baseline.
    """

    seeds: int = 1
    grid: Sequence[str] = ()
    baselines: str = "auto"

    def check(self) -> None:
        """UsageError for what is out of range."""
        if self.seeds < 1:
            raise UsageError(f"--seeds: must be 1 or more, not {self.seeds}")
        if self.baselines not in BASELINES:
            raise UsageError(f"--baselines: wants one of {', '.join(BASELINES)}, not {self.baselines!r}")
        grid_points(self.grid)


class Trial(NamedTuple):
    """One training: settings by dotted key as typed, and its seed."""

    settings: dict[str, str]
    seed: int

    @property
    def name(self) -> str:
        """A folder name that says what is special: "learning_rate-2e-5,seed-0"."""
        parts = [f"{key.rpartition('.')[2]}-{value}" for key, value in self.settings.items()]
        name = ",".join([*parts, f"seed-{self.seed}"])
        return "".join(c if c.isalnum() or c in "-_.,+" else "_" for c in name)[:LONGEST_NAME]


class Outcome(NamedTuple):
    """What a trial came to. result: what fine-tuning returned, as JSON; {} where it failed. failed: why, or ""."""

    trial: Trial
    result: dict[str, Any]
    failed: str = ""

    def value(self, metric: str) -> float:
        """Its validation figure, -inf where there is none."""
        found = self.result.get("validation", {}).get(metric, -math.inf)
        return found if isinstance(found, int | float) and not math.isnan(found) else -math.inf


class Found(NamedTuple):
    """best: by validation. same: the outcomes with its settings, one per seed. outcomes: all, in order."""

    best: Outcome
    same: list[Outcome]
    outcomes: list[Outcome]


def grid_points(grid: Sequence[str]) -> list[dict[str, str]]:
    """All combinations of ["learning_rate=2e-5,3e-5", "task.layer_decay=0.9,1"]; [{}] of an empty grid.

    A key without a table is one of training. UsageError for what is no field, has no value or stands there twice.
    """
    axes: dict[str, list[str]] = {}
    known = config.all_keys(FinetuningConfig)
    for text in grid:
        name, equals, values = text.partition("=")
        key = name.strip().removeprefix("--").replace("-", "_")
        key = key if "." in key or key == "seed" else f"training.{key}"
        listed = [value.strip() for value in values.split(",") if value.strip()]
        if not equals or not listed:
            raise UsageError(f"--grid {text}: wants a field and its values, such as learning_rate=2e-5,3e-5")
        if key == "seed":
            raise UsageError(f"--grid {text}: seeds are asked for with --seeds N")
        if key not in known:
            raise UsageError(f"--grid {text}: {key} is no field of fine-tuning{config.did_you_mean(key, known)}")
        if key in axes or len(set(listed)) < len(listed):
            raise UsageError(f"--grid {text}: stands there twice")
        axes[key] = listed
        for value in listed:
            config.parse_overrides(FinetuningConfig, {key: value})
    return [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]


def find_best(
    points: Sequence[dict[str, str]], seeds: Sequence[int], metric: str, run: Callable[[Trial], dict[str, Any]]
) -> Found:
    """Train every point with the first seed and the best point with the other seeds.

    `run` trains one trial, or takes up what is there of it, and returns its result. A trial that fails is left out
    and told; BertsmithError when all do.
    """
    outcomes = [_attempt(Trial(point, seeds[0]), run, metric) for point in points]
    best = _best(outcomes, metric)
    if len(points) > 1:
        shown = ", ".join(f"{key} {value}" for key, value in best.trial.settings.items())
        console.say(f"best of {len(points)} settings: {shown} ({metric} {best.value(metric):.4f})")
    rest = [_attempt(Trial(best.trial.settings, seed), run, metric) for seed in seeds[1:]]
    outcomes += rest
    same = [outcome for outcome in outcomes if outcome.trial.settings == best.trial.settings and not outcome.failed]
    return Found(_best(same, metric), same, outcomes)


def _attempt(trial: Trial, run: Callable[[Trial], dict[str, Any]], metric: str) -> Outcome:
    try:
        outcome = Outcome(trial, run(trial))
    except BertsmithError as error:
        if type(error) is not BertsmithError:  # wrong usage and requests to stop end everything
            raise
        console.warn(f"{trial.name}: {error}")
        return Outcome(trial, {}, str(error))
    console.say(f"{trial.name}: {metric} {outcome.value(metric):.4f} in {console.duration(outcome.result['seconds'])}")
    return outcome


def _best(outcomes: Sequence[Outcome], metric: str) -> Outcome:
    best = max(outcomes, key=lambda outcome: (not outcome.failed, outcome.value(metric)))
    if best.failed:
        raise BertsmithError(best.failed)
    return best


def spread(outcomes: Sequence[Outcome]) -> dict[str, dict[str, float]]:
    """{"mean": {metric: value}, "standard_deviation": {...}} over seeds; the deviation is the sample's (n - 1)."""
    names = outcomes[0].result["validation"]
    values = {name: [outcome.result["validation"][name] for outcome in outcomes] for name in names}
    return {
        "mean": {name: statistics.fmean(found) for name, found in values.items()},
        "standard_deviation": {
            name: statistics.stdev(found) if len(found) > 1 else 0.0 for name, found in values.items()
        },
    }
