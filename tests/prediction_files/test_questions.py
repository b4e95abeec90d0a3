"""Rows as questions: chunks, columns, and what makes a row or a whole file unusable."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bertsmith.errors import BertsmithError, UsageError
from bertsmith.prediction_files import questions
from bertsmith.prediction_files.questions import Source, Unusable
from bertsmith.prediction_files.verbs import VERBS
from bertsmith.tasks.user_table import Columns
from tests.prediction_files.tiny import texts, write_input


def asked(path: Path, verb: str = "classify", columns: Columns | None = None) -> list[Any]:
    """Every question of a file; why there is none as (why,)."""
    found = [question for chunk in Source(path, columns, VERBS[verb]).chunks() for question in chunk.questions]
    return [(str(question),) if isinstance(question, Unusable) else question for question in found]


def write(path: Path, data: str | bytes) -> Path:
    path.write_bytes(data if isinstance(data, bytes) else data.encode("utf-8", "surrogatepass"))
    return path


@pytest.mark.parametrize("ending", [".txt", ".csv", ".tsv", ".jsonl", ".parquet"])
@pytest.mark.parametrize("verb", ["embed", "similarity"])
def test_every_kind_of_file_asks_the_same(tmp_path: Path, ending: str, verb: str) -> None:
    rows = texts(120, verb)
    assert asked(write_input(tmp_path / f"in{ending}", rows), verb) == rows


def test_chunks_are_bounded_by_rows_and_characters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(questions, "CHUNK_ROWS", 4)
    monkeypatch.setattr(questions, "CHUNK_CHARACTERS", 100)
    lines = ["a"] * 5 + ["b" * 60] * 3 + ["c" * 200, "d"]
    source = Source(write_input(tmp_path / "in.txt", lines), None, VERBS["embed"])
    chunks = list(source.chunks())
    assert [len(chunk.questions) for chunk in chunks] == [4, 3, 2, 1]
    assert [(chunk.number, chunk.first) for chunk in chunks] == [(0, 1), (1, 5), (2, 8), (3, 10)]


def test_every_line_of_a_text_file_is_a_row(tmp_path: Path) -> None:
    path = write(tmp_path / "in.txt", "\ufeffone\r\n\n  \ntwo\tthree\na\tb\tc\nnu\0l\nlast".encode() + b"\xff")
    empty, nul, bytes_ = ("is empty",), ("NUL character",), ("not UTF-8",)
    assert asked(path)[:4] == ["one", empty, empty, ("two", "three")]
    assert asked(path)[4:] == [("wants one text or two with a tab between, not 3 in a line",), nul, bytes_]
    assert asked(path, "tag")[3:5] == ["two\tthree", "a\tb\tc"]  # a tab is white space where one text is read
    assert asked(path, "answer")[0] == ("wants a question and its context with a tab between, not 1 in a line",)


def test_a_row_of_a_table_that_cannot_be_used_keeps_its_place(tmp_path: Path) -> None:
    lines = ['{"text": "one"}', "{oops", '{"text": 5}', '{"other": 1}', '{"text": " "}', '{"text": "\\ud83d"}', "[1]"]
    assert asked(write(tmp_path / "in.jsonl", "\n".join([*lines, '{"text": "two"}']))) == [
        "one",
        ("not JSON",),
        ("column 'text' is not text",),
        ("column 'text' is empty",),
        ("column 'text' is empty",),
        ("not UTF-8",),
        ("not a JSON object",),
        "two",
    ]
    assert asked(write(tmp_path / "in.csv", b'text,n\none,1\n"two,2\ncaf\xe9,3\nthree\nfour,\0\n')) == [
        "one",
        ("a quoted field is not closed",),
        ("not UTF-8",),
        ("1 fields instead of 2",),
        "four",  # a column that is not read may hold anything
    ]


def test_columns_are_named_or_guessed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "in.csv", "question1,question2,n\na b,c d,1\n")
    assert asked(path) == [("a b", "c d")]
    assert asked(path, "classify", Columns("question2")) == ["c d"]
    assert asked(path, "similarity", Columns("question2", "question1")) == [("c d", "a b")]
    capsys.readouterr()
    assert asked(path, "tag") == ["a b"]
    assert "tag reads one text of each row: 'question1'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "data", "verb", "columns", "message"),
    [
        ("in.csv", "text,n\na,1\n", "embed", Columns("txt"), "has no column 'txt' (--text); did you mean text?"),
        ("in.jsonl", '{"text": "a"}', "embed", Columns("zzz"), "has no column 'zzz' (--text); its columns: text"),
        ("in.csv", "text,n\na,1\n", "answer", None, "answer wants a question and its context, as columns"),
        ("in.csv", "text,n\na,1\n", "tag", Columns("text", "n"), "--second: tag reads one text of each row"),
        ("in.csv", "text,n\n", "tag", None, "in.csv: holds no row that can be read"),
        ("in.jsonl", "oops\n", "tag", None, "in.jsonl: holds no row that can be read"),
        ("in.csv", "", "tag", None, "in.csv: is empty"),
        ("in.txt", "", "tag", None, "in.txt: is empty"),
        ("in.txt", b"\xff\xfea\0", "tag", None, "in.txt: is UTF-16"),
        ("in.txt", "a\n", "tag", Columns("text"), "--text and --second are for tables (.csv, .tsv, .jsonl, .parquet)"),
        ("in.parquet", "PAR1", "tag", None, "in.parquet: is no Parquet file"),
    ],
)
def test_a_file_that_cannot_be_asked_about_is_one_line(
    tmp_path: Path, name: str, data: str | bytes, verb: str, columns: Columns | None, message: str
) -> None:
    with pytest.raises(UsageError) as error:
        asked(write(tmp_path / name, data), verb, columns)
    assert message in str(error.value) and "\n" not in str(error.value)


def test_a_file_that_changes_meanwhile_is_told(tmp_path: Path) -> None:
    path = write_input(tmp_path / "in.txt", texts(2000))
    chunks = Source(path, None, VERBS["embed"]).chunks()
    next(chunks)
    with path.open("a") as file:
        file.write("one more\n")
    with pytest.raises(BertsmithError, match="in.txt: was changed while it was read"):
        list(chunks)


def test_rows_are_counted_beforehand(tmp_path: Path) -> None:
    for ending, count in ((".txt", 120), (".parquet", 120), (".csv", 121)):
        source = Source(write_input(tmp_path / f"in{ending}", texts(120)), None, VERBS["embed"])
        assert source.digest()[1] == count
