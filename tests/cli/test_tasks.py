"""The verbs about tasks: what reaches the pipeline, and one line for every mistake."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bertsmith import pipeline
from bertsmith.cli import run
from bertsmith.tasks.search import Search
from bertsmith.tasks.user_table import Columns
from tests.test_cli import calls

__all__ = ["calls"]


def test_finetune_hands_everything_on(calls: list[Any]) -> None:
    line = (
        "finetune table --from m --data d.csv --out o --text t --second s --label l --no-regression --seeds 3 --seed 7 "
        "--grid learning_rate=2e-5,3e-5 --grid epochs=2,3 --baselines all --training.batch-size 16 --task.patience=2"
    )
    assert run([*line.split(), "--json"]) == 0
    name, arguments, options = calls[-1]
    assert (name, arguments) == ("finetune", ("table", "m", Path("d.csv"), Path("o")))
    assert options == {
        "columns": Columns("t", "s", "l", False),
        "search": Search(3, ("learning_rate=2e-5,3e-5", "epochs=2,3"), "all"),
        "flags": {"training.batch-size": "16", "task.patience": "2", "seed": "7"},
        "teacher": None,
    }


def test_finetune_needs_no_flag_but_three(calls: list[Any]) -> None:
    assert run("finetune sst2 --from m --data d --out o --json".split()) == 0
    assert calls[-1][2] == {"columns": None, "search": Search(), "flags": {}, "teacher": None}


def test_finetune_takes_a_teacher_and_what_its_answers_count_for(calls: list[Any]) -> None:
    line = "finetune sst2 --from m --teacher t --data d --out o --distillation.weight 0.9"
    assert run([*line.split(), "--grid", "distillation.temperature=1,2", "--json"]) == 0
    assert calls[-1][2] == {
        "columns": None,
        "search": Search(grid=("distillation.temperature=1,2",)),
        "flags": {"distillation.weight": "0.9"},
        "teacher": "t",
    }


def test_suites_take_several_folders(calls: list[Any]) -> None:
    assert run("finetune suite --from m --data glue clue --out o --seeds 2 --pairs blimp --json".split()) == 0
    name, arguments, options = calls[-1]
    assert (name, options) == ("finetune_suite", {"flags": {}})
    assert arguments == ("m", [Path("glue"), Path("clue")], Path("o"), Search(seeds=2), ["blimp"])


def test_evaluate_takes_a_task(calls: list[Any]) -> None:
    assert run("evaluate table --from m --data d.csv --text t --label l --task.max-length 64 --json".split()) == 0
    name, arguments, options = calls[-1]
    assert (name, arguments) == ("evaluate_task", ("table", "m", Path("d.csv")))
    assert options == {
        "columns": Columns("t", "", "l", None),
        "flags": {"task.max-length": "64"},
        "precision": "fp32",
    }


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("finetune sst3 --from m --data d --out o", "sst3: there is no such task; did you mean sst2?"),
        ("finetune sst2 --data d --out o", "finetune sst2: --from is missing"),
        ("finetune sst2 --from m --out o", "finetune sst2: --data is missing"),
        ("finetune sst2 --from m --data d", "finetune sst2: --out is missing"),
        ("finetune sst2 --from no/model --data d --out o", "no/model: there is no such folder"),
        ("finetune sst2 --from m --data d --out o --seeds 0", "--seeds: must be 1 or more"),
        ("finetune sst2 --from m --data d --out o --grid rate=1", "training.rate is no field of fine-tuning"),
        ("finetune sst2 --from m --data d --out o --baselines some", "--baselines"),
        ("finetune sst2 --from m --data d --out o --distillation.weight 1", "name the teacher with --teacher MODEL"),
        ("finetune sst2 --from m --data d --out o --grid distillation.weight=0,1", "--teacher MODEL"),
        ("evaluate sst2 --from m", "evaluate sst2: --data is missing"),
        ("evaluate sst2 --data d", "evaluate sst2: --from is missing"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_2(line: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(line.split()) == 2
    printed = capsys.readouterr()
    assert printed.out == "" and message in printed.err and printed.err.count("\n") == 1


def test_figures_are_readable_without_json(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    result = {
        "task": "sst2",
        "metric": "accuracy",
        "validation": {"accuracy": 0.91},
        "standard_error": 0.01,
        "seeds": {"count": 2, "mean": {"accuracy": 0.9}, "standard_deviation": {"accuracy": 0.005}},
        "baselines": {"majority": {"accuracy": 0.51}},
        "steps": 30,
        "seconds": 65.0,
        "model": "o/model",
        "report": "o/report.html",
        "submission": ["o/submission/SST-2.tsv"],
    }
    monkeypatch.setattr(pipeline, "finetune", lambda *a, **o: result)
    assert run("finetune sst2 --from m --data d --out o".split()) == 0
    text = capsys.readouterr().out
    for piece in ("0.9100", "0.9000 ± 0.0050", "majority", "0.5100", "0.0100", "1m 5s", "SST-2.tsv"):
        assert piece in text
    evaluated = {
        "task": "sst2",
        "metrics": {"accuracy": 0.5},
        "standard_error": 0.1,
        "examples": 9,
        "skipped": {"x": 2},
    }
    monkeypatch.setattr(pipeline, "evaluate_task", lambda *a, **o: evaluated)
    assert run("evaluate sst2 --from m --data d".split()) == 0
    assert "skipped: x" in capsys.readouterr().out
