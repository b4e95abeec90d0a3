"""The user's own table: formats, columns named and guessed, labels, and what is wrong with it in one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bertsmith.errors import UsageError
from bertsmith.tasks.examples import TextExample
from bertsmith.tasks.naming import require_name, task_for
from bertsmith.tasks.table_files import read_rows
from bertsmith.tasks.table_parts import read_table_parts, split_off
from bertsmith.tasks.user_table import Columns, open_table
from bertsmith.text.skipped import Skipped

HEADER = "text,category\n"


def write(folder: Path, text: str | bytes, name: str = "table.csv") -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def examples_of(path: Path, columns: Columns | None = None) -> tuple[list[TextExample], Skipped]:
    task, _ = open_table(path, columns or Columns())
    skipped = Skipped()
    return task.read(path, skipped), skipped


def rows(count: int, classes: int = 2) -> str:
    return HEADER + "".join(f"a text of number {i},class {i % classes}\n" for i in range(count))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.csv", 'text,category\n"one, two",x\nthree,y\n'),
        ("a.csv", 'text;category\r\n"one, two";x\r\nthree;y\r\n'),
        ("a.csv", '﻿text,category\n"one, two",x\n\nthree,y'),
        ("a.tsv", "text\tcategory\none, two\tx\nthree\ty\n"),
        ("a.tsv", 'text\tcategory\n"one, two"\tx\nthree\ty\n'),
        ("a.jsonl", '{"text": "one, two", "category": "x"}\n\n{"text": "three", "category": "y"}\n'),
        ("a.json", '[{"text": "one, two", "category": "x"}, {"text": "three", "category": "y"}]'),
    ],
)
def test_every_format_gives_the_same_rows(tmp_path: Path, name: str, text: str) -> None:
    found, skipped = examples_of(write(tmp_path, text, name))
    assert [(e.first, e.second, e.label) for e in found] == [("one, two", None, "x"), ("three", None, "y")]
    assert not skipped.counts


def test_a_quoted_field_may_hold_line_ends_and_rows_know_their_line(tmp_path: Path) -> None:
    found, _ = examples_of(write(tmp_path, 'text,category\n"one\ntwo\n",x\n"say ""hi""",y\n'))
    assert [(e.first, e.name.rsplit(":")[-1]) for e in found] == [("one two", "2"), ('say "hi"', "5")]


def test_quotes_of_a_tsv_may_stand_for_themselves(tmp_path: Path) -> None:
    found, _ = examples_of(write(tmp_path, 'text\tlabel\n"Odd" he said\tx\nan "open one\ty\n', "a.tsv"))
    assert [e.first for e in found] == ['"Odd" he said', 'an "open one']


def test_bad_rows_are_counted_by_reason(tmp_path: Path) -> None:
    lines = [b"good,x", b"a,b,c", b" ,y", b"caf\xe9,x", b"nu\0l,x", b"fine,y", b"no label,"]
    found, skipped = examples_of(write(tmp_path, HEADER.encode() + b"\n".join(lines) + b"\n"), Columns("text"))
    assert [(e.first, e.label) for e in found] == [("good", "x"), ("fine", "y"), ("no label", None)]
    assert sum(skipped.counts.values()) == 4
    assert {"3 fields instead of 2", "column 'text' is empty", "not UTF-8", "NUL character"} == set(skipped.counts)


def test_bad_json_lines_are_counted(tmp_path: Path) -> None:
    lines = ['{"text": "a", "label": 1}', "{broken", "[1]", '{"text": 5, "label": 0}', '{"text": "b", "label": true}']
    found, skipped = examples_of(write(tmp_path, "\n".join(lines), "a.jsonl"))
    assert [e.label for e in found] == ["1", "true"]
    assert set(skipped.counts) == {"not JSON", "not a JSON object", "column 'text' is not text"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "table.csv: is empty"),
        (" \n\n", "table.csv: is empty"),
        (",\n", "table.csv: is empty"),
        (HEADER, "table.csv: has a header but no row"),
        ('text,category\na,x\n"b,y\nc,z\n', "table.csv:3: a quoted field is not closed"),
        ("text,text\na,b\n", "table.csv:1: two columns are called 'text'"),
        (b"\xff\xfet\0", "table.csv: is UTF-16 or UTF-32"),
    ],
)
def test_what_is_no_table_is_one_line(tmp_path: Path, text: str | bytes, message: str) -> None:
    with pytest.raises(UsageError) as error:
        read_rows(write(tmp_path, text), Skipped())
    assert message in str(error.value) and "\n" not in str(error.value)


def test_a_missing_or_unknown_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no such file"):
        read_rows(tmp_path / "no.csv", Skipped())
    with pytest.raises(UsageError, match="of no known kind"):
        read_rows(write(tmp_path, "a", "a.xls"), Skipped())
    with pytest.raises(UsageError, match="holds no .csv"):
        open_table(tmp_path / "..", Columns())


# --- columns ---


@pytest.mark.parametrize(
    ("header", "row", "expected"),
    [
        ("id,review,sentiment", "{i},a long text,{c}", Columns("review", "", "sentiment", False)),
        ("Sentence1,Sentence2,Label", "one {i},two,{c}", Columns("Sentence1", "Sentence2", "Label", False)),
        ("foo,bar", "words that are long {i},{c}", Columns("foo", "", "bar", False)),
        ("text,score", "a text,{i}.5", Columns("text", "", "score", True)),
        ("text,stars", "a text,{c}", Columns("text", "", "stars", False)),
        ("文本,标签", "很 好,{c}", Columns("文本", "", "标签", False)),
    ],
)
def test_columns_are_guessed_and_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], header: str, row: str, expected: Columns
) -> None:
    text = "\n".join([header, *(row.format(i=i, c=i % 2) for i in range(20))])
    _, columns = open_table(write(tmp_path, text), Columns())
    assert columns == expected
    said = capsys.readouterr().err
    assert "guessed" in said and repr(expected.text) in said and repr(expected.label) in said


def test_named_columns_are_taken_in_silence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path, "text,other,label\na,b,1\nc,d,2\n")
    asked = Columns("other", "text", "label", False)
    assert open_table(path, asked)[1] == asked
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (Columns("txt"), "has no column 'txt' (--text); did you mean text?"),
        (Columns("text", "zzz"), "has no column 'zzz' (--second); its columns: text, category"),
        (Columns("text", "", "text"), "must name different columns"),
    ],
)
def test_a_missing_column_is_named(tmp_path: Path, columns: Columns, message: str) -> None:
    with pytest.raises(UsageError) as error:
        open_table(write(tmp_path, rows(4)), columns)
    assert message in str(error.value)


def test_columns_that_cannot_be_guessed_are_asked_for(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="which column holds the label"):
        open_table(write(tmp_path, "a,b\none,two\nthree,four\nfive,six\nseven,eight\nnine,ten\n"), Columns())


def test_columns_are_for_tables_alone(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="are for tables"):
        task_for("sst2", tmp_path, Columns("text"))
    with pytest.raises(UsageError, match="did you mean table"):
        require_name("tabel")


def test_scores_must_be_finite_numbers(tmp_path: Path) -> None:
    lines = ["a,1.5", "b,nan", "c,inf", "d,", "e,2", "f,many"]
    path = write(tmp_path, "text,score\n" + "\n".join(lines))
    found, skipped = examples_of(path, Columns("text", "", "score", True))
    assert [(e.first, e.label) for e in found] == [("a", 1.5), ("d", None), ("e", 2.0)]
    assert skipped.counts == {"the score is not a finite number": 3}


def test_nan_among_numbers_is_no_class(tmp_path: Path) -> None:
    found, _ = examples_of(write(tmp_path, "text,label\na,1\nb,nan\nc,0\n"))
    assert [e.label for e in found] == ["1", None, "0"]
    found, _ = examples_of(write(tmp_path, "text,label\na,Nan\nb,bread\nc,Nan\n"))
    assert [e.label for e in found] == ["Nan", "bread", "Nan"]


# --- parts ---


def parts_of(path: Path, **options: Any) -> Any:
    task, _ = open_table(path, Columns())
    return read_table_parts(task, path, options.get("seed", 0), options.get("share", 0.2))


def test_a_validation_part_is_split_off_by_class(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    parts = parts_of(write(tmp_path, rows(60, classes=3)))
    held_out = parts.validation["validation"]
    assert (len(parts.train), len(held_out)) == (48, 12)
    assert sorted(e.label for e in held_out) == ["class 0"] * 4 + ["class 1"] * 4 + ["class 2"] * 4
    said = capsys.readouterr().err
    assert "12 of 60 rows held out" in said and "3 classes" in said and "class 2     16           4" in said


def test_the_split_depends_on_seed_and_text_alone(tmp_path: Path) -> None:
    path = write(tmp_path, rows(60))
    shuffled = write(tmp_path, HEADER + "\n".join(reversed(rows(60).splitlines()[1:])), "other.csv")
    texts = {e.first for e in parts_of(path).validation["validation"]}
    assert {e.first for e in parts_of(shuffled).validation["validation"]} == texts
    assert {e.first for e in parts_of(path, seed=1).validation["validation"]} != texts


def test_a_text_is_never_on_both_sides(tmp_path: Path) -> None:
    examples = [TextExample(str(i), f"text {i % 30}", None, f"{i % 2}") for i in range(90)]
    train, held_out = split_off(examples, 0, 0.3)
    assert held_out and not {e.first for e in train} & {e.first for e in held_out}
    assert len(train) + len(held_out) == 90


def test_a_folder_has_named_parts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path, rows(20), "train.csv")
    write(tmp_path, rows(3), "dev.csv")
    write(tmp_path, "text\nan unlabelled one\n", "test.csv")
    parts = parts_of(tmp_path)
    assert (len(parts.train), len(parts.validation["validation"]), len(parts.test)) == (20, 3, 1)
    assert parts.test[0].label is None
    assert "3 of 3 validation rows have a text that is trained on too" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"train.csv": rows(20, classes=1)}, "all rows have the label 'class 0'; two classes are needed"),
        ({"train.csv": "text,label\n" + "a,\n" * 9}, "no row has a label"),
        ({"train.csv": rows(20), "dev.csv": HEADER + "new,class 7\n"}, "dev.csv:2: the label 'class 7' is not in"),
        ({"train.csv": rows(20), "valid.csv": "text,label\nx,y\n"}, "valid.csv: no row has a label"),
        ({"a.csv": rows(9), "b.csv": rows(9)}, "which of a.csv, b.csv is to be trained on?"),
        ({"train.csv": rows(3)}, "too few to hold some out"),
    ],
)
def test_parts_that_do_not_fit_are_one_line(tmp_path: Path, files: dict[str, str], message: str) -> None:
    for name, text in files.items():
        write(tmp_path, text, name)
    with pytest.raises(UsageError) as error:
        task, _ = open_table(tmp_path, Columns())
        read_table_parts(task, tmp_path, 0, 0.1)
    assert message in str(error.value) and "\n" not in str(error.value)


def test_banking77_reads_whole(shared_data: Path) -> None:
    task, columns = open_table(shared_data / "banking77" / "train.csv", Columns())
    assert columns == Columns("text", "", "category", False)
    parts = read_table_parts(task, shared_data / "banking77" / "train.csv", 0, 0.1)
    assert len(parts.train) + len(parts.validation["validation"]) == 10_003
    assert len({json.dumps(e.label) for e in parts.validation["validation"]}) == 77
