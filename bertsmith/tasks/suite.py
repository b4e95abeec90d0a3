"""Several tasks at once: which of them lie in a folder, and the table with the average, as the papers print it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from bertsmith import console
from bertsmith.errors import UsageError
from bertsmith.tasks.parts import part_files
from bertsmith.tasks.table import TASKS
from bertsmith.tasks.task import Task

AVERAGED = ("mrpc", "qqp", "stsb")
"""Tasks whose two metrics count as one figure, their mean, as on GLUE's leaderboard; of others the first counts."""

SMALL = 1000  # validation examples below which a figure decides nothing


class Found(NamedTuple):
    """A task and the folder that holds its files."""

    task: Task
    folder: Path


def tasks_in(folders: Sequence[Path]) -> list[Found]:
    """The tasks whose folders, or which themselves, are named, in the order of the table of tasks.

    A task without a training or a validation part is left out and told, a folder of no known task too. UsageError when
    there is none at all, or one twice.
    """
    found: dict[str, Found] = {}
    for folder in folders:
        if not folder.is_dir():
            raise UsageError(f"{folder}: there is no such folder")
        named = task_named(folder.name)
        inside = [(named, folder)] if named else [(task_named(path.name), path) for path in _folders(folder)]
        unknown = [path.name for task, path in inside if task is None]
        if unknown:
            console.say(f"{folder}: no known task in {', '.join(unknown)}")
        for task, path in inside:
            if task is None or not _complete(task, path):
                continue
            if task.name in found:
                raise UsageError(f"{path}: {task.name} is in {found[task.name].folder} too; give one of them")
            found[task.name] = Found(task, path)
    if not found:
        raise UsageError(f"{folders[0]}: holds no folder of a known task; one is called as its task, such as SST-2")
    return [found[name] for name in TASKS if name in found]


def task_named(folder: str) -> Task | None:
    """The task that a folder is called after, whatever its capitals and signs; None when there is none."""
    wanted = _bare(folder)
    for task in TASKS.values():
        if wanted in {_bare(name) for name in (task.name, *task.folders)}:
            return task
    return None


def _bare(name: str) -> str:
    return "".join(character for character in name.lower() if character.isalnum())


def _folders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir() and path.name[0] != ".")


def _complete(task: Task, folder: Path) -> bool:
    parts = part_files(task, folder)
    if "train" not in parts:
        console.say(f"{folder}: no training part of {task.name}, left out")
    return "train" in parts


def figure(result: Mapping[str, Any], values: Mapping[str, float]) -> float:
    """The one figure of a task, times 100: the mean of its metrics where GLUE averages them, else the first."""
    if result["task"] in AVERAGED:
        return 100 * math.fsum(values[name] for name in result["validation"]) / len(result["validation"])
    return 100 * values[result["metric"]]


def summary(results: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """{tasks: [{task metric value standard_error examples baselines{...}}], average, ...}, figures times 100.

    average: of the model, over all tasks; averages: of every baseline that all tasks have; decisive: of the model over
    tasks with at least 1,000 validation examples, None where there is none.
    """
    rows = []
    for result in results:
        count = next(number for name, number in result["examples"].items() if name != "train")
        seeds = result["seeds"]
        rows.append(
            {
                "task": result["task"],
                "metric": "mean" if result["task"] in AVERAGED else result["metric"],
                "value": figure(result, result["validation"]),
                "mean": figure(result, seeds["mean"]),
                "standard_deviation": figure(result, seeds["standard_deviation"]),
                "seeds": seeds["count"],
                "standard_error": 100 * result["standard_error"],
                "examples": {"train": result["examples"]["train"], "validation": count},
                "baselines": {name: figure(result, values) for name, values in result["baselines"].items()},
                "seconds": math.fsum(run["seconds"] or 0.0 for run in result["runs"]),
                "model": result["model"],
            }
        )
    shared = set.intersection(*(set(row["baselines"]) for row in rows)) if rows else set()
    large = [row["value"] for row in rows if row["examples"]["validation"] >= SMALL]
    return {
        "tasks": rows,
        "average": _mean([row["value"] for row in rows]),
        "averages": {name: _mean([row["baselines"][name] for row in rows]) for name in sorted(shared)},
        "decisive": _mean(large) if large else None,
    }


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / max(1, len(values))


def table(result: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Headings and rows, the average last."""
    names = list(dict.fromkeys(name for row in result["tasks"] for name in row["baselines"]))
    several = any(row["seeds"] > 1 for row in result["tasks"])
    headings = ["task", "metric", "train", "validation", "model", "± noise"]
    headings += ["mean of seeds", "± deviation"] if several else []
    rows = []
    for row in result["tasks"]:
        counts = [f"{row['examples'][part]:,}" for part in ("train", "validation")]
        cells = [row["task"], row["metric"], *counts, f"{row['value']:.1f}", f"{row['standard_error']:.1f}"]
        cells += [f"{row['mean']:.1f}", f"{row['standard_deviation']:.1f}"] if several else []
        found = row["baselines"]
        rows.append([*cells, *(f"{found[name]:.1f}" if name in found else "" for name in names)])
    averages = [f"{result['averages'][name]:.1f}" if name in result["averages"] else "" for name in names]
    last = ["average", "", "", "", f"{result['average']:.1f}", "", *(["", ""] if several else []), *averages]
    return [*headings, *(name.replace("_", " ") for name in names)], [*rows, last]


def markdown(result: Mapping[str, Any]) -> str:
    """The table for a document."""
    headings, rows = table(result)
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"
