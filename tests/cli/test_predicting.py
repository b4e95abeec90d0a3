"""`predict` on the command line: what reaches the pipeline, what is printed, and one line for every mistake."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bertsmith.cli import run
from bertsmith.tasks.user_table import Columns
from tests.test_cli import calls

__all__ = ["calls"]


def test_texts_are_asked_alone_in_pairs_and_with_a_context(
    calls: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    run(["predict", "classify", "--from", "m", "a text", "--json"])
    assert calls[-1][:2] == ("classify", ("m", ["a text"]))
    assert json.loads(capsys.readouterr().out) == {"label": "good", "score": 0.75}
    run(["predict", "classify", "--from", "m", "--pairs", "a", "b", "c", "d", "--json"])
    assert calls[-1][1] == ("m", [("a", "b"), ("c", "d")])
    assert isinstance(json.loads(capsys.readouterr().out), list)
    run(["predict", "answer", "--from", "m", "--context", "In 2026.", "When?", "--json"])
    assert calls[-1][1] == ("m", [("When?", "In 2026.")])
    assert json.loads(capsys.readouterr().out)["answer"] == "2026"
    run(["predict", "similarity", "--from", "m", "a", "b", "--json"])
    assert calls[-1][1] == ("m", [("a", "b")])
    run(["predict", "tag", "--from", "m", "a", "--json"])
    assert calls[-1][1] == ("m", ["a"])


def test_embed_takes_pooling_and_normalisation(calls: list[Any], capsys: pytest.CaptureFixture[str]) -> None:
    assert run("predict embed --from m a --pooling cls --normalize --precision int8 --json".split()) == 0
    assert calls[-1][1:] == (
        ("m", ["a"]),
        {"pooling": "cls", "normalize": True, "flags": {}, "precision": "int8"},
    )
    assert json.loads(capsys.readouterr().out) == {"embedding": [0.5, -0.25]}
    assert run("predict embed --from m a --no-normalize".split()) == 0
    assert calls[-1][2]["normalize"] is False and calls[-1][2]["pooling"] is None
    assert "(2 numbers)" in capsys.readouterr().out


def test_a_file_goes_to_a_file(calls: list[Any], capsys: pytest.CaptureFixture[str]) -> None:
    line = "predict classify --from m --input t.csv --text body --output o.jsonl --workers 2 --task.max-length 9"
    assert run(line.split()) == 0
    name, arguments, options = calls[-1]
    assert (name, arguments) == ("predict_file", ("classify", "m", Path("t.csv"), Path("o.jsonl")))
    assert options == {
        "columns": Columns("body"),
        "flags": {"task.max-length": "9"},
        "precision": "fp32",
        "workers": 2,
    }
    assert capsys.readouterr().out == ""
    assert run([*line.split(), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"rows": 2, "errors": 1}
    assert run("predict fill-mask --from m --input t.txt --output o.csv --top-k 3".split()) == 0
    assert calls[-1][2] == {"columns": None, "flags": {}, "precision": "fp32", "workers": 0, "top_k": 3}


@pytest.mark.parametrize("as_json", [True, False])
def test_without_an_output_results_come_on_stdout(
    calls: list[Any], capsys: pytest.CaptureFixture[str], as_json: bool
) -> None:
    assert run(["predict", "classify", "--from", "m", "--input", "t.csv", *["--json"] * as_json]) == 0
    assert calls[-1][:2] == ("predict_rows", ("classify", "m", Path("t.csv")))
    text = capsys.readouterr().out
    found = json.loads(text) if as_json else [json.loads(line) for line in text.splitlines()]
    assert found == [{"label": "good", "score": 0.75}, {"error": "empty"}]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("predict classify --from m", "give texts or --input FILE"),
        ("predict classify --from m --pairs a", "--pairs wants texts in pairs, not 1"),
        ("predict classify --from m a --input f.csv", "give texts or --input FILE"),
        ("predict similarity --from m a", "similarity wants texts in pairs, not 1"),
        ("predict answer --from m When?", "answer wants --context TEXT"),
        ("predict answer --from m --context c --input f.csv", "--context and --input"),
        ("predict tag --from no/model a", "no/model: there is no such folder"),
        ("predict classify --from m --input no.csv", "no.csv: there is no such file"),
        ("predict classify --from m --input no.txt", "no.txt: there is no such file"),
        ("predict classify --from m --input no.txt --text a", "--text and --second are for tables"),
        ("predict classify --from m a --output o.jsonl", "--output goes with --input FILE"),
        ("predict classify --from m a --second b", "--second goes with --input FILE"),
        ("predict classify --from m --input no.csv --output o.txt", "o.txt: results are written as .jsonl, .csv, .pa"),
        ("predict classify --from m --input no.csv --output .", ".: results are written as"),
        ("predict classify --from m --input no.csv --output o.csv --workers -1", "--workers: must be 0 or more"),
        ("predict embed --from m a --pooling max", "--pooling"),
        ("predict embed --from m a --precision fp8", "--precision"),
        ("predict fill-mask --from m --input f.txt --task.stride 3", "predict fill-mask takes no fields of a recipe"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_2(line: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(line.split()) == 2
    printed = capsys.readouterr()
    assert printed.out == "" and message in printed.err and printed.err.count("\n") == 1
