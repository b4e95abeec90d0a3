"""Parquet files as tables, a few rows at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bertsmith.errors import BertsmithError, UsageError
from bertsmith.tasks.table_rows import Broken, Row

ROWS_AT_ONCE = 64
READ_AT_ONCE = 2**20  # bytes, instead of whole columns of a row group, which may be gigabytes


class ParquetTable:
    """The columns and rows of a Parquet file. UsageError when it is none. count: its rows."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with _reading(path, UsageError) as file:
            self.columns: tuple[str, ...] = tuple(file.schema_arrow.names)
            self.count: int = file.metadata.num_rows

    def rows(self, wanted: tuple[str, ...] = ()) -> Iterator[Row | Broken]:
        """Every row, with the wanted columns alone. BertsmithError where the file is damaged further on."""
        number = 0
        with _reading(self.path, BertsmithError) as file:
            for batch in file.iter_batches(ROWS_AT_ONCE, columns=list(wanted) or None, use_threads=False):
                names = batch.schema.names
                for values in zip(*(_values(column) for column in batch.columns), strict=True):
                    number += 1
                    yield Row(f"{self.path}:{number}", dict(zip(names, values, strict=True)))


@contextmanager
def _reading(path: Path, kind: type[BertsmithError]) -> Iterator[Any]:
    import pyarrow as pa
    import pyarrow.parquet as parquet

    try:
        with parquet.ParquetFile(path, buffer_size=READ_AT_ONCE, pre_buffer=False) as file:
            yield file
    except (pa.ArrowException, OSError, ValueError) as error:
        if isinstance(error, OSError) and error.errno:
            raise
        raise kind(f"{path}: is no Parquet file, or a damaged one") from error


def _values(column: Any) -> list[Any]:
    """What a column holds; text that is no UTF-8 with lone surrogates in it, as of text files."""
    try:
        return column.to_pylist()
    except UnicodeDecodeError:
        return [_value(scalar) for scalar in column]


def _value(scalar: Any) -> Any:
    try:
        return scalar.as_py()
    except UnicodeDecodeError:
        return scalar.as_buffer().to_pybytes().decode("utf-8", "surrogateescape")
