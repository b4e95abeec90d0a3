"""The rows of a study's table, as far as they are known: an arm each, and where its rate was tuned one without."""

from __future__ import annotations

import math
from typing import NamedTuple

from bertsmith.studies.design import Run
from bertsmith.studies.runs import FAILED, StudyFolder
from bertsmith.studies.study import Arm


class Row(NamedTuple):
    """One line of the table.

    compared: its runs, a seed each; [] while its rate is not chosen. tuning: those that choose it. stands: whether it
    stands for its arm in claims; a row at the recipe's rate beside a tuned one does not.
    """

    name: str
    arm: Arm
    note: str
    compared: list[Run]
    tuning: list[Run]
    stands: bool = True

    @property
    def runs(self) -> list[Run]:
        """All that it takes."""
        return [*self.tuning, *self.compared]


def rows_of(folder: StudyFolder) -> list[Row]:
    """The rows; a rate is chosen once all of its runs are done, by their own validation loss."""
    rows: list[Row] = []
    for arm in folder.design.study.arms:
        rows += _tuned(folder, arm) if arm.rates else [Row(arm.name, arm, arm.note, _runs(folder, arm, 0.0), [])]
    return rows


def runs_of(folder: StudyFolder) -> list[Run]:
    """Every run that is known to be needed, once: a seed of every arm before the next one, so that a study which is
    cut short has something to compare.
    """
    runs = [run for row in rows_of(folder) for run in row.runs]
    return sorted({run.name: run for run in runs}.values(), key=lambda run: run.seed)


def _runs(folder: StudyFolder, arm: Arm, rate: float) -> list[Run]:
    return [folder.design.run(arm, seed, rate) for seed in range(folder.design.study.seeds)]


def _tuned(folder: StudyFolder, arm: Arm) -> list[Row]:
    """The arm at its best rate, and at its recipe's where that is another one."""
    tuning, plain = [folder.design.run(arm, 0, rate) for rate in arm.rates], _runs(folder, arm, 0.0)
    losses = [_validation_loss(folder, run) for run in tuning]
    known = [loss for loss in losses if loss is not None]
    if len(known) < len(losses):
        return [Row(arm.name, arm, arm.note, [], tuning), Row(f"{arm.name}, untuned", arm, "", plain, [], False)]
    if math.isinf(min(known)):
        told = "; ".join(filter(None, (arm.note, "every rate that was tried diverged")))
        rows = [Row(arm.name, arm, told, tuning[:1], tuning)]
        own = any(run.fingerprint == plain[0].fingerprint for run in tuning)
        return rows if own else [*rows, Row(f"{arm.name}, untuned", arm, "", plain, [], False)]
    place = known.index(min(known))
    best = arm.rates[place]
    told = f"rate {best:g}, the best of {', '.join(f'{rate:g}' for rate in arm.rates)}"
    if place in (0, len(known) - 1) and len(known) > 1:
        told += ", at the edge of what was tried"
    note = "; ".join(filter(None, (arm.note, told)))
    if tuning[place].fingerprint == plain[0].fingerprint:
        return [Row(arm.name, arm, f"{note}; the recipe's own", plain, tuning)]
    chosen = _runs(folder, arm, best)
    return [Row(arm.name, arm, note, chosen, tuning), Row(f"{arm.name}, untuned", arm, "", plain, [], False)]


def _validation_loss(folder: StudyFolder, run: Run) -> float | None:
    """Of the run's own validation part, not of the text by which arms are judged; infinite where it diverged."""
    if folder.scores(run) is None:
        return None
    result = folder.result(run)
    return math.inf if FAILED in result else float(result["validation"].get("masked_lm_loss", math.inf))
