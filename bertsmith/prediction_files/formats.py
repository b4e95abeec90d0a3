"""Results as JSON lines, CSV or Parquet: a part at a time, and the parts put together to one file.

What a file holds depends on the results alone, never on how they were divided among parts that were made again.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

from bertsmith.errors import UsageError
from bertsmith.prediction_files.verbs import ERROR, Verb

if TYPE_CHECKING:
    import pyarrow as pa

GROUP_ROWS = 2**14  # rows of a Parquet row group, at least
GROUP_BYTES = 2**26  # a group of large rows ends here


class Shape(NamedTuple):
    """What the columns of a verb follow from. width: of an embedding, 0 of other results."""

    verb: Verb
    width: int


class Format(NamedTuple):
    """encode: rows of results as a part. join: all parts, in order, into a file."""

    encode: Callable[[Shape, Sequence[Any]], bytes]
    join: Callable[[Shape, Iterable[bytes], BinaryIO], None]


def format_of(output: Path) -> str:
    """The ending that names the format; UsageError when there is none for it."""
    ending = output.suffix.lower()
    if ending not in FORMATS:
        raise UsageError(f"{output}: results are written as {', '.join(FORMATS)}; let the name end so")
    return ending


def plain(result: Any) -> Any:
    """A result as JSON knows it. Numbers of an embedding get as many digits as single precision has."""
    if isinstance(result, dict) and "embedding" in result:
        return {"embedding": [float(str(value)) for value in result["embedding"]]}
    return result


def to_json(result: Any) -> str:
    """A result as one line of JSON, without its end."""
    return json.dumps(plain(result), ensure_ascii=False, allow_nan=False)


# --- JSON lines and CSV ---


def _json_lines(shape: Shape, results: Sequence[Any]) -> bytes:
    return "".join(f"{to_json(result)}\n" for result in results).encode()


def _concatenate(shape: Shape, parts: Iterable[bytes], file: BinaryIO) -> None:
    for part in parts:
        file.write(part)


def _csv_rows(shape: Shape, results: Sequence[Any]) -> bytes:
    """What is no text or number as JSON; a cell without a value is empty."""
    text = io.StringIO()
    writer = csv.writer(text)  # lines end as RFC 4180 has it: with LF alone, a return in a text would not be quoted
    for result in results:
        record = shape.verb.record(plain(result))
        writer.writerow([_cell(record.get(column)) for column in _columns(shape)])
    return text.getvalue().encode()


def _cell(value: Any) -> Any:
    return json.dumps(value, ensure_ascii=False, allow_nan=False) if isinstance(value, list) else value


def _csv_file(shape: Shape, parts: Iterable[bytes], file: BinaryIO) -> None:
    file.write(",".join(_columns(shape)).encode() + b"\r\n")
    _concatenate(shape, parts, file)


def _columns(shape: Shape) -> tuple[str, ...]:
    return (*shape.verb.columns, ERROR)


# --- Parquet ---


def _schema(shape: Shape) -> pa.Schema:
    import pyarrow as pa

    filling = {"token": pa.string(), "token_id": pa.int64(), "score": pa.float64(), "text": pa.string()}
    places = {"start": pa.int64(), "end": pa.int64()}
    entity = {"word": pa.string(), "label": pa.string(), **places, "score": pa.float64()}
    types = {
        "masks": pa.list_(pa.list_(pa.struct(filling))),
        "entities": pa.list_(pa.struct(entity)),
        "embedding": pa.list_(pa.float32(), shape.width),
        "is_next": pa.float64(),
        "score": pa.float64(),
        "label": pa.string(),
        "answer": pa.string(),
        ERROR: pa.string(),
        **places,
    }
    return pa.schema([(column, types[column]) for column in _columns(shape)])


def _arrow_rows(shape: Shape, results: Sequence[Any]) -> bytes:
    import pyarrow as pa

    schema = _schema(shape)
    records = [shape.verb.record(result) for result in results]
    arrays = [_array([record.get(field.name) for record in records], field.type) for field in schema]
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, schema) as stream:
        stream.write_batch(pa.RecordBatch.from_arrays(arrays, schema=schema))
    return sink.getvalue().to_pybytes()


def _array(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    import numpy as np
    import pyarrow as pa

    if not pa.types.is_fixed_size_list(kind):
        return pa.array(values, kind)
    width = kind.list_size
    rows = [np.zeros(width, np.float32) if value is None else value for value in values]
    flat = pa.array(np.concatenate([np.asarray(row, dtype=np.float32) for row in rows]))
    missing = pa.array([value is None for value in values])
    return pa.FixedSizeListArray.from_arrays(flat, type=kind, mask=missing)


def _parquet_file(shape: Shape, parts: Iterable[bytes], file: BinaryIO) -> None:
    import pyarrow as pa
    import pyarrow.parquet as parquet

    schema = _schema(shape)
    with parquet.ParquetWriter(file, schema, compression="zstd", use_dictionary=False) as writer:
        for batches in _groups(parts):
            writer.write_table(pa.Table.from_batches(batches, schema), row_group_size=2 * GROUP_ROWS)


def _groups(parts: Iterable[bytes]) -> Iterator[list[pa.RecordBatch]]:
    """Parts that make one row group: small ones would make a file large and slow to read."""
    import pyarrow as pa

    group: list[pa.RecordBatch] = []
    for part in parts:
        group += pa.ipc.open_stream(part)
        if sum(b.num_rows for b in group) >= GROUP_ROWS or sum(b.nbytes for b in group) >= GROUP_BYTES:
            yield group
            group = []
    if group:
        yield group


FORMATS: dict[str, Format] = {
    ".jsonl": Format(_json_lines, _concatenate),
    ".csv": Format(_csv_rows, _csv_file),
    ".parquet": Format(_arrow_rows, _parquet_file),
}
"""The explicit table of formats, by the ending of the file."""
