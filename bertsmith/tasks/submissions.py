"""Answers to the unlabelled test parts, in the form that the benchmarks' own servers take."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

from seqeval.metrics.sequence_labeling import get_entities

from bertsmith import console, store
from bertsmith.tasks.evaluation import predict
from bertsmith.tasks.examples import TaggedExample
from bertsmith.tasks.finetuning_config import TaskConfig
from bertsmith.tasks.parts import is_labelled, read_part
from bertsmith.tasks.predictions import Answered, Chosen, Classified, Prediction, Regressed, Tagged
from bertsmith.tasks.table import TASKS
from bertsmith.tasks.task import Task
from bertsmith.tasks.trained import Trained

LABEL_FILES = {
    "cola": "CoLA.tsv",
    "sst2": "SST-2.tsv",
    "mrpc": "MRPC.tsv",
    "stsb": "STS-B.tsv",
    "qqp": "QQP.tsv",
    "mnli": "MNLI-m.tsv",
    "qnli": "QNLI.tsv",
    "rte": "RTE.tsv",
    "wnli": "WNLI.tsv",
    "ax": "AX.tsv",
}
"""GLUE's file of each task."""

CLUE_VERSIONS = {"tnews": "tnews11", "cluewsc": "cluewsc11", "c3": "c311", "ocnli": "ocnli_50k"}
"""What CLUE 1.1 calls the tasks whose test part is not that of 1.0; the others go by their name."""

OTHER_PARTS = {("mnli", "test-mismatched"): "MNLI-mm.tsv"}
STSB_RANGE = (0.0, 5.0)


class Unlabelled(NamedTuple):
    """Unlabelled examples, and what the file with their answers is called (without a folder)."""

    task: Task
    file: str
    examples: Sequence[Any]


def unlabelled_parts(task: Task, data: Path, test: Sequence[Any]) -> list[Unlabelled]:
    """The unlabelled test parts of a task in a folder: its own, for MNLI also the mismatched one, and the diagnostic
    pairs in a folder beside it.

    test: the examples of its own test part, as `read_parts` gives them. A part with labels needs no submission.
    """
    if not test or any(is_labelled(example) for example in test):
        return []
    clue = f"{CLUE_VERSIONS.get(task.name, task.name)}_predict.json"
    parts = [Unlabelled(task, LABEL_FILES.get(task.name, clue), test)]
    for (name, part), file in OTHER_PARTS.items():
        if name == task.name and part in task.files and data.is_dir():
            parts.append(Unlabelled(task, file, read_part(task, data, part)))
    if task.name == "mnli" and data.is_dir():
        ax = TASKS["ax"]
        places = [data.parent / name for name in ax.folders if (data.parent / name).is_dir()]
        parts += [Unlabelled(ax, LABEL_FILES[ax.name], read_part(ax, place, "test")) for place in places[:1]]
    return parts


def write_submission(trained: Trained, part: Unlabelled, settings: TaskConfig, folder: Path) -> Path:
    """Answer a test part and write the file into the folder; returns its path."""
    console.say(f"answers to {len(part.examples):,} test examples of {part.task.name}")
    predictions = list(predict(trained, part.task, part.examples, settings))
    by_type = answers_file if part.task.type == "answering" else json_lines
    render = glue_file if part.file.endswith(".tsv") else by_type
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / part.file
    store.write_atomic(path, render(part.task, part.examples, predictions).encode())
    return path


def glue_file(task: Task, examples: Sequence[Any], predictions: Sequence[Prediction]) -> str:
    """`index<tab>prediction` by the ids of the file, else numbered from 0; scores of STS-B are kept within 0 and 5."""
    lines = ["index\tprediction"]
    for number, (example, prediction) in enumerate(zip(examples, predictions, strict=True)):
        match prediction:
            case Regressed(value):
                low, high = STSB_RANGE
                shown = f"{min(high, max(low, value)) if task.name == 'stsb' else value:.3f}"
            case Classified(label, _):
                shown = label
            case _:
                raise TypeError(f"{task.name} gives {type(prediction).__name__}, not a label or a score")
        lines.append(f"{_id_of(example, number)}\t{shown}")
    return "\n".join(lines) + "\n"


def answers_file(task: Task, examples: Sequence[Any], predictions: Sequence[Prediction]) -> str:
    """One object, {question id: answer}, as the servers of SQuAD and of CLUE's reading tasks take it."""
    answers = {
        example.name: cast(Answered, prediction).text for example, prediction in zip(examples, predictions, strict=True)
    }
    return json.dumps(answers, ensure_ascii=False, indent=1) + "\n"


def json_lines(task: Task, examples: Sequence[Any], predictions: Sequence[Prediction]) -> str:
    """One object per example: its id and what was answered, as CLUE's servers take it."""
    lines = []
    for number, (example, prediction) in enumerate(zip(examples, predictions, strict=True)):
        name = _id_of(example, number)
        lines.append(json.dumps({"id": name, **_answer(example, prediction)}, ensure_ascii=False))
    return "\n".join(lines) + "\n"


def _id_of(example: Any, number: int) -> str | int:
    """The published id of an example, or its number: names of rows without one are "file:line"."""
    return number if ":" in example.name else example.name


def _answer(example: Any, prediction: Prediction) -> dict[str, Any]:
    match prediction:
        case Classified(label, _):
            return {"label": label}
        case Regressed(value):
            return {"score": value}
        case Chosen(choice, _):
            return {"label": choice}
        case Tagged(tags, _):
            return {"tags": list(tags)} if example.spaced else {"label": _by_character(example, tags)}
        case _:
            raise TypeError(f"{type(prediction).__name__} has a file of another form")


def _by_character(example: TaggedExample, tags: Sequence[str]) -> dict[str, dict[str, list[list[int]]]]:
    """{type: {entity: [[first, last]]}}: CLUENER's form, of words that are the characters of their text."""
    found: dict[str, dict[str, list[list[int]]]] = {}
    for kind, first, last in get_entities(list(tags)):
        entity = "".join(example.words[first : last + 1])
        found.setdefault(kind, {}).setdefault(entity, []).append([first, last])
    return found
