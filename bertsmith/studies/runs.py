"""The runs of a study in its folder: each trained once, by whichever process comes first, and then asked.

    DIR/study.json      what is compared, on which corpora
    DIR/runs/NAME/      ordinary run folders
    DIR/scores/NAME.json    what each run was asked and answered
    DIR/tasks/NAME/     its fine-tunings

A run of another study in a folder beside this one that has the same fingerprint is used where it lies.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from bertsmith import config, console, interrupt, store
from bertsmith.errors import BertsmithError, InUse, UsageError
from bertsmith.pretraining import pretrain
from bertsmith.store.locks import lock_file
from bertsmith.studies.design import Design, Run
from bertsmith.studies.scores import Questions, Score, Scores, score_model
from bertsmith.training.finished import finished_result

STUDY = "study.json"
WAIT = 2.0  # seconds between two looks at what other processes have done


class StudyFolder:
    """The folder of a study."""

    def __init__(self, path: Path, design: Design, questions: Questions | None = None) -> None:
        self.path, self.design = path, design
        self.questions = questions or Questions([])  # a report asks nothing

    def begin(self, call: Mapping[str, Any]) -> None:
        """Note what is compared, and the call that a report can be written from.

        UsageError naming what differs where the folder holds another study. More seeds are no other study.
        """
        asked = json.loads(json.dumps({**self.design.values(), "questions": self.questions.values()}))
        earlier = read_study(self.path)
        if earlier is None and self.path.exists() and any(self.path.iterdir()):
            raise UsageError(f"{self.path}: is not empty and holds no study; choose another folder")
        before, now = config.flat_values(earlier["asked"]) if earlier else {}, config.flat_values(asked)
        for key in sorted({*before, *now} if earlier else ()):
            if before.get(key) != now.get(key):
                raise UsageError(
                    f"{self.path}: was begun with another {key} ({before.get(key)!r}, now {now.get(key)!r}); type the"
                    " line as it was, or choose another folder"
                )
        self.path.mkdir(parents=True, exist_ok=True)
        store.write_json(self.path / STUDY, {"asked": asked, "call": dict(call)})

    def scores(self, run: Run) -> Scores | None:
        """What a finished run answered; None where it was not asked yet."""
        kept = self._kept(run)
        return {name: Score(*score) for name, score in kept["scores"].items()} if kept else None

    def result(self, run: Run) -> dict[str, Any]:
        """What the training of a run that has scores came to: {folder steps tokens seconds ...}."""
        kept = self._kept(run)
        if kept is None:
            raise BertsmithError(f"{self._file(run)}: is missing or damaged; type the study's line again")
        return kept["result"]

    def _file(self, run: Run) -> Path:
        return self.path / "scores" / f"{run.name}.json"

    def _kept(self, run: Run) -> dict[str, Any] | None:
        try:
            kept = json.loads(self._file(run).read_bytes())
        except (OSError, ValueError):
            return None
        return kept if kept.get("fingerprint") == run.fingerprint else None

    def carry_out(self, run: Run, heading: str) -> None:
        """Train a run, or go on with it, and ask it; InUse where another process is at it. heading: said before."""
        with self._claimed(run):
            if self._kept(run) is not None:  # by another process, meanwhile
                return
            console.say(heading)
            folder = self._trained(run)
            result = finished_result(folder / "result.json", folder / "model")
            if result is None:
                raise BertsmithError(f"{folder}: is not finished; type the study's line again")
            if run.teacher is not None and run.teacher.share < 1:  # within this run's budget
                result = _with_teacher(result, self._place_of(run.teacher))
            scores = score_model(folder / "model", result, self.questions, self.path / "tasks" / run.name, run.seed)
            kept = {"fingerprint": run.fingerprint, "result": {**result, "folder": str(folder)}, "scores": scores}
            self._file(run).parent.mkdir(exist_ok=True)
            store.write_json(self._file(run), kept)
            store.crash_point("study.scored")

    def _trained(self, run: Run) -> Path:
        """The folder of the run, trained to its end; its teacher's before it."""
        elsewhere = self._elsewhere(run)
        if elsewhere is not None:
            console.say(f"{run.name}: is there already, in {elsewhere}")
            return elsewhere
        teacher = None
        if run.teacher is not None:
            with self._claimed(run.teacher):
                teacher = self._trained(run.teacher)
        folder = self.folder_of(run)
        if finished_result(folder / "result.json", folder / "model") is None:
            pretrain(run.recipe, run.corpus, folder, flags=run.flags, teacher=teacher)
        return folder

    def _place_of(self, run: Run) -> Path:
        return self._elsewhere(run) or self.folder_of(run)

    def folder_of(self, run: Run) -> Path:
        """Where a run is trained."""
        return self.path / "runs" / run.name

    def _elsewhere(self, run: Run) -> Path | None:
        """The same run, finished, in a study beside this one or under another arm."""
        own = self.folder_of(run)
        for folder in sorted(self.path.absolute().parent.glob(f"*/runs/*-{run.fingerprint[:12]}")):
            if not (folder.parent.parent / STUDY).is_file() or folder == own.absolute():
                continue
            if finished_result(folder / "result.json", folder / "model") is not None:
                return Path(folder)
        return None

    @contextmanager
    def _claimed(self, run: Run) -> Iterator[None]:
        (self.path / "runs").mkdir(exist_ok=True)
        place = self.folder_of(run)
        with lock_file(place.with_name(f".{place.name}.lock"), place, remove=True):
            yield


def _with_teacher(result: dict[str, Any], teacher: Path) -> dict[str, Any]:
    """What a run came to, with the time and the tokens of the teacher that was trained for it."""
    before = finished_result(teacher / "result.json", teacher / "model") or {"seconds": 0.0, "tokens": 0}
    return {**result, **{name: result[name] + before[name] for name in ("seconds", "tokens")}}


def read_study(folder: Path) -> dict[str, Any] | None:
    """What a study folder was begun with: {asked call}; None where there is none."""
    try:
        found = json.loads((folder / STUDY).read_bytes())
    except OSError:
        return None
    except ValueError:
        found = None
    if not isinstance(found, dict) or set(found) != {"asked", "call"}:
        raise BertsmithError(f"{folder / STUDY}: damaged; remove it, the runs are kept")
    return found


def runs_due(folder: StudyFolder) -> tuple[list[Run], list[Run]]:
    """All runs that can be known by now, and those of them without scores.

    An arm with rates has a run for each of them with the first seed; then the best one by validation loss has the other
    seeds, and so has the rate of the recipe, the untuned row.
    """
    rows = [run for row in rows_of(folder) for run in row.runs]
    runs = list({run.name: run for run in rows}.values())
    return runs, [run for run in runs if folder.scores(run) is None]


class Row(NamedTuple):
    """One line of the table: an arm, with the rate that was tuned for it or without.

    compared: its runs, a seed each; [] while its rate is not chosen. tuning: those that choose it.
    """

    name: str
    arm: str
    note: str
    compared: list[Run]
    tuning: list[Run]

    @property
    def runs(self) -> list[Run]:
        """All that it takes."""
        return [*self.tuning, *self.compared]


def rows_of(folder: StudyFolder) -> list[Row]:
    """The rows of the table as far as they are known: a rate is chosen once all of its runs are done."""
    design, rows = folder.design, []
    seeds = range(design.study.seeds)
    for arm in design.study.arms:
        plain = [design.run(arm, seed) for seed in seeds]
        if not arm.rates:
            rows.append(Row(arm.name, arm.name, arm.note, plain, []))
            continue
        tuning = [design.run(arm, 0, rate) for rate in arm.rates]
        scored = [folder.scores(run) for run in tuning]
        losses = [scores["loss"].value for scores in scored if scores is not None]
        if len(losses) < len(tuning):
            rows.append(Row(arm.name, arm.name, arm.note, [], tuning))
        else:
            best = arm.rates[losses.index(min(losses))]
            told = f"rate {best:g}, the best of {', '.join(f'{rate:g}' for rate in arm.rates)}"
            chosen = [design.run(arm, seed, best) for seed in seeds]
            rows.append(Row(arm.name, arm.name, "; ".join(filter(None, (arm.note, told))), chosen, tuning))
        rows.append(Row(f"{arm.name}, untuned", arm.name, arm.note, plain, []))
    return rows


def carry_out(folder: StudyFolder) -> None:
    """Every run of the study, once. Several processes may do this in one folder: each takes what no other holds."""
    begun, done_here = time.monotonic(), 0
    while True:
        runs, due = runs_due(folder)
        finished = len(runs) - len(due)
        if not due:
            return
        for run in due:
            interrupt.check(f"{finished} of {len(runs)} runs are done; type the same line again to go on")
            left = (time.monotonic() - begun) / done_here * len(due) if done_here else 0.0
            told = f", about {console.duration(left)} left" if left else ""
            try:
                folder.carry_out(run, f"run {finished + 1} of {len(runs)}: {run.name}{told}")
            except InUse:
                continue
            done_here += 1
            break
        else:
            time.sleep(WAIT)
