"""Every verb in every format: the same answers as the predictor gives, row by row."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as parquet
import pytest

from bertsmith.errors import UsageError
from bertsmith.prediction_files import formats, job
from bertsmith.prediction_files.formats import format_of
from bertsmith.serving.predictor import Predictor
from tests.prediction_files.tiny import METHODS, VERBS, request, texts, write_input

COLUMNS = {
    "fill-mask": ["masks"],
    "next-sentence": ["is_next"],
    "classify": ["label", "score"],
    "tag": ["entities"],
    "answer": ["answer", "score", "start", "end"],
    "similarity": ["score"],
    "embed": ["embedding"],
}
TEXT = ("error", "label", "answer")


def rows_of(path: Path) -> list[dict[str, Any]]:
    """The rows of a result, cells without a value left out."""
    if path.suffix == ".parquet":
        rows = parquet.read_table(path).to_pylist()
    elif path.suffix == ".csv":
        rows = [read_cells(row) for row in csv.DictReader(io.StringIO(path.read_text(), newline=""))]
    else:
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        rows = [row if isinstance(row, dict) else {"": row} for row in rows]
    return [{key: value for key, value in row.items() if value is not None} for row in rows]


def read_cells(row: dict[str, str]) -> dict[str, Any]:
    """Texts as they are, anything else from JSON; a cell without a value is empty, as an empty answer is."""
    found = {key: value if key in TEXT else json.loads(value or "null") for key, value in row.items()}
    without = {"error", "label"} | ({"answer"} if row["error"] else set())
    return {key: None if key in without and not value else value for key, value in found.items()}


def comparable(value: Any) -> Any:
    """Numbers of an answer, at any depth, as single precision knows them."""
    if isinstance(value, dict):
        return {key: comparable(one) for key, one in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [comparable(one) for one in value]
    return pytest.approx(float(value), abs=1e-4) if isinstance(value, float | np.floating) else value


@pytest.mark.parametrize("ending", formats.FORMATS)
@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_in_every_format(
    models: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verb: str, ending: str
) -> None:
    monkeypatch.setattr("bertsmith.prediction_files.questions.CHUNK_ROWS", 5)
    asked = texts(12, verb)
    source = write_input(tmp_path / "in.jsonl", [*asked, None if isinstance(asked[0], str) else ("a", None)])
    output = tmp_path / f"out{ending}"
    result = job.write(request(models[verb], source, verb), output)
    assert (result["rows"], result["errors"]) == (13, 1)
    wanted = METHODS[verb](Predictor.load(models[verb]), asked)
    column = COLUMNS[verb][0] if ending != ".jsonl" else ""
    rows = [row if isinstance(row, dict) else {column: row} for row in wanted]
    found = rows_of(output)
    assert found[:-1] == [comparable(row) for row in rows]
    assert found[-1] == {"error": f"column {'text' if isinstance(asked[0], str) else 'sentence2'!r} is empty"}
    if ending == ".parquet":
        assert parquet.read_schema(output).names == [*COLUMNS[verb], "error"]
    if ending == ".csv":
        assert output.read_text().partition("\n")[0] == ",".join([*COLUMNS[verb], "error"])


def test_an_embedding_has_a_fixed_size_in_parquet_and_few_digits_in_text(
    models: dict[str, Path], tmp_path: Path
) -> None:
    source = write_input(tmp_path / "in.txt", texts(3))
    job.write(request(models["embed"], source), tmp_path / "o.parquet")
    job.write(request(models["embed"], source), tmp_path / "o.jsonl")
    column = parquet.read_table(tmp_path / "o.parquet")["embedding"]
    assert str(column.type) == "fixed_size_list<element: float>[32]"
    read = [json.loads(line)["embedding"] for line in (tmp_path / "o.jsonl").read_text().splitlines()]
    assert np.array_equal(np.array(read, dtype=np.float32), np.array(column.to_pylist(), dtype=np.float32))
    assert max(len(str(value)) for row in read for value in row) < 15


def test_a_return_in_a_cell_is_quoted_in_csv() -> None:
    shape = formats.Shape(job.VERBS["answer"], 0)
    row = {"answer": "a\rb,\n", "score": 0.5, "start": 0, "end": 4}
    data = formats.FORMATS[".csv"].encode(shape, [row])
    assert next(csv.reader(io.StringIO(data.decode(), newline=""))) == ["a\rb,\n", "0.5", "0", "4", ""]


def test_small_parts_make_one_row_group(monkeypatch: pytest.MonkeyPatch) -> None:
    shape = formats.Shape(job.VERBS["similarity"], 0)
    parts = [formats.FORMATS[".parquet"].encode(shape, [{"score": 0.5}] * 3) for _ in range(5)]
    monkeypatch.setattr(formats, "GROUP_ROWS", 6)
    file = io.BytesIO()
    formats.FORMATS[".parquet"].join(shape, parts, file)
    metadata = parquet.ParquetFile(file).metadata
    assert [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)] == [6, 6, 3]


def test_other_endings_are_refused() -> None:
    with pytest.raises(UsageError, match=r"out.xlsx: results are written as .jsonl, .csv, .parquet; let the name end"):
        format_of(Path("out.xlsx"))
