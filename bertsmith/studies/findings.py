"""What a study found so far, as `--json` prints it: rows, claims with their verdicts, and every run they rest on."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from bertsmith.studies.design import MATCHED, Run
from bertsmith.studies.metrics import COUNTED, metric_of
from bertsmith.studies.rows import Row, rows_of
from bertsmith.studies.runs import FAILED, StudyFolder
from bertsmith.studies.scores import Score
from bertsmith.studies.study import Claim
from bertsmith.studies.verdicts import Effect, Noise, effect_of, holm, noise_of, smallest_effect, verdict_of
from bertsmith.training.budget import bounded, validation_seconds

Result = dict[str, Any]
BySeed = dict[int, Score]
NO_NOISE = Noise(0.0, 1)


class _Judged(NamedTuple):
    """A claim, and what is known of it.

    reason: why nothing is, or "". due: whether runs of its arms are to come. lost: what to say of those that diverged.
    """

    claim: Claim
    effect: Effect | None
    noise: Noise
    reason: str
    due: bool
    lost: str


def findings_of(folder: StudyFolder) -> Result:
    """{study question note base set budget matched seeds finished due failed seconds noise arms claims runs}.

    noise: by metric the deviation of one run and its degrees of freedom. arms: {name arm note recipe set corpus teacher
    runs steps tokens seconds scores}, scores by metric with values, mean and deviation over seeds. claims: {name metric
    better worse effect interval p adjusted_p seeds smallest_visible_effect seed_deviation verdict sentence paper}.
    runs: {name folder arm seed rate steps tokens seconds scores}. failed: {run: why}. seconds: of all training.
    """
    study, rows = folder.design.study, rows_of(folder)
    table = {row.name: _scores(folder, row) for row in rows}
    standing = {row.name for row in rows if row.stands}
    metrics = list(dict.fromkeys(name for by_metric in table.values() for name in by_metric))
    noises = {
        name: noise_of({row: found[name] for row, found in table.items() if name in found and row in standing})
        for name in metrics
    }
    judged = [_judge(claim, folder, rows, table, noises) for claim in study.claims]
    adjusted = holm([one.effect.p if one.effect else 1.0 for one in judged])
    every = {run.name: run for row in rows for run in row.runs}
    done = [run for run in every.values() if folder.scores(run) is not None]
    results = {run.name: folder.result(run) for run in done}
    return {
        "study": study.name,
        "question": study.question,
        "note": study.note,
        "base": study.base,
        "set": dict(study.set),
        "budget": dict([study.budget.unit_and_amount]),
        "matched": _matched(folder, rows),
        "seeds": study.seeds,
        "finished": len(done),
        "due": len(every) - len(done),
        "failed": {name: result[FAILED] for name, result in results.items() if FAILED in result},
        "seconds": sum(result.get("seconds", 0.0) for result in results.values()),
        "noise": {name: {"deviation": _number(n.deviation), "freedom": n.freedom} for name, n in noises.items()},
        "arms": [_arm(folder, row, table[row.name]) for row in rows],
        "claims": [_told(one, p, study.seeds, len(judged)) for one, p in zip(judged, adjusted, strict=True)],
        "runs": [one for run in done if FAILED not in results[run.name] for one in _runs(folder, run)],
    }


def _scores(folder: StudyFolder, row: Row) -> dict[str, BySeed]:
    """By metric and seed what the finished runs of a row answered."""
    found: dict[str, BySeed] = {}
    for run in row.compared:
        for name, score in (folder.scores(run) or {}).items():
            found.setdefault(name, {})[run.seed] = score
    return found


def _judge(
    claim: Claim,
    folder: StudyFolder,
    rows: Sequence[Row],
    table: Mapping[str, Mapping[str, BySeed]],
    noises: Mapping[str, Noise],
) -> _Judged:
    """The effect a claim speaks of, or why there is none yet, or none at all."""
    compared = [row for row in rows if row.name in (claim.better, claim.worse)]
    due = any(not row.compared or any(folder.scores(run) is None for run in row.compared) for row in compared)
    lost = "".join(_lost(folder, row) for row in compared)
    better, worse = (table.get(name, {}).get(claim.metric, {}) for name in (claim.better, claim.worse))
    noise = NO_NOISE if claim.metric in COUNTED else noises.get(claim.metric, Noise(math.nan, 0))
    if set(better) & set(worse):
        effect = effect_of(better, worse, metric_of(claim.metric).lower, noise)
        return _Judged(claim, effect, noise, "", due, lost)
    lacking = [n for n in (claim.better, claim.worse) if table.get(n) and claim.metric not in table[n]]
    if lacking:
        reason = f"{' and '.join(lacking)} cannot be asked for {metric_of(claim.metric).title}"
        return _Judged(claim, None, noise, reason, due, lost)
    return _Judged(claim, None, noise, "no seed of both arms is finished" if due else "no seed has both", due, lost)


def _lost(folder: StudyFolder, row: Row) -> str:
    """A sentence about the seeds of a row that diverged; "" where none did."""
    count = sum(FAILED in folder.result(run) for run in row.compared if folder.scores(run) is not None)
    return f" {count} of {len(row.compared)} seeds of {row.name} diverged and left nothing to compare." if count else ""


def _told(one: _Judged, adjusted: float, seeds: int, claims: int) -> Result:
    claim, effect = one.claim, one.effect
    verdict = verdict_of(effect, adjusted) if effect else "undetermined"
    smallest = smallest_effect(effect, claims) if effect else math.inf
    return {
        "name": claim.text or f"{claim.better} is better than {claim.worse}.",
        "metric": claim.metric,
        "better": claim.better,
        "worse": claim.worse,
        "effect": effect.value if effect else None,
        "interval": [_number(bound) for bound in effect.interval] if effect else [None, None],
        "p": effect.p if effect else None,
        "adjusted_p": adjusted if effect else None,
        "seeds": effect.seeds if effect else 0,
        "seed_deviation": _number(effect.deviation) if effect else None,
        "smallest_visible_effect": _number(smallest),
        "verdict": verdict,
        "sentence": _sentence(one, verdict, smallest, seeds),
        "paper": claim.paper,
    }


def _sentence(one: _Judged, verdict: str, smallest: float, seeds: int) -> str:
    """The verdict in one sentence, with what could have been seen at all."""
    claim, effect, metric = one.claim, one.effect, metric_of(one.claim.metric)
    if effect is None:
        return f"Undetermined: {one.reason}.{one.lost}"
    if not one.noise.freedom:
        more = "; give --seeds 2 or more" if seeds == 1 else "; more are to come" if one.due else ""
        return f"Undetermined: one seed says nothing of noise{more}.{one.lost}"
    so_far = f" so far, with {effect.seeds} of {seeds} seeds" if one.due else ""
    side = f"{metric.show(abs(effect.value))} {'better' if effect.value > 0 else 'worse'} than"
    low, high = (signed(bound, metric.show) for bound in effect.interval)
    found = f"{claim.better} is {side if effect.value else 'equal to'} {claim.worse} in {metric.title}"
    found += f" (95 %: {low} to {high}, + for better)"
    if verdict == "undetermined":
        found += f"; four studies of five would have seen an effect of {metric.show(smallest)}"
    return f"{verdict.capitalize()}{so_far}: {found}.{one.lost}"


def signed(value: float, show: Callable[[float], str]) -> str:
    """A difference with its sign, unless it is too small to be written."""
    shown = show(abs(value))
    return f"{'+' if value >= 0 else '-'}{shown}" if any(digit in shown for digit in "123456789") else shown


def _arm(folder: StudyFolder, row: Row, found: Mapping[str, BySeed]) -> Result:
    arm, design = row.arm, folder.design
    results = [folder.result(run) for run in row.compared if folder.scores(run)]
    return {
        "name": row.name,
        "arm": arm.name,
        "note": row.note,
        "recipe": arm.recipe or design.study.base,
        "set": dict(design.study.sets[arm.name]),
        "corpus": str(design.corpora[design.corpus_of(arm)]),
        "teacher": arm.teacher,
        "teacher_share": arm.teacher_share,
        "rates": list(arm.rates),
        "runs": len(results),
        "steps": _mean([result["steps"] for result in results]),
        "tokens": _mean([result["tokens"] for result in results]),
        "seconds": _mean([result["seconds"] for result in results]),
        "scores": {
            name: {
                "values": [score.value for score in by_seed.values()],
                "mean": _mean([score.value for score in by_seed.values()]),
                "deviation": _deviation([score.value for score in by_seed.values()]),
            }
            for name, by_seed in found.items()
        },
    }


def _runs(folder: StudyFolder, run: Run) -> list[Result]:
    """A run as a report shows it, and before it a teacher of its own, whose cost that of the run includes."""
    found = [_run(run, run.arm, folder.result(run), folder.scores(run) or {})]
    taught = folder.result_of_teacher(run)
    if run.teacher is not None and taught is not None:
        found.insert(0, _run(run.teacher, f"{run.teacher.arm}, teacher of {run.arm}", taught, {}))
    return found


def _run(run: Run, arm: str, result: Mapping[str, Any], scores: Mapping[str, Score]) -> Result:
    return {
        "name": run.name,
        "folder": result["folder"],
        "arm": arm,
        "seed": run.seed,
        "rate": run.rate or None,
        "steps": result["steps"],
        "tokens": result["tokens"],
        "seconds": result["seconds"],
        "scores": {name: score.value for name, score in scores.items()},
    }


def _matched(folder: StudyFolder, rows: Sequence[Row]) -> Result:
    """How the budget was met, and the largest deviation of a finished run, as a share of it; None where none is.

    Tokens and minutes are those that runs used, validations reckoned in as before step 1; operations are tokens times
    operations of a token.
    """
    unit, amount = folder.design.study.budget.unit_and_amount
    runs = [run for row in rows for run in row.compared if folder.scores(run)]
    how = {
        "steps": "steps",
        "tokens": "the mean tokens of a step",
        "operations": "the mean tokens of a step and their operations",
        "minutes": "the time of a step and of validation before step 1",
    }[unit]
    used = {
        "steps": [],  # met exactly
        "tokens": [folder.result(run)["tokens"] / amount for run in runs],
        "operations": [],  # met within MATCHED, or refused
        "minutes": [_seconds_used(folder, run) / 60 / amount for run in runs] if unit == "minutes" else [],
    }[unit]
    largest = max((abs(share - 1) for share in used), default=None)
    return {"by": how, "largest_deviation": largest, "within": largest is None or largest <= MATCHED}


def _seconds_used(folder: StudyFolder, run: Run) -> float:
    """Of a run, and of a teacher for it alone, in steps and about that in validations."""
    result, taught = folder.result(run), folder.result_of_teacher(run)
    seconds = result["seconds"] - (taught["seconds"] if taught else 0.0)
    trained = [(run, seconds, result["steps"])]
    if run.teacher is not None and taught is not None:
        trained.append((run.teacher, taught["seconds"], taught["steps"]))
    return sum(seconds + _validating(folder, one, seconds, steps) for one, seconds, steps in trained)


def _validating(folder: StudyFolder, run: Run, seconds: float, steps: int) -> float:
    """About what all validations of a training took whose steps took so long."""
    held_out = folder.design.opened(folder.design.study.arm(run.arm)).held_out
    training = bounded(run.plan.training, held_out, run.plan.longest)
    return validation_seconds(training, run.plan.long_phase, steps, [seconds / steps] * len(run.plan.phases))


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None


def _deviation(values: Sequence[float]) -> float | None:
    return float(np.std(values, ddof=1)) if len(values) > 1 else None


def _number(value: float) -> float | None:
    """As JSON knows numbers."""
    return value if math.isfinite(value) else None
