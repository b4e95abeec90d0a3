"""The runs of a study in its folder: each trained once, by whichever process comes first, and then asked.

    DIR/study.json      what is compared, on which corpora
    DIR/runs/NAME/      ordinary run folders
    DIR/scores/NAME.json    what each run was asked and answered
    DIR/tasks/NAME/     its fine-tunings
    DIR/report.html, report.md, figures/    what was found

A run of another study in a folder beside this one that has the same fingerprint is used where it lies. While it is
trained, a lock in the folder that holds both keeps every other process from it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

from bertsmith import config, console, interrupt, store
from bertsmith.errors import BertsmithError, Diverged, InUse, UsageError
from bertsmith.pretraining import pretrain
from bertsmith.store.locks import lock_file
from bertsmith.studies.design import Design, Run
from bertsmith.studies.scores import Questions, Score, Scores, score_model
from bertsmith.training.finished import finished_result

STUDY = "study.json"
OWN = {STUDY, "runs", "scores", "tasks", "report.html", "report.md", "figures"}
FAILED = "failed"
TURNS, TURN = 100, 0.1  # how often a lock is asked for that is held for moments only, and the seconds between
WAIT = 2.0  # seconds between two looks at what other processes have done


class StudyFolder:
    """The folder of a study. questions: None where nothing will be asked any more, as for a report."""

    def __init__(self, path: Path, design: Design, questions: Questions | None = None) -> None:
        self.path, self.design, self.questions = path, design, questions
        self._read: dict[str, dict[str, Any]] = {}  # score files, which are written once

    def begin(self, call: Mapping[str, Any]) -> None:
        """Note what is compared, and the call that a report can be written from.

        UsageError naming what differs where the folder holds another study. More seeds are no other study.
        """
        assert self.questions is not None
        asked = json.loads(json.dumps({**self.design.values(), "questions": self.questions.values()}))
        store.require_space(self.path, 0)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with _patiently_locked(self.path.with_name(f".{self.path.name}.study.lock"), self.path):
            self._refuse_another(asked)
            self.path.mkdir(exist_ok=True)
            store.write_json(self.path / STUDY, {"asked": asked, "call": dict(call)})

    def _refuse_another(self, asked: Mapping[str, Any]) -> None:
        earlier = read_study(self.path)
        if earlier is None:
            foreign = [p.name for p in self.path.iterdir() if not p.name.startswith(".")] if self.path.exists() else []
            if not set(foreign) <= OWN:
                raise UsageError(f"{self.path}: is not empty and holds no study; choose another folder")
            return
        before, now = config.flat_values(earlier["asked"]), config.flat_values(dict(asked))
        for key in sorted({*before, *now}):
            if before.get(key) != now.get(key):
                raise UsageError(
                    f"{self.path}: was begun with another {key} ({before.get(key)!r}, now {now.get(key)!r}); type the"
                    " line as it was, or choose another folder"
                )

    def scores(self, run: Run) -> Scores | None:
        """What a finished run answered, {} of one that diverged; None where it was not asked yet."""
        kept = self._kept(run)
        return {name: Score(*score) for name, score in kept["scores"].items()} if kept else None

    def result(self, run: Run) -> dict[str, Any]:
        """What the training of a run that has scores came to: {folder steps tokens seconds validation ...}.

        Of one that diverged {failed: why}.
        """
        kept = self._kept(run)
        if kept is None:
            raise BertsmithError(f"{self._file(run)}: is missing or damaged; type the study's line again")
        return kept["result"]

    def _file(self, run: Run) -> Path:
        return self.path / "scores" / f"{run.name}.json"

    def cost(self, run: Run) -> float | None:
        """Seconds that a run took in all, asking included; None while it is not asked, or diverged."""
        kept = self._kept(run)
        return kept["result"]["seconds"] + kept.get("seconds_of_asking", 0.0) if kept and kept["scores"] else None

    def _kept(self, run: Run) -> dict[str, Any] | None:
        """The score file of a run; None where it is not there, is damaged, or answers other questions."""
        if run.name not in self._read and (kept := self._read_scores(run)) is not None:
            self._read[run.name] = kept
        return self._read.get(run.name)

    def _read_scores(self, run: Run) -> dict[str, Any] | None:
        try:
            kept = json.loads(self._file(run).read_bytes())
            known = kept["fingerprint"], kept["questions"]
            whole = isinstance(kept["scores"], dict) and isinstance(kept["result"], dict)
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return kept if whole and known == (run.fingerprint, self._asked) else None

    @cached_property
    def _asked(self) -> str:
        """The fingerprint of what all models are asked, or were, where nothing is asked any more."""
        if self.questions is not None:
            return self.questions.fingerprint
        known = read_study(self.path)
        return store.fingerprint(known["asked"].get("questions")) if known else ""

    def carry_out(self, run: Run, heading: str) -> None:
        """Train a run, or go on with it, and ask it.

        InUse where another process is at it. heading: said before. A run that diverges is noted and not tried again.
        """
        assert self.questions is not None
        with self._claimed(run):
            if self._kept(run) is not None:  # by another process, meanwhile
                return
            console.say(heading)
            try:
                folder = self._trained(run)
                result = {**self._result_with_teacher(run, folder), "folder": str(folder.absolute())}
                tasks, started = self.path / "tasks" / run.name, time.monotonic()
                scores = score_model(folder / "model", result, self.questions, tasks, run.seed)
                asking = time.monotonic() - started
            except Diverged as error:
                console.warn(f"{run.name}: {error}")
                result, scores, asking = {FAILED: str(error)}, {}, 0.0
            kept = {
                "fingerprint": run.fingerprint,
                "questions": self.questions.fingerprint,
                "seconds_of_asking": round(asking, 3),
                "result": result,
                "scores": scores,
            }
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
        if _result_in(folder) is None:
            pretrain(run.recipe, run.corpus, folder, flags=run.flags, teacher=teacher)
        return folder

    def _result_with_teacher(self, run: Run, folder: Path) -> dict[str, Any]:
        """What a run came to, with the time and the tokens of a teacher that was trained for it alone."""
        result = _result_in(folder)
        if result is None:
            raise BertsmithError(f"{folder}: is not finished; type the study's line again")
        before = self.result_of_teacher(run)
        if before is None:
            return result
        return {**result, **{name: result[name] + before[name] for name in ("seconds", "tokens")}}

    def result_of_teacher(self, run: Run) -> dict[str, Any] | None:
        """What the training of a teacher for this run alone came to, with its folder; None where it has none."""
        if run.teacher is None or run.teacher.share == 1:
            return None
        folder = self._elsewhere(run.teacher) or self.folder_of(run.teacher)
        result = _result_in(folder)
        return {**result, "folder": str(folder.absolute())} if result else None

    def is_trained(self, run: Run) -> bool:
        """Whether a run is finished, here or in a study beside this one."""
        return self._elsewhere(run) is not None or _result_in(self.folder_of(run)) is not None

    def folder_of(self, run: Run) -> Path:
        """Where a run is trained."""
        return self.path / "runs" / run.name

    def _elsewhere(self, run: Run) -> Path | None:
        """The same run, finished, under another name: of another arm, or in a study beside this one."""
        own = self.folder_of(run).absolute()
        for folder in sorted(self.path.absolute().parent.glob(f"*/runs/*-{run.mark}")):
            if (folder.parent.parent / STUDY).is_file() and folder != own and _result_in(folder) is not None:
                return folder
        return None

    @contextmanager
    def _claimed(self, run: Run) -> Iterator[None]:
        lock = self.path.absolute().parent / f".study-run-{run.mark}.lock"
        with lock_file(lock, self.folder_of(run), remove=True):
            yield


@contextmanager
def _patiently_locked(path: Path, subject: Path) -> Iterator[None]:
    """A lock that is held for moments only, waited for."""
    with ExitStack() as stack:
        for turn in range(TURNS + 1):
            try:
                stack.enter_context(lock_file(path, subject, remove=True))
                break
            except InUse:
                if turn == TURNS:
                    raise
                time.sleep(TURN)
        yield


def _result_in(folder: Path) -> dict[str, Any] | None:
    return finished_result(folder / "result.json", folder / "model")


def read_study(folder: Path) -> dict[str, Any] | None:
    """What a study folder was begun with: {asked call}; None where there is none."""
    try:
        found = json.loads((folder / STUDY).read_bytes())
    except OSError:
        return None
    except ValueError:
        found = None
    if not isinstance(found, dict) or not all(isinstance(found.get(key), dict) for key in ("asked", "call")):
        raise BertsmithError(f"{folder / STUDY}: damaged; remove it and type the study's line again: the runs are kept")
    return found


def carry_out(folder: StudyFolder, runs_of: Callable[[StudyFolder], Sequence[Run]]) -> None:
    """Every run of the study, once. Several processes may do this in one folder: each takes what no other holds.

    runs_of: all runs that are known by now; more of them may be once a rate is chosen.
    """
    waiting = False
    while True:
        runs = runs_of(folder)
        due = [run for run in runs if folder.scores(run) is None]
        finished = len(runs) - len(due)
        if not due:
            return
        for run in due:
            interrupt.check(f"{finished} of {len(runs)} runs are done; type the same line again to go on")
            try:
                folder.carry_out(run, f"run {finished + 1} of {len(runs)}: {run.name}{_left(folder, runs, due)}")
            except InUse:
                continue
            waiting = False
            break
        else:
            if not waiting:
                console.say(f"waiting for {len(due)} runs that other processes hold")
            waiting = True
            time.sleep(WAIT)


def _left(folder: StudyFolder, runs: Sequence[Run], due: Sequence[Run]) -> str:
    """What the runs that are due will take, by what finished ones took: those of the same arm where there are some."""
    costs: dict[str, list[float]] = {}
    for run in runs:
        if (cost := folder.cost(run)) is not None:
            costs.setdefault(run.arm, []).append(cost)
    if not costs:
        return ""
    means = {arm: sum(found) / len(found) for arm, found in costs.items()}
    other = sum(means.values()) / len(means)
    return f", about {console.duration(sum(means.get(run.arm, other) for run in due))} of work left"
