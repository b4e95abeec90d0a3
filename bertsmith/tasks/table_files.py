"""Tables that users bring: CSV, TSV, JSON lines and Parquet, row by row or as a whole."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

from bertsmith.errors import UsageError
from bertsmith.tasks.parquet_rows import ParquetTable
from bertsmith.tasks.table_rows import Broken, DelimitedTable, JsonTable, Row, broken, require_file
from bertsmith.text.skipped import Skipped

Kind = Literal["csv", "tsv", "jsonl", "parquet"]
KINDS: dict[str, Kind] = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".jsonl": "jsonl",
    ".json": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
}


class Table(Protocol):
    """A table whose rows can be read again and again. columns: () where every row names its own (JSON lines)."""

    @property
    def path(self) -> Path: ...
    @property
    def columns(self) -> tuple[str, ...]: ...
    def rows(self, wanted: tuple[str, ...] = ()) -> Iterator[Row | Broken]:
        """Every row in its order. wanted: the columns that will be looked at; () = all."""
        ...


def is_table(path: Path) -> bool:
    """Whether the name is that of a table."""
    return path.suffix.lower() in KINDS


def open_table(path: Path) -> Table:
    """A table by the ending of its name. UsageError for what is none: a missing or empty file, two equal columns."""
    kind = KINDS.get(path.suffix.lower())
    if kind is None:
        raise UsageError(f"{path}: is of no known kind; name .csv, .tsv, .jsonl or .parquet files")
    require_file(path)
    if kind == "parquet":
        return ParquetTable(path)
    return JsonTable(path) if kind == "jsonl" else DelimitedTable(path, tabs=kind == "tsv")


class Rows(NamedTuple):
    """columns: as the header, or the first use in JSON lines, orders them."""

    path: Path
    columns: tuple[str, ...]
    rows: list[Row]


def read_rows(path: Path, skipped: Skipped) -> Rows:
    """The rows of a table; what holds none is counted in `skipped` by reason, rows of empty cells are left out.

    CSV may be divided by commas, semicolons or bars; quoted fields may hold line ends. Raises UsageError naming file
    and line for what is no table: a missing or empty file, an unclosed quote, two columns of one name.
    """
    table = open_table(path)
    columns = dict.fromkeys(table.columns)
    rows: list[Row] = []
    for row in table.rows():
        if isinstance(row, Broken):
            if row.torn:
                raise UsageError(f"{row.place}: {row.reason}")
            skipped.add(row.reason, row.place)
        elif table.columns and not any(map(_holds_something, row.values.values())):
            continue
        elif reason := next(filter(None, map(broken, row.values.values())), ""):
            skipped.add(reason, row.place)
        else:
            columns |= dict.fromkeys(row.values)
            rows.append(row)
    if not rows and not table.columns:
        raise UsageError(f"{path}: holds no JSON object; a table is one object per line")
    if not rows and not skipped.counts:
        raise UsageError(f"{path}: has a header but no row")
    return Rows(path, tuple(columns), rows)


def _holds_something(value: object) -> bool:
    return bool(value.strip()) if isinstance(value, str) else value is not None
