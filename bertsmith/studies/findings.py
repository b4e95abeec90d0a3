"""What a study found so far, as `--json` prints it: rows, claims with their verdicts, and every run they rest on."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from bertsmith.studies.metrics import metric_of
from bertsmith.studies.runs import Row, StudyFolder, rows_of
from bertsmith.studies.scores import Score
from bertsmith.studies.study import Claim
from bertsmith.studies.verdicts import (
    Effect,
    Noise,
    effect_of,
    holm,
    noise_of,
    smallest_effect,
    verdict_of,
)

Result = dict[str, Any]
ByArm = Mapping[str, Mapping[int, Score]]


class _Judged(NamedTuple):
    claim: Claim
    effect: Effect
    noise: Noise


def findings_of(folder: StudyFolder) -> Result:
    """{study question note base budget matched seeds finished due noise arms claims runs}.

    noise: by metric the deviation of one run and its degrees of freedom. arms: {name arm note runs steps tokens
    scores}, scores by metric with mean and deviation over seeds. claims: {name metric better worse effect interval p
    adjusted_p smallest_visible_effect seed_deviation verdict sentence paper}. runs: {name folder arm seed rate steps
    tokens seconds scores}.
    """
    study, rows = folder.design.study, rows_of(folder)
    scores = {row.name: _scores(folder, row) for row in rows}
    metrics = list(dict.fromkeys(name for arm in scores.values() for run in arm.values() for name in run))
    by_metric = {metric: _of_metric(scores, metric) for metric in metrics}
    noises = {metric: noise_of(arms) for metric, arms in by_metric.items()}
    judged = [one for claim in study.claims if (one := _judge(claim, by_metric, noises)) is not None]
    adjusted = holm([one.effect.p for one in judged])
    all_runs = {run.name: run for row in rows for run in row.runs}
    done = [run for run in all_runs.values() if folder.scores(run) is not None]
    return {
        "study": study.name,
        "question": study.question,
        "note": study.note,
        "base": study.base,
        "budget": dict([study.budget.unit_and_amount]),
        "matched": _matched(folder, rows),
        "seeds": study.seeds,
        "finished": len(done),
        "due": len(all_runs) - len(done),
        "noise": {name: {"deviation": _number(n.deviation), "freedom": n.freedom} for name, n in noises.items()},
        "arms": [_arm(folder, row, scores[row.name]) for row in rows],
        "claims": [_told(one, p, len(judged)) for one, p in zip(judged, adjusted, strict=True)],
        "runs": [_run(folder, run) for run in done],
    }


def _scores(folder: StudyFolder, row: Row) -> dict[int, Mapping[str, Score]]:
    """By seed what the finished runs of a row answered."""
    found = {run.seed: folder.scores(run) for run in row.compared}
    return {seed: scores for seed, scores in found.items() if scores is not None}


def _of_metric(scores: Mapping[str, Mapping[int, Mapping[str, Score]]], metric: str) -> dict[str, dict[int, Score]]:
    """By row and seed one metric, of the rows that have it."""
    found = {
        name: {seed: run[metric] for seed, run in by_seed.items() if metric in run} for name, by_seed in scores.items()
    }
    return {name: by_seed for name, by_seed in found.items() if by_seed}


def _judge(claim: Claim, by_metric: Mapping[str, ByArm], noises: Mapping[str, Noise]) -> _Judged | None:
    """The effect a claim speaks of; None while the arms have no seed in common, or where they lack the metric."""
    arms = by_metric.get(claim.metric, {})
    better, worse = arms.get(claim.better, {}), arms.get(claim.worse, {})
    if not set(better) & set(worse):
        return None
    noise = noises[claim.metric]
    return _Judged(claim, effect_of(better, worse, metric_of(claim.metric).lower, noise), noise)


def _told(one: _Judged, adjusted: float, claims: int) -> Result:
    claim, effect = one.claim, one.effect
    verdict, smallest = verdict_of(effect, adjusted), smallest_effect(effect, one.noise, claims)
    return {
        "name": claim.text or f"{claim.better} is better than {claim.worse}",
        "metric": claim.metric,
        "better": claim.better,
        "worse": claim.worse,
        "effect": effect.value,
        "interval": [_number(bound) for bound in effect.interval],
        "p": effect.p,
        "adjusted_p": adjusted,
        "seeds": effect.seeds,
        "seed_deviation": _number(one.noise.deviation),
        "smallest_visible_effect": _number(smallest),
        "verdict": verdict,
        "sentence": _sentence(one, verdict, smallest),
        "paper": claim.paper,
    }


def _sentence(one: _Judged, verdict: str, smallest: float) -> str:
    """The verdict in one sentence, with what could have been seen at all."""
    claim, effect, metric = one.claim, one.effect, metric_of(one.claim.metric)
    if not one.noise.freedom:
        return f"Undetermined: {effect.seeds} seed of two arms says nothing of noise; give --seeds 2 or more."
    side = "better" if effect.value > 0 else "worse"
    low, high = (f"{_signed(bound, metric.show)}" for bound in effect.interval)
    found = f"{claim.better} is {metric.show(abs(effect.value))} {side} than {claim.worse} in {metric.title}"
    found += f" [{low}, {high}]"
    if verdict == "undetermined":
        return f"Undetermined: {found}; below {metric.show(smallest)} nothing can be told from noise here."
    return f"{verdict.capitalize()}: {found}."


def _signed(value: float, show: Any) -> str:
    return f"{'+' if value >= 0 else '-'}{show(abs(value))}"


def _arm(folder: StudyFolder, row: Row, scores: Mapping[int, Mapping[str, Score]]) -> Result:
    results = [folder.result(run) for run in row.compared if run.seed in scores]
    names = list(dict.fromkeys(name for run in scores.values() for name in run))
    values = {name: [run[name].value for run in scores.values() if name in run] for name in names}
    return {
        "name": row.name,
        "arm": row.arm,
        "note": row.note,
        "runs": len(scores),
        "steps": results[0]["steps"] if results else None,
        "tokens": _mean([result["tokens"] for result in results]),
        "scores": {name: {"mean": _mean(found), "deviation": _deviation(found)} for name, found in values.items()},
    }


def _run(folder: StudyFolder, run: Any) -> Result:
    result, scores = folder.result(run), folder.scores(run) or {}
    return {
        "name": run.name,
        "folder": result["folder"],
        "arm": run.arm,
        "seed": run.seed,
        "rate": run.rate or None,
        "steps": result["steps"],
        "tokens": result["tokens"],
        "seconds": result["seconds"],
        "scores": {name: score.value for name, score in scores.items()},
    }


def _matched(folder: StudyFolder, rows: Sequence[Row]) -> Result:
    """How the budget was met: by planned steps, or, for minutes, by what the runs took. largest: deviation, a share."""
    unit, amount = folder.design.study.budget.unit_and_amount
    runs = [run for row in rows for run in row.compared]
    if unit == "minutes":
        seconds = [folder.result(run)["seconds"] for run in runs if folder.scores(run) is not None]
        used, how = [second / 60 for second in seconds], "steps timed before step 1 of each run"
    else:
        shares = [run.share * (1 - folder.design.study.arm(run.arm).teacher_share) for run in runs]
        used = [run.used / share for run, share in zip(runs, shares, strict=True)]
        how = {"steps": "steps", "tokens": "mean tokens of a step", "operations": "operations of a token"}[unit]
    return {"by": how, "largest_deviation": max((abs(one / amount - 1) for one in used), default=0.0)}


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None


def _deviation(values: Sequence[float]) -> float | None:
    return float(np.std(values, ddof=1)) if len(values) > 1 else None


def _number(value: float) -> float | None:
    """As JSON knows numbers."""
    return value if math.isfinite(value) else None
