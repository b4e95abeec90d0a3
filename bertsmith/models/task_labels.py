"""What config.json says of a task head: the class that it belongs to, its labels, and whether it gives a number."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bertsmith.errors import BertsmithError, UsageError
from bertsmith.models.config import MAX_LABELS, TaskHead, TaskKind
from bertsmith.models.families.family import TASK_CLASSES, Family
from bertsmith.models.untrusted import in_one_line

REGRESSION, ONE_LABEL = "regression", "single_label_classification"


def automatic_class(task: TaskHead) -> str:
    """The class of transformers that loads a folder with this task head."""
    return "AutoModel" + TASK_CLASSES[task.kind]


def task_to_json(task: TaskHead, family: Family, dropout: float) -> dict[str, Any]:
    """The keys of config.json that tell transformers of this head; dropout: the one it was trained with."""
    values: dict[str, Any] = {"architectures": [family.task_class(task.kind)]}
    values |= dict.fromkeys(family.head_dropouts, dropout)
    if task.labels:
        values["id2label"] = {str(number): label for number, label in enumerate(task.labels)}
        values["label2id"] = {label: number for number, label in enumerate(task.labels)}
    if task.kind == "sequence":
        values["problem_type"] = REGRESSION if task.regression else ONE_LABEL
    return values


def head_named(values: Mapping[str, Any]) -> str:
    """Which head config.json names, for messages; "" when it names no class."""
    name, problem = _class_named(values), values.get("problem_type")
    told = problem is not None and name.endswith(TASK_CLASSES["sequence"])
    return in_one_line(name) + (f" with problem_type {repr(problem)[:60]}" if told else "")


def _class_named(values: Mapping[str, Any]) -> str:
    """The class that the weights are of; "" when that is not said."""
    found = values.get("architectures")
    return found[0] if isinstance(found, list) and found and isinstance(found[0], str) else ""


def task_from_json(values: Mapping[str, Any], path: Path) -> TaskHead | None:
    """The task head that config.json describes; None when there is none, or one of a kind that is not known here.

    Such are several labels at once for a sequence, and several numbers. As in transformers id2label decides, without it
    num_labels, without that there are two labels; label2id is not read. BertsmithError naming the file and key.
    """
    named = _class_named(values)
    kinds: list[TaskKind] = [kind for kind, ending in TASK_CLASSES.items() if named.endswith(ending)]
    if not kinds:
        return None
    (kind,) = kinds
    if kind in ("span", "choice"):
        return TaskHead(kind)
    labels = _labels(values, path)
    problem = values.get("problem_type") if kind == "sequence" else ONE_LABEL
    if kind == "sequence" and problem is None:
        problem = REGRESSION if len(labels) == 1 else ONE_LABEL
    if problem not in (REGRESSION, ONE_LABEL) or (problem == REGRESSION and len(labels) > 1):
        return None
    task = TaskHead(kind, labels, regression=problem == REGRESSION)
    try:
        task.check()
    except UsageError as error:
        raise BertsmithError(f"{path}: {error}") from error
    return task


def _labels(values: Mapping[str, Any], path: Path) -> tuple[str, ...]:
    """Labels in the order of their ids, which must be 0, 1, 2, ..."""
    found = values.get("id2label")
    if found is None:
        count = values.get("num_labels", 2)
        if type(count) is not int or not 1 <= count <= MAX_LABELS:
            raise BertsmithError(f"{path}: num_labels is {repr(count)[:60]}; a whole number up to {MAX_LABELS} is read")
        return tuple(f"LABEL_{number}" for number in range(count))
    if not isinstance(found, dict) or not found:
        raise BertsmithError(f"{path}: id2label is {repr(found)[:60]}; it must give a label for each id")
    if len(found) > MAX_LABELS:
        raise BertsmithError(f"{path}: id2label has {len(found):,} labels, more than the limit of {MAX_LABELS:,}")
    for number in range(len(found)):
        label = found.get(str(number))
        if not isinstance(label, str):
            what = "is missing" if str(number) not in found else f"is {repr(label)[:60]}, not a text"
            raise BertsmithError(f"{path}: id2label: the label of id {number} {what}")
    return tuple(found[str(number)] for number in range(len(found)))
