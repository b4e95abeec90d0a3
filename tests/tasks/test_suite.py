"""Which tasks lie in a folder, and the table with the average."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bertsmith.errors import UsageError
from bertsmith.tasks.suite import markdown, summary, table, task_named, tasks_in


def folder_of(parent: Path, name: str, *files: str) -> Path:
    folder = parent / name
    folder.mkdir(parents=True)
    for file in files:
        (folder / file).write_text("x")
    return folder


def test_tasks_are_found_by_the_names_of_folders(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder_of(tmp_path, "RTE", "train.tsv", "dev.tsv")
    folder_of(tmp_path, "SST-2", "train.tsv", "dev.tsv")
    folder_of(tmp_path, "QNLI", "dev.tsv")
    folder_of(tmp_path, "letters")
    assert [found.task.name for found in tasks_in([tmp_path])] == ["sst2", "rte"]
    said = capsys.readouterr().err
    assert "no training part of qnli" in said and "no known task in letters" in said
    assert [found.task.name for found in tasks_in([tmp_path / "RTE"])] == ["rte"]


@pytest.mark.parametrize(
    ("name", "task"), [("STS-B", "stsb"), ("afqmc_public", "afqmc"), ("CLUEWSC2020", "cluewsc"), ("notes", None)]
)
def test_names_are_taken_loosely(name: str, task: str | None) -> None:
    found = task_named(name)
    assert (found.name if found else None) == task


def test_nothing_and_twice_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no folder of a known task"):
        tasks_in([folder_of(tmp_path, "empty")])
    with pytest.raises(UsageError, match="there is no such folder"):
        tasks_in([tmp_path / "no"])
    first, second = (folder_of(tmp_path, f"{name}/RTE", "train.tsv") for name in "ab")
    with pytest.raises(UsageError, match="give one of them"):
        tasks_in([first, second])


def result(task: str, values: dict[str, float], count: int, **baselines: dict[str, float]) -> dict[str, Any]:
    return {
        "task": task,
        "metric": next(iter(values)),
        "validation": values,
        "standard_error": 0.01,
        "examples": {"train": 100, "validation": count},
        "seeds": {"count": 2, "mean": values, "standard_deviation": dict.fromkeys(values, 0.02)},
        "runs": [{"seconds": 2.0}, {"seconds": None}],
        "baselines": baselines,
        "model": f"{task}/model",
    }


def test_the_table_has_averages_as_glue_prints_them() -> None:
    results = [
        result("mrpc", {"f1": 0.9, "accuracy": 0.8}, 408, majority={"f1": 0.8, "accuracy": 0.7}),
        result("cola", {"matthews": 0.4, "accuracy": 0.7}, 1042, majority={"matthews": 0.0, "accuracy": 0.7}),
    ]
    found = summary(results)
    assert [row["value"] for row in found["tasks"]] == pytest.approx([85.0, 40.0])
    assert (found["average"], found["decisive"]) == pytest.approx((62.5, 40.0))
    assert found["averages"]["majority"] == pytest.approx(37.5)
    headings, rows = table(found)
    assert headings[0] == "task" and headings[-1] == "majority" and "mean of seeds" in headings
    assert rows[-1][0] == "average" and rows[-1][4] == "62.5" and all(len(row) == len(headings) for row in rows)
    assert markdown(found).count("\n") == 5


def test_without_a_large_validation_part_nothing_is_decided() -> None:
    assert summary([result("wnli", {"accuracy": 0.5}, 71)])["decisive"] is None


def test_the_shared_folders_hold_suites(shared_data: Path) -> None:
    names = {found.task.name for found in tasks_in([shared_data / "glue"])}
    assert names == {"cola", "sst2", "mrpc", "stsb", "rte", "wnli"}
    assert {"afqmc", "ocnli", "cluener", "cmrc2018"} <= {f.task.name for f in tasks_in([shared_data / "clue"])}
