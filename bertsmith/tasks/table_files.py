"""Tables that users bring: CSV, TSV and JSON lines, read row by row with the line each row starts at."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

from bertsmith.errors import UsageError
from bertsmith.text.skipped import Skipped

Kind = Literal["csv", "tsv", "jsonl"]
KINDS: dict[str, Kind] = {".csv": "csv", ".tsv": "tsv", ".jsonl": "jsonl", ".json": "jsonl", ".ndjson": "jsonl"}
DELIMITERS = ",;\t|"
LONGEST_FIELD = 2**24  # characters
_WIDE_MARKS = (b"\xff\xfe", b"\xfe\xff", b"\x00\x00\xfe\xff")


class Row(NamedTuple):
    """One row: where it starts, as "file:line", and its values by column (text, or whatever JSON held)."""

    place: str
    values: dict[str, Any]


class Rows(NamedTuple):
    """columns: as the header, or the first use in JSON lines, orders them."""

    path: Path
    columns: tuple[str, ...]
    rows: list[Row]


def is_table(path: Path) -> bool:
    """Whether the name is that of a table."""
    return path.suffix.lower() in KINDS


def read_rows(path: Path, skipped: Skipped) -> Rows:
    """The rows of a table; what holds none is counted in `skipped` by reason.

    CSV may be divided by commas, semicolons or bars; quoted fields may hold line ends. Raises UsageError naming file
    and line for what is no table: a missing or empty file, an unclosed quote, two columns of one name.
    """
    text = _decoded(path)
    kind = KINDS.get(path.suffix.lower())
    if kind is None:
        raise UsageError(f"{path}: is of no known kind; name .csv, .tsv or .jsonl files")
    table = _json_lines(path, text, skipped) if kind == "jsonl" else _delimited(path, text, kind, skipped)
    if not table.rows and not skipped.counts:
        raise UsageError(f"{path}: has a header but no row")
    return table


def _decoded(path: Path) -> str:
    if not path.is_file():
        raise UsageError(f"{path}: {'is not a regular file' if path.exists() else 'there is no such file'}")
    raw = path.read_bytes()
    if raw.startswith(_WIDE_MARKS):
        raise UsageError(f"{path}: is UTF-16 or UTF-32; convert it to UTF-8")
    text = raw.decode("utf-8-sig", "surrogateescape")
    if not text.strip():
        raise UsageError(f"{path}: is empty")
    return text


def broken(value: object) -> str:
    """Why a value cannot be read as text, or ""."""
    if not isinstance(value, str):
        return ""
    if "\0" in value:
        return "NUL character"
    return "" if value.isascii() or not any("\ud800" <= c <= "\udfff" for c in value) else "not UTF-8"


# --- CSV and TSV ---


def _delimited(path: Path, text: str, kind: Kind, skipped: Skipped) -> Rows:
    delimiter = "\t" if kind == "tsv" else _delimiter(text)
    try:
        records = list(_records(path, text, delimiter, quoted=True))
    except UsageError:
        if kind != "tsv":
            raise
        records = list(_records(path, text, delimiter, quoted=False))  # quotes that stand for themselves
    if not records:
        raise UsageError(f"{path}: is empty")
    columns = tuple(name.strip() for name in records[0][1])
    twice = [name for name, count in Counter(columns).items() if count > 1 and name]
    if twice:
        raise UsageError(f"{path}:{records[0][0]}: two columns are called {twice[0]!r}")
    rows = []
    for line, fields in records[1:]:
        place = f"{path}:{line}"
        reason = next(filter(None, map(broken, fields)), "")
        if len(fields) != len(columns):
            reason = f"{len(fields)} fields instead of {len(columns)}"
        if reason:
            skipped.add(reason, place)
        else:
            rows.append(Row(place, dict(zip(columns, fields, strict=True))))
    return Rows(path, columns, rows)


def _delimiter(text: str) -> str:
    """What divides the header most often; a comma where nothing does."""
    header = text.lstrip("\r\n").split("\n", 1)[0]
    return max(DELIMITERS, key=header.count)


def _records(path: Path, text: str, delimiter: str, quoted: bool) -> Iterator[tuple[int, list[str]]]:
    """(line it starts at, its fields) of every record that is not blank."""
    csv.field_size_limit(LONGEST_FIELD)
    quoting = csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE
    # Only line feeds end a line here: the reader's own notion of lines would divide fields that hold lone returns.
    lines = io.StringIO(text.replace("\r\n", "\n"), newline="\n")
    reader = csv.reader(lines, delimiter=delimiter, quoting=quoting, strict=quoted)
    start = 1
    while True:
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            what = "a quoted field is not closed" if "end of data" in str(error) else _lowered(str(error))
            raise UsageError(f"{path}:{start}: {what}") from error
        if any(field.strip() for field in fields):
            yield start, fields
        start = reader.line_num + 1


def _lowered(text: str) -> str:
    return text[:1].lower() + text[1:]


# --- JSON lines ---


def _json_lines(path: Path, text: str, skipped: Skipped) -> Rows:
    """One object per line, or one array of objects."""
    columns: dict[str, None] = {}
    rows = []
    for place, value in _json_values(path, text):
        reason = _unusable(value)
        if reason:
            skipped.add(reason, place)
            continue
        columns |= dict.fromkeys(value)
        rows.append(Row(place, value))
    if not rows:
        raise UsageError(f"{path}: holds no JSON object; a table is one object per line")
    return Rows(path, tuple(columns), rows)


def _json_values(path: Path, text: str) -> Iterator[tuple[str, Any]]:
    if text.lstrip().startswith("["):
        try:
            values = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise UsageError(f"{path}: is no JSON ({_lowered(str(error))})") from error
        yield from ((f"{path}, item {number}", value) for number, value in enumerate(values, 1))
        return
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                yield f"{path}:{number}", json.loads(line)
            except (ValueError, RecursionError):
                yield f"{path}:{number}", None


def _unusable(value: object) -> str:
    if value is None:
        return "not JSON"
    if not isinstance(value, dict):
        return "not a JSON object"
    return next(filter(None, map(broken, value.values())), "")
