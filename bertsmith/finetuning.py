"""What `finetune` does for one task: read, search, compare with baselines, keep the best, report. It resumes.

Every function returns what `--json` prints. Heavy imports stay inside the functions.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from bertsmith import console, store
from bertsmith.config import Flags
from bertsmith.tasks.assignment import Assignment, read_assignment, require_teacher
from bertsmith.tasks.search import Found, Search, Trial, find_best, grid_points, spread
from bertsmith.tasks.search_folder import SearchFolder

if TYPE_CHECKING:
    from bertsmith.tasks.evaluation import Evaluation
    from bertsmith.tasks.finetuning_config import TaskConfig
    from bertsmith.tasks.predictions import Compared
    from bertsmith.tasks.trained import Trained
    from bertsmith.tasks.user_table import Columns

Result = dict[str, Any]

SHORT = 120.0  # seconds of training up to which the baseline that costs another training is trained by itself


def finetune(
    task: str,
    model: str | Path,
    data: str | Path,
    out: str | Path,
    columns: Columns | None = None,
    search: Search | None = None,
    flags: Flags | None = None,
    teacher: str | Path | None = None,
    validation: str | Path | None = None,
) -> Result:
    """Fine-tune an encoder on a task; the result is OUT/model, OUT/report.html and OUT/result.json.

    task: the name of a task, or "table" or "sentence-pairs" with `columns`. model: a run, a checkpoint or any Hugging
    Face folder of a supported family. data: a folder with the published files, or one file. flags: fields of
    FinetuningConfig. teacher: a run or folder fine-tuned on the task, with the model's tokenizer, whose answers are
    learnt beside the labels. validation: for "sentence-pairs", other data that decide.
    """
    chosen = search or Search()
    chosen.check()
    points = grid_points(chosen.grid)
    if not teacher:
        require_teacher([*(flags or {}), *points[0]])
    folder = SearchFolder(Path(out))
    if is_first_rank():
        store.refuse_locked(folder.path)
    guide = Path(teacher) if teacher else None
    judge = Path(validation) if validation else None
    assignment = read_assignment(task, Path(model), Path(data), columns, guide, flags or {}, judge)
    for point in points:
        assignment.config_of(Trial(point, assignment.config.seed))  # every mistake before anything is trained
    with store.locked(folder.path) if is_first_rank() else nullcontext():
        finished = folder.begin(assignment.request(chosen), write=is_first_rank())
        if finished is not None:
            console.say(f"{folder.path}: this fine-tuning is finished")
            return finished
        return _carry_out(assignment, chosen, points, folder)


def is_first_rank() -> bool:
    """Under torchrun the first rank locks and writes for all."""
    return os.environ.get("RANK", "0") == "0"


def _carry_out(assignment: Assignment, chosen: Search, points: list[dict[str, str]], folder: SearchFolder) -> Result:
    """Train, judge, compare, write."""
    from bertsmith.report.finetuning import Judged, write_report
    from bertsmith.report.finetuning_card import card
    from bertsmith.tasks.evaluation import evaluate
    from bertsmith.tasks.standard_error import standard_error
    from bertsmith.tasks.trained import load_trained

    task, metric = assignment.task, assignment.task.metrics[0]
    seeds = range(assignment.config.seed, assignment.config.seed + chosen.seeds)
    found = find_best(points, seeds, metric, lambda trial: _train(assignment, trial, folder))
    baselines = _baselines(assignment, chosen, found, folder)
    if not is_first_rank():
        return {}
    best = folder.runs / found.best.trial.name
    trained = load_trained(best)
    settings = trained.settings.config if trained.settings else assignment.config_of(found.best.trial).task
    judged = {name: evaluate(trained, task, part, settings) for name, part in assignment.parts.validation.items()}
    main = next(iter(judged.values()))
    error = standard_error(task, assignment.validation, main.predictions, metric)
    result = _result(assignment, found, judged, baselines, error, folder) | _teacher(assignment, found)
    _tell(result, metric)
    result |= _test(assignment, trained, settings, folder)
    folder.take_best(best, lambda: card(result, task, assignment.labels, assignment.encoder, best))
    shown = Judged(task, assignment.labels, assignment.validation, main.predictions)
    console.say(f"report: {write_report(folder.path, result, shown)}")
    folder.write_result(result)
    return result


def _teacher(assignment: Assignment, found: Found) -> Result:
    """The teacher as it is, on the part that decides, and what its answers counted for in the best run."""
    from bertsmith.tasks.evaluation import evaluate
    from bertsmith.tasks.trained import load_trained

    if assignment.teacher is None:
        return {}
    console.say("the teacher on the validation part")
    metrics = evaluate(load_trained(assignment.teacher), assignment.task, assignment.validation).metrics
    used = asdict(assignment.config_of(found.best.trial).distillation)
    return {"teacher": {"model": str(assignment.teacher), **used, "validation": metrics}}


def _test(assignment: Assignment, trained: Trained, settings: TaskConfig, folder: SearchFolder) -> Result:
    """Metrics of a test part with labels, which nothing was chosen by, or files with answers for one without."""
    from bertsmith.tasks.evaluation import evaluate
    from bertsmith.tasks.parts import is_labelled
    from bertsmith.tasks.submissions import unlabelled_parts, write_submission

    task, test = assignment.task, assignment.parts.test
    labelled = [example for example in test if is_labelled(example)]
    if labelled:
        return {"test": evaluate(trained, task, labelled, settings).metrics, "test_examples": len(labelled)}
    parts = unlabelled_parts(task, assignment.data, test)
    paths = [write_submission(trained, part, settings, folder.submission) for part in parts]
    return {"submission": [str(path) for path in paths]} if paths else {}


def _train(assignment: Assignment, trial: Trial, folder: SearchFolder, random: bool = False) -> Result:
    """One training, or what is there of it. `random`: from random weights and by the labels alone."""
    from bertsmith.tasks.finetuning import finetune_once
    from bertsmith.tasks.job import Job

    name = "random-weights" if random else trial.name
    job = Job(
        task=assignment.task,
        labels=assignment.labels,
        train=assignment.parts.train,
        validation=assignment.validation,
        config=assignment.config_of(trial),
        name=name,
        inputs={"data": assignment.fingerprints["data"]},
        teacher=None if random else assignment.teacher,
    )
    return asdict(finetune_once(job, assignment.start, folder.runs / name, random=random))


def _baselines(assignment: Assignment, chosen: Search, found: Found, folder: SearchFolder) -> Result:
    """{name: metrics on the validation part} of whatever needs no pretraining."""
    from bertsmith.tasks.baselines import RANDOM, cheap_baselines
    from bertsmith.tasks.encoding import head_for

    if chosen.baselines == "none":
        return {}
    seconds = found.best.result["seconds"]
    random: Result = {}
    if chosen.baselines == "all" or seconds <= SHORT:
        console.say(f"baseline: the same encoder from random weights (about {console.duration(seconds)})")
        random = {RANDOM: _train(assignment, found.best.trial, folder, random=True)["validation"]}
    else:
        console.say(
            f"the baseline from random weights would take another {console.duration(seconds)}: left out"
            " (--baselines all trains it)"
        )
    if not is_first_rank():
        return {}
    cheap = cheap_baselines(assignment.task, assignment.parts.train, assignment.validation)
    untrained = _untrained(assignment) if head_for(assignment.task, assignment.labels) is None else {}
    return cheap | untrained | random


def _untrained(assignment: Assignment) -> Result:
    """The encoder as it was given, asked by the mean of its tokens, with the threshold that is best for it."""
    from bertsmith.tasks.baselines import DESCRIPTIONS, UNTRAINED
    from bertsmith.tasks.evaluation import evaluate
    from bertsmith.tasks.finetuning_config import TaskConfig
    from bertsmith.tasks.threshold import best_threshold, threshold_sample
    from bertsmith.tasks.trained import load_trained

    console.say(f"baseline: {DESCRIPTIONS[UNTRAINED]}")
    trained, task = load_trained(assignment.start), assignment.task
    settings = TaskConfig(max_length=assignment.config.task.max_length)
    if sample := threshold_sample(assignment.parts.train):
        known = cast("list[Compared]", evaluate(trained, task, sample, settings).predictions)
        settings = replace(settings, threshold=best_threshold(sample, known))
    return {UNTRAINED: evaluate(trained, task, assignment.validation, settings).metrics}


def _result(
    assignment: Assignment,
    found: Found,
    judged: Mapping[str, Evaluation],
    baselines: Result,
    error: float,
    folder: SearchFolder,
) -> Result:
    """What `--json` prints and result.json keeps."""
    best, task = found.best, assignment.task
    main = next(iter(judged.values()))
    result: Result = {
        "task": task.name,
        "metric": task.metrics[0],
        "steps": best.result["steps"],
        "seconds": best.result["seconds"],
        "tokens": best.result["tokens"],
        "validation": main.metrics,
        "model": str(folder.model),
        "standard_error": error,
        "baselines": baselines,
        "seeds": {"count": len(found.same), **spread(found.same)},
        "runs": [
            {
                "name": outcome.trial.name,
                "seed": outcome.trial.seed,
                "settings": outcome.trial.settings,
                **{key: outcome.result.get(key) for key in ("validation", "steps", "seconds", "best_step")},
                **({"failed": outcome.failed} if outcome.failed else {}),
            }
            for outcome in found.outcomes
        ],
        "best": best.trial.name,
        "examples": {"train": len(assignment.parts.train), **{name: e.examples for name, e in judged.items()}},
        "truncated": main.truncated,
        "columns": asdict(assignment.columns) if assignment.columns else {},
        "report": str(folder.report),
    }
    if len(judged) > 1:
        result["parts"] = {name: evaluation.metrics for name, evaluation in judged.items()}
    return result


def _tell(result: Result, metric: str) -> None:
    """The figures side by side, on stderr."""
    from bertsmith.tasks.baselines import TITLES

    value, error = result["validation"][metric], result["standard_error"]
    rows: list[list[str]] = [["this model", f"{value:.4f} ± {error:.4f}"]]
    if result["seeds"]["count"] > 1:
        mean, deviation = (result["seeds"][key][metric] for key in ("mean", "standard_deviation"))
        rows.append([f"mean of {result['seeds']['count']} seeds", f"{mean:.4f} ± {deviation:.4f}"])
    if "teacher" in result:
        rows.append(["teacher", f"{result['teacher']['validation'][metric]:.4f}"])
    rows += [[TITLES[name], f"{values[metric]:.4f}"] for name, values in result["baselines"].items()]
    console.table(
        f"{result['task']}: {metric} on {result['examples']['train']:,} training examples", rows, ["", metric]
    )
