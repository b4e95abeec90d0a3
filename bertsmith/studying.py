"""What `study` answers: studies there are, and one carried out on the user's own text. Heavy imports stay inside."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bertsmith import console
from bertsmith.config import Flags
from bertsmith.errors import UsageError
from bertsmith.tasks.config import evaluation_config

if TYPE_CHECKING:
    from bertsmith.studies.design import Design
    from bertsmith.studies.runs import StudyFolder
    from bertsmith.studies.scores import Questions
    from bertsmith.studies.study import Arm

Result = dict[str, Any]

SHORTEST = 500
"""Characters of a text by which models can be judged at all."""


def study_list() -> list[Result]:
    """The shipped studies: [{name question arms budget}]."""
    from bertsmith.studies.study import load_study, shipped

    found = [load_study(name) for name in shipped()]
    return [
        {
            "name": study.name,
            "question": study.question,
            "arms": [arm.name for arm in study.arms],
            "budget": dict([study.budget.unit_and_amount]),
        }
        for study in found
    ]


def study_show(name: str, flags: Flags | None = None) -> Result:
    """One study: its question, recipe, arms with what they set, and claims with what was published."""
    from bertsmith.studies.study import load_study

    study = load_study(name, flags)
    return {
        "name": study.name,
        "file": str(study.path),
        "question": study.question,
        "note": study.note,
        "base": study.base,
        "seeds": study.seeds,
        "budget": dict([study.budget.unit_and_amount]),
        "set": study.set,
        "arms": [{**asdict(arm), "set": study.sets[arm.name]} for arm in study.arms],
        "claims": [asdict(claim) for claim in study.claims],
    }


def study_run(
    name: str | Path,
    corpora: Sequence[str],
    out: str | Path,
    valid: Sequence[str] = (),
    pairs: Sequence[str] = (),
    tasks: Mapping[str, str | Path] | None = None,
    seeds: int = 0,
    flags: Flags | None = None,
    limit: int = 0,
) -> Result:
    """Carry out a study, or go on with it, and report; returns what `findings_of` says, with the report's path.

    corpora: folders, ["en", "bytes=en-bytes"]; the one without a name is that of every arm which wants none of its own.
    valid: texts that every model is asked; [] = the validation part of the first corpus, as its tokenizer reads it.
    pairs: minimal pairs (`limit` of each file). tasks: name -> data, on which every model is fine-tuned. flags: the
    budget (`budget.tokens`) and fields of the recipe for all arms.
    """
    from bertsmith.studies.rows import runs_of
    from bertsmith.studies.runs import StudyFolder, carry_out

    design = _design(name, corpora, seeds, flags)
    folder = StudyFolder(Path(out), design, _questions(design, valid, pairs, tasks or {}, limit))
    folder.begin(
        {
            "name": design.study.reference,
            "corpora": [f"{given}={path.absolute()}" for given, path in design.corpora.items()],
            "seeds": design.study.seeds,
            "flags": flags or {},
        }
    )
    with console.advised_once():
        carry_out(folder, runs_of)
    return _report(folder)


def study_plan(
    name: str | Path,
    corpora: Sequence[str],
    seeds: int = 0,
    flags: Flags | None = None,
    out: str | Path | None = None,
) -> Result:
    """What a study would cost on this machine: {study runs finished seconds arms [{name runs finished steps ...}]}.

    seconds: of all runs that are not finished, and of one run of an arm. out: the study's folder, where it and those
    beside it are looked through for finished ones.
    """
    from bertsmith.report.planning import plan_run
    from bertsmith.studies.runs import StudyFolder

    design = _design(name, corpora, seeds, flags)
    folder = StudyFolder(Path(out), design) if out else None
    arms = []
    for arm in design.study.arms:
        run = design.run(arm, 0)
        found = plan_run(run.plan, run.corpus, None if run.teacher is None else run.teacher.plan.model)
        seconds = found["seconds"] or 0.0
        if design.study.budget.minutes:  # which a teacher is paid from
            seconds = 60 * design.study.budget.minutes
        elif run.teacher is not None and run.teacher.share < 1:
            seconds += plan_run(run.teacher.plan, run.teacher.corpus)["seconds"] or 0.0
        tried = {design.run(arm, 0, rate).name for rate in arm.rates} - {run.name}
        runs = design.study.seeds + (len(tried) + design.study.seeds - 1 if tried else 0)
        arms.append(
            {
                "name": arm.name,
                "runs": runs,
                "finished": min(runs, _finished(folder, design, arm)) if folder else 0,
                "parameters": found["parameters"]["total"],
                "steps": found["steps"],
                "tokens": round((found["steps"] or 0) * found["tokens_per_step"]),
                "seconds": seconds,
                "memory": found["memory"]["total"],
            }
        )
    return {
        "study": design.study.name,
        "budget": dict([design.study.budget.unit_and_amount]),
        "runs": sum(arm["runs"] for arm in arms),
        "finished": sum(arm["finished"] for arm in arms),
        "seconds": sum((arm["runs"] - arm["finished"]) * arm["seconds"] for arm in arms),
        "arms": arms,
    }


def _finished(folder: StudyFolder, design: Design, arm: Arm) -> int:
    """Runs of an arm that are trained, with whichever of its rates."""
    every = [design.run(arm, seed, rate) for seed in range(design.study.seeds) for rate in (0.0, *arm.rates)]
    return sum(folder.is_trained(run) for run in {run.name: run for run in every}.values())


def study_report(out: str | Path) -> Result:
    """What a study has found so far, written anew to its folder."""
    from bertsmith.studies.runs import StudyFolder, read_study

    known = read_study(Path(out))
    if known is None:
        raise UsageError(f"{out}: holds no study")
    design = _design(**{key: known["call"][key] for key in ("name", "corpora", "seeds", "flags")})
    now = {**json.loads(json.dumps(design.values())), "questions": known["asked"].get("questions")}
    if now != known["asked"]:
        raise UsageError(f"{out}: {design.study.path} or its corpora are no longer those that the study was begun with")
    return _report(StudyFolder(Path(out), design))


def _design(name: str | Path, corpora: Sequence[str], seeds: int, flags: Flags | None) -> Design:
    from bertsmith.studies.checks import check_design
    from bertsmith.studies.design import Design, parse_corpora
    from bertsmith.studies.study import load_study

    if seeds < 0:
        raise UsageError(f"--seeds: must be 1 or more, not {seeds}")
    design = Design(load_study(name, flags, seeds), parse_corpora(corpora))
    check_design(design)
    return design


def _questions(
    design: Design,
    valid: Sequence[str],
    pairs: Sequence[str],
    tasks: Mapping[str, str | Path],
    limit: int,
) -> Questions:
    from bertsmith.data.corpus import Corpus
    from bertsmith.studies.checks import check_held_out
    from bertsmith.studies.scores import Questions, documents_of
    from bertsmith.tasks.pair_files import read_pairs
    from bertsmith.tasks.texts import documents, tell
    from bertsmith.text.skipped import Skipped

    if valid:
        texts = list(documents(valid, evaluation_config(None).text))
    else:
        check_held_out(design)
        texts = documents_of(Corpus.open(next(iter(design.corpora.values())), "validation"))
    skipped = Skipped()
    asked = read_pairs(pairs, skipped, limit=limit) if pairs else []
    tell(skipped)
    _check_tasks(design, tasks)
    questions = Questions(texts, design.length, asked, {name: Path(path).absolute() for name, path in tasks.items()})
    _check_text(design, questions)
    return questions


def _check_tasks(design: Design, tasks: Mapping[str, str | Path]) -> None:
    """UsageError before anything is trained: unknown tasks, missing data, claims on tasks that are not asked."""
    from bertsmith.studies.metrics import TASK
    from bertsmith.tasks.naming import task_for
    from bertsmith.tasks.parts import read_parts

    for name, data in tasks.items():
        task, _ = task_for(name, Path(data), None)
        read_parts(task, Path(data), seed=0)
    for claim in design.study.claims:
        if claim.metric.startswith(TASK) and claim.metric.removeprefix(TASK) not in tasks:
            raise UsageError(
                f"{design.study.path}: claims by {claim.metric}: give --task {claim.metric[len(TASK) :]}=DATA"
            )


def _check_text(design: Design, questions: Questions) -> None:
    """UsageError where the text is too short to judge by."""
    characters = sum(len(line) for document in questions.documents for line in document)
    if characters < SHORTEST:
        raise UsageError(
            f"the text that models are asked has {characters} characters; give at least {SHORTEST} with --valid"
        )


def _report(folder: StudyFolder) -> Result:
    from bertsmith.studies.findings import findings_of
    from bertsmith.studies.report import write_study

    result = findings_of(folder)
    path = write_study(result, folder.path)
    console.say(f"report: {path}")
    return {**result, "report": str(path)}
