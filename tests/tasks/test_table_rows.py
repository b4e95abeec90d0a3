"""Tables row by row: what a broken row costs, and that no row costs more memory than its own."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

from bertsmith.errors import BertsmithError, UsageError
from bertsmith.tasks import table_rows
from bertsmith.tasks.table_files import open_table, read_rows
from bertsmith.tasks.table_rows import Broken, text_lines
from bertsmith.text.skipped import Skipped


def found(path: Path, data: str | bytes = b"", wanted: tuple[str, ...] = ()) -> list[Any]:
    """The values of each row, or (line, why it has none)."""
    if data:
        path.write_bytes(data.encode() if isinstance(data, str) else data)
    rows = open_table(path).rows(wanted)
    return [(row.place.rsplit(":")[-1], row.reason) if isinstance(row, Broken) else row.values for row in rows]


def test_after_an_open_quote_the_next_line_is_a_row(tmp_path: Path) -> None:
    text = 'text\none\n"two\nthree\n"four\nfour"\nfive\n'
    assert found(tmp_path / "a.csv", text) == [
        {"text": "one"},
        ("3", "',' expected after '\"'"),
        {"text": "three"},
        {"text": "four\nfour"},
        {"text": "five"},
    ]
    rows = found(tmp_path / "b.csv", 'text\none\n"two\nthree\n')
    assert rows == [{"text": "one"}, ("3", "a quoted field is not closed"), {"text": "three"}]


def test_a_row_of_empty_fields_is_one_and_a_blank_line_is_none(tmp_path: Path) -> None:
    assert found(tmp_path / "a.csv", "a,b\n\n,\n  \n1,2\n") == [{"a": "", "b": ""}, {"a": "1", "b": "2"}]
    assert found(tmp_path / "b.csv", 'a\n""\n\n1\n') == [{"a": ""}, {"a": "1"}]
    skipped = Skipped()
    assert len(read_rows(tmp_path / "a.csv", skipped).rows) == 1 and not skipped.counts


def test_lines_and_records_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table_rows, "LONGEST_LINE", 20)
    rows = found(tmp_path / "a.csv", "text\none\n" + "x" * 50 + '\ntwo\n"three\n' + "line\n" * 9)
    assert [row for row in rows if isinstance(row, tuple)] == [
        ("3", "longer than 16 MiB"),
        ("5", "a quoted field is not closed"),
    ]
    assert len(rows) == 1 + 1 + 1 + 1 + 9
    (tmp_path / "a.txt").write_text("one\n" + "x" * 50 + "\n\ntwo")
    lines = list(text_lines(tmp_path / "a.txt"))
    assert [line if isinstance(line, str) else line.reason for line in lines] == [
        "one",
        "longer than 16 MiB",
        "",
        "two",
    ]
    json_rows = found(tmp_path / "a.jsonl", '{"a": 1}\n{"a": "' + "x" * 50 + '"}\n{"a": 2}\n')
    assert json_rows == [{"a": 1}, ("2", "longer than 16 MiB"), {"a": 2}]


def test_json_lines_that_are_none(tmp_path: Path) -> None:
    rows = found(tmp_path / "a.jsonl", '{"a": 1}\n{oops\n\n7\n{"a": ' + "[" * 99_999 + "\n")
    assert rows == [{"a": 1}, ("2", "not JSON"), ("4", "not a JSON object"), ("5", "not JSON")]


def test_rows_can_be_read_again(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text('text\tn\n"Odd" he said\t1\n')
    table = open_table(tmp_path / "a.tsv")
    assert [list(table.rows()) for _ in range(2)] == [list(table.rows())] * 2
    assert table.columns == ("text", "n")


def test_parquet_gives_the_wanted_columns(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    label = pa.array(["x", "y"]).dictionary_encode()
    parquet.write_table(pa.table({"text": ["one", "fine"], "n": [1, None], "label": label}), path)
    assert found(path) == [{"text": "one", "n": 1, "label": "x"}, {"text": "fine", "n": None, "label": "y"}]
    assert found(path, wanted=("n",)) == [{"n": 1}, {"n": None}]
    assert read_rows(path, Skipped()).columns == ("text", "n", "label")


def test_text_of_a_parquet_file_that_is_no_utf8_is_one_broken_row(tmp_path: Path) -> None:
    raw = pa.array([b"caf\xe9", b"fine"], pa.binary())
    text = pa.Array.from_buffers(pa.string(), 2, raw.buffers())
    parquet.write_table(pa.table({"text": text}), tmp_path / "a.parquet")
    values = [row["text"] for row in found(tmp_path / "a.parquet")]
    assert values == ["caf\udce9", "fine"] and table_rows.broken(values[0]) == "not UTF-8"


def test_a_damaged_parquet_file_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    path.write_bytes(b"PAR1 this is none PAR1")
    with pytest.raises(UsageError, match="a.parquet: is no Parquet file, or a damaged one"):
        open_table(path)
    table = pa.table({"text": [f"a text of number {i}" for i in range(4000)]})
    parquet.write_table(table, path, row_group_size=1000, use_dictionary=False)
    whole = bytearray(path.read_bytes())
    whole[len(whole) // 2 : len(whole) // 2 + 2000] = bytes(2000)
    path.write_bytes(whole)
    rows = open_table(path).rows()
    read = 0
    with pytest.raises(BertsmithError, match="a damaged one"):
        for _ in rows:
            read += 1
    assert 0 < read < 4000


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.csv", b"", "a.csv: is empty"),
        ("a.jsonl", b"\n \n", "a.jsonl: is empty"),
        ("a.csv", b"\xff\xfet\0", "a.csv: is UTF-16"),
        ("a.csv", b'"text\none\n', "a.csv:1: a quoted field is not closed"),
        ("a.xls", b"a", "a.xls: is of no known kind; name .csv, .tsv, .jsonl or .parquet files"),
    ],
)
def test_what_is_no_table_is_one_line(tmp_path: Path, name: str, data: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(UsageError) as error:
        open_table(tmp_path / name)
    assert message in str(error.value) and "\n" not in str(error.value)


def test_a_folder_or_a_pipe_is_no_table(tmp_path: Path) -> None:
    (tmp_path / "a.csv").mkdir()
    os.mkfifo(tmp_path / "b.csv")
    for name in ("a.csv", "b.csv"):
        with pytest.raises(UsageError, match=f"{name}: is not a regular file"):
            open_table(tmp_path / name)
