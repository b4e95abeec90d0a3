"""A task: how its files are read, what its labels are, and what it is measured by."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from bertsmith.tasks.examples import TaskType
from bertsmith.text.skipped import Skipped

Read = Callable[[Path, Skipped], list[Any]]
"""One file to its examples, in their order. Rows that hold none are counted; rows without a label have label None."""

Form = Literal["texts", "pairs", "labelled", "scored"]
"""What data of similarity hold: single texts, texts that belong together, pairs that do or do not, pairs with scores.
"""

PARTS = ("train", "validation", "validation-mismatched", "test", "test-mismatched")


@dataclass(frozen=True)
class Task:
    """One task. The first of `metrics` decides which model is the better one.

    files: for each of `PARTS` the names that its file may have in the published folder, the most usual first; a name
    with `*` stands for all files that match it, taken together. folders: what that folder itself is called.
    labels: in their fixed order; () where they are collected from the training part.
    form: of the training part, for similarity alone.
    by_character: answers are scored as CMRC2018's are. no_answer: questions may have none (SQuAD 2.0).
    """

    name: str
    type: TaskType
    description: str
    read: Read
    metrics: tuple[str, ...]
    files: Mapping[str, tuple[str, ...]]
    labels: tuple[str, ...] = ()
    language: str = "en"
    by_character: bool = False
    no_answer: bool = False
    folders: tuple[str, ...] = ()
    form: Form | None = None


class Parts(NamedTuple):
    """train and validation hold labelled examples alone; test those of the file, with or without labels."""

    train: list[Any]
    validation: dict[str, list[Any]]
    test: list[Any]
