"""Texts of Parquet files, a few rows at a time."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, cast

from bertsmith import store
from bertsmith.text.lines import NumberedText
from bertsmith.text.skipped import Skipped
from bertsmith.text.sources import Stream, UnusableFile

ROWS_AT_ONCE = 64
READ_AT_ONCE = 2**20  # bytes, instead of whole columns of a row group, which may be gigabytes


class ParquetTexts:
    """The text of each row of one column; rows without it are skipped and counted. `share` of the rows are read."""

    def __init__(self, stream: Stream, name: str, column: str, skipped: Skipped) -> None:
        self._stream = stream
        self._name = name
        self._column = column
        self._skipped = skipped
        self.share = 0.0

    def __iter__(self) -> Iterator[NumberedText]:
        """Raises UnusableFile when the file is no Parquet file or has no such column of text."""
        import pyarrow as pa

        with _seekable(self._stream) as file:
            try:
                yield from self._rows(file)
            except (pa.ArrowException, OSError, ValueError) as error:
                if isinstance(error, OSError) and error.errno:
                    raise
                raise UnusableFile("the Parquet file is damaged") from error

    def _rows(self, file: BinaryIO) -> Iterator[NumberedText]:
        import pyarrow.parquet as parquet

        table = parquet.ParquetFile(file, buffer_size=READ_AT_ONCE, pre_buffer=False)
        _check_column(table.schema_arrow, self._column)
        rows, number = table.metadata.num_rows, 0
        for batch in table.iter_batches(ROWS_AT_ONCE, columns=[self._column], use_threads=False):
            for value in batch.column(0):
                number += 1
                text = _text(value, f"{self._name}:{number}", self._skipped)
                if text is not None:
                    yield number, text
            self.share = number / rows


def _check_column(schema: Any, column: str) -> None:
    import pyarrow as pa

    if column not in schema.names:
        raise UnusableFile(
            f"no column {column!r} (text.field names the one to read; there are: {', '.join(schema.names)})"
        )
    kind = schema.field(column).type
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)):
        raise UnusableFile(f"column {column!r} is not text but {kind}")


def _text(value: Any, place: str, skipped: Skipped) -> str | None:
    try:
        text = value.as_py()
    except UnicodeDecodeError:
        skipped.add("not UTF-8", place)
        return None
    if text is None:
        skipped.add("row without text", place)
    elif "\0" in text:
        skipped.add("NUL character", place)
        return None
    return text


@contextmanager
def _seekable(stream: Stream) -> Iterator[BinaryIO]:
    """Parquet is read from its end, so a compressed file is first unpacked to a temporary one.

    BertsmithError when that cannot be written: the input is not to blame.
    """
    if not stream.compressed:
        yield stream.file
        return
    folder = tempfile.gettempdir()
    try:
        unpacked = cast(BinaryIO, tempfile.TemporaryFile())  # noqa: SIM115 closed below, whatever that says
    except OSError as error:
        raise store.explain(error, folder) from error
    try:
        while data := cast(BinaryIO, stream).read(READ_AT_ONCE):
            try:
                unpacked.write(data)
                unpacked.flush()
            except OSError as error:
                raise store.explain(error, folder) from error
        unpacked.seek(0)
        yield unpacked
    finally:
        with suppress(OSError):  # it would try once more to write what found no room
            unpacked.close()


def column_bytes(path: Path, column: str) -> int | None:
    """Bytes that a column unpacks to, by the file's own account; None where it gives none."""
    import pyarrow as pa
    import pyarrow.parquet as parquet

    try:
        metadata = parquet.read_metadata(path)
        groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
        columns = [group.column(number) for group in groups for number in range(group.num_columns)]
        return sum(found.total_uncompressed_size for found in columns if found.path_in_schema == column)
    except (pa.ArrowException, OSError, ValueError):
        return None
