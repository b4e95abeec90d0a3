"""Tasks by the name that is typed: those of the table, and the two that any data may be."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bertsmith.config import did_you_mean
from bertsmith.errors import UsageError
from bertsmith.tasks import sentence_pairs, user_table
from bertsmith.tasks.table import TASKS
from bertsmith.tasks.task import Task
from bertsmith.tasks.user_table import Columns

ANY_DATA = (user_table.NAME, sentence_pairs.NAME)


def task_for(name: str, data: Path, asked: Columns | None = None, labelled: bool = True) -> tuple[Task, Columns | None]:
    """A task by its name, with the columns where it is a table. UsageError with the nearest name when there is none."""
    if name == user_table.NAME:
        return user_table.open_table(data, asked or Columns(), labelled)
    if name == sentence_pairs.NAME:
        return sentence_pairs.open_pairs(data, asked or Columns())
    if asked is not None and asked != Columns():
        raise UsageError(f"--text, --second, --label and --regression are for tables; {name} has columns of its own")
    require_name(name)
    return TASKS[name], None


def require_name(name: str, also: Sequence[str] = ()) -> None:
    """UsageError, with the nearest name, unless there is such a task. also: what else may have been meant."""
    if name not in TASKS and name not in ANY_DATA:
        known = [*ANY_DATA, *TASKS]
        near = did_you_mean(name, [*also, *known]) or f"; there are {', '.join(known)}"
        raise UsageError(f"{name}: there is no such task{near}")
