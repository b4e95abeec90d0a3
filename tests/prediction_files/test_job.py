"""A file of predictions that is stopped, killed, damaged or asked again: never a row lost or repeated."""

from __future__ import annotations

import json
import shutil
import weakref
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bertsmith import interrupt, pipeline
from bertsmith.errors import BertsmithError, Interrupted, Stopped, UsageError
from bertsmith.prediction_files import job, questions
from bertsmith.prediction_files.answering import Asking
from bertsmith.prediction_files.formats import FORMATS
from bertsmith.prediction_files.parts import PartsFolder
from bertsmith.tasks.finetuning_config import TaskConfig
from bertsmith.tasks.user_table import Columns
from tests.disks import mounted
from tests.killing import Killed
from tests.prediction_files.tiny import request, texts, write_input

ROWS = 40


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (questions, job):
        monkeypatch.setattr(module, "CHUNK_ROWS", 4)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_input(tmp_path / "in.txt", texts(ROWS))


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def dying(method: str, at: int, error: BaseException, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Have a method of PartsFolder end the process in its `at`-th call; the function returned undoes that."""
    real, calls = getattr(PartsFolder, method), [0]

    def method_of(self: PartsFolder, *arguments: Any) -> Any:
        calls[0] += 1
        if calls[0] == at:
            raise error
        return real(self, *arguments)

    monkeypatch.setattr(PartsFolder, method, method_of)
    return lambda: monkeypatch.setattr(PartsFolder, method, real)


@pytest.mark.parametrize("ending", FORMATS)
def test_a_killed_run_goes_on_to_the_same_bytes(
    models: dict[str, Path], tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    asked = request(models["embed"], source)
    whole, killed = tmp_path / f"whole{ending}", tmp_path / f"killed{ending}"
    result = job.write(asked, whole)
    for at in (1, 4, 3):
        undo = dying("write", at, Killed(), monkeypatch)
        with pytest.raises(Killed):
            job.write(asked, killed)
        undo()
        assert not killed.exists()
    answered: list[int] = []
    real = Asking.rows
    monkeypatch.setattr(Asking, "rows", lambda self, chunk: answered.append(chunk.number) or real(self, chunk))
    assert job.write(asked, killed) == {**result, "output": str(killed)}
    assert answered == list(range(5, ROWS // 4))
    assert killed.read_bytes() == whole.read_bytes()
    assert names(tmp_path) == sorted(
        [f".killed{ending}.request.json", f".whole{ending}.request.json", "in.txt", killed.name, whole.name]
    )


@pytest.mark.parametrize("point", ["predict.joined", "predict.renamed", "predict.recorded"])
def test_killed_while_the_output_is_put_in_place(
    models: dict[str, Path], tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    asked, output = request(models["embed"], source), tmp_path / "out.csv"

    def crash(name: str) -> None:
        if name == point:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr("bertsmith.store.crash_point", crash)
        with pytest.raises(Killed):
            job.write(asked, output)
    job.write(asked, output)
    assert output.read_bytes().count(b"\r\n") == ROWS + 1
    assert names(tmp_path) == [".out.csv.request.json", "in.txt", "out.csv"]


def test_a_damaged_part_is_made_again(
    models: dict[str, Path], tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, output = request(models["embed"], source), tmp_path / "out.jsonl"
    job.write(asked, tmp_path / "whole.jsonl")
    undo = dying("write", 6, Killed(), monkeypatch)
    with pytest.raises(Killed):
        job.write(asked, output)
    undo()
    for number, damage in ((1, lambda raw: raw[:-9]), (3, lambda raw: raw[:200] + b"!" + raw[201:])):
        part = tmp_path / "out.jsonl.parts" / f"part-{number:08}"
        part.write_bytes(damage(part.read_bytes()))
    (tmp_path / "out.jsonl.parts" / ".part-00000007.partial-1-2").write_bytes(b"half")
    job.write(asked, output)
    assert output.read_bytes() == (tmp_path / "whole.jsonl").read_bytes()


def test_the_same_line_again_says_so_and_loads_no_model(
    models: dict[str, Path],
    tmp_path: Path,
    source: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    asked, output = request(models["embed"], source), tmp_path / "out.parquet"
    first = job.write(asked, output)
    monkeypatch.setattr(job, "_make_ready", None)
    assert job.write(asked, output) == first
    assert "out.parquet: is finished; nothing to do" in capsys.readouterr().err


CHANGES: dict[str, dict[str, Any]] = {
    "input": {},
    "model": {},
    "verb ('embed', now 'tag')": {"verb": "tag"},
    "precision ('fp32', now 'auto')": {"precision": "auto"},
    "task.max_length (None, now 9)": {"settings": TaskConfig(max_length=9)},
    "options.pooling (None, now 'cls')": {"options": {"pooling": "cls"}},
}


@pytest.mark.parametrize("finished", [True, False])
@pytest.mark.parametrize("what", CHANGES)
def test_another_line_is_refused_and_named(
    models: dict[str, Path], tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch, what: str, finished: bool
) -> None:
    asked, output = request(models["embed"], source), tmp_path / "out.jsonl"
    if finished:
        job.write(asked, output)
    else:
        undo = dying("write", 3, Killed(), monkeypatch)
        with pytest.raises(Killed):
            job.write(asked, output)
        undo()
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    changes = dict(CHANGES[what])
    if what == "model":
        changes["model"] = models["tag"]
    if what == "input":
        changes["source"] = write_input(tmp_path / "other.txt", texts(ROWS - 1))
    with pytest.raises(UsageError) as error:
        job.write(replace(asked, **changes), output)
    verb = "made" if finished else "started"
    assert f": was {verb} with another {what}" in str(error.value) and "\n" not in str(error.value)
    assert {path: path.read_bytes() for path in before} == before


def test_a_file_that_is_not_ours_is_never_overwritten(models: dict[str, Path], tmp_path: Path, source: Path) -> None:
    output = tmp_path / "out.jsonl"
    output.write_text("mine\n")
    with pytest.raises(UsageError, match="out.jsonl: is there already and is not what this line has written"):
        job.write(request(models["embed"], source), output)
    output.unlink()
    job.write(request(models["embed"], source), output)
    output.write_text(output.read_text() + "more\n")
    with pytest.raises(UsageError, match="is there already"):
        job.write(request(models["embed"], source), output)
    (tmp_path / "new.csv.parts").mkdir()
    (tmp_path / "new.csv.parts" / "thesis.tex").write_text("mine")
    with pytest.raises(UsageError, match="new.csv.parts: is in the way and holds no predictions; remove it"):
        job.write(request(models["embed"], source), tmp_path / "new.csv")
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(UsageError, match="folder.csv: is a folder; name a file"):
        job.write(request(models["embed"], source), tmp_path / "folder.csv")


@pytest.mark.parametrize(("signal", "error"), [("SIGTERM", Stopped), ("SIGINT", Interrupted)])
def test_a_signal_keeps_the_rows_before_it(
    models: dict[str, Path],
    tmp_path: Path,
    source: Path,
    monkeypatch: pytest.MonkeyPatch,
    signal: str,
    error: type[BertsmithError],
) -> None:
    asked, output, real = request(models["embed"], source), tmp_path / "out.jsonl", PartsFolder.write

    def write(self: PartsFolder, part: Any) -> None:
        real(self, part)
        interrupt._requested = signal if part.number == 4 else ""

    monkeypatch.setattr(PartsFolder, "write", write)
    with pytest.raises(error, match="; 20 rows are kept; type the same line again to go on"):
        job.write(asked, output)
    interrupt.clear()
    job.write(asked, output)
    assert output.read_text().count("\n") == ROWS


def test_two_writers_of_one_output_are_refused(models: dict[str, Path], tmp_path: Path, source: Path) -> None:
    output = tmp_path / "out.jsonl"
    with (
        PartsFolder(output).held(),
        pytest.raises(BertsmithError, match="out.jsonl is in use by process"),
    ):
        job.write(request(models["embed"], source), output)
    job.write(request(models["embed"], source), output)


@pytest.mark.parametrize("spare", [8_000, 60_000])
def test_a_full_disk_keeps_what_was_answered(models: dict[str, Path], tmp_path: Path, source: Path, spare: int) -> None:
    asked = request(models["embed"], source)
    whole = tmp_path / "whole.jsonl"
    job.write(asked, whole)
    with mounted(tmp_path / "disk", "1m") as disk:
        filler, output = disk / "filler", disk / "out.jsonl"
        with filler.open("wb") as file:
            file.write(bytes(shutil.disk_usage(disk).free - spare))
        with pytest.raises(BertsmithError, match="No space left on device; free some space and type the same line"):
            job.write(asked, output)
        assert not output.exists()
        filler.unlink()
        job.write(asked, output)
        assert output.read_bytes() == whole.read_bytes()


def test_a_row_that_the_model_refuses_is_that_row_alone(
    models: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = ["the [MASK]", "no mask", "a <mask>", "", "[MASK] and [MASK]", "x" * 100_000 + " [MASK]"]
    source, output = write_input(tmp_path / "in.txt", lines), tmp_path / "out.jsonl"
    result = job.write(request(models["fill-mask"], source, "fill-mask"), output)
    rows = [json.loads(line) for line in output.read_text().splitlines()]
    assert [len(row) if isinstance(row, list) else row["error"][:25] for row in rows] == [
        1,
        "the text has no [MASK] to",
        "the text has no [MASK] to",
        "is empty",
        2,
        1,
    ]
    assert (result["rows"], result["errors"]) == (6, 3) and sum(result["reasons"].values()) == 3
    said = capsys.readouterr().err
    assert "6 rows in" in said and "3 of them errors" in said and "1 rows: is empty (first: row 4)" in said


@pytest.mark.parametrize("verb", ["embed", "classify", "fill-mask", "next-sentence"])
def test_texts_that_were_cut_are_counted_once_for_all(
    verb: str, models: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    long = "[MASK] " + "the cat sat " * 100
    lines = ["the [MASK]", long, "a [MASK]", "a <mask>", long, "on [MASK]"] * 2  # three chunks
    source = write_input(
        tmp_path / "in.txt", [f"{line}\tthe mat" for line in lines] if verb == "next-sentence" else lines
    )
    result = job.write(request(models[verb], source, verb), tmp_path / "out.jsonl")
    said = [line for line in capsys.readouterr().err.splitlines() if "longer than" in line]
    assert list(result["cut"].values()) == [4] and len(said) == 1 and "4 of 12 " in said[0]
    list(job.stream(request(models[verb], source, verb)))
    assert [line for line in capsys.readouterr().err.splitlines() if "longer than" in line] == said


def test_a_file_without_a_usable_row_is_wrong_usage(models: dict[str, Path], tmp_path: Path) -> None:
    source, output = write_input(tmp_path / "in.txt", ["", " ", "\0"]), tmp_path / "out.jsonl"
    with pytest.raises(UsageError, match=r"in.txt: holds no text that can be used \(row 1: is empty\)"):
        job.write(request(models["embed"], source), output)
    assert names(tmp_path) == ["in.txt"]
    with pytest.raises(UsageError, match="holds no text that can be used"):
        list(job.stream(request(models["embed"], source)))


def test_a_model_that_cannot_answer_is_told_before_anything_is_written(
    models: dict[str, Path], tmp_path: Path, source: Path
) -> None:
    for verb, message in (("classify", "its head is for tag"), ("fill-mask", "no trained masked_lm head")):
        with pytest.raises(UsageError, match=message):
            job.write(request(models["tag"], source, verb), tmp_path / "out.jsonl")
    assert names(tmp_path) == ["in.txt"]


def test_rows_stream_as_the_file_has_them(models: dict[str, Path], tmp_path: Path) -> None:
    source = write_input(tmp_path / "in.jsonl", ["the cat", "", "a dog"] * 3)
    taken = pipeline.predict_rows("classify", models["classify"], source, Columns("text"), workers=1)
    assert isinstance(taken, Iterator)
    rows = list(taken)
    assert rows[0] == pipeline.classify(models["classify"], ["the cat"])[0] | {"score": rows[0]["score"]}
    assert [set(row) for row in rows[:3]] == [{"label", "score"}, {"error"}, {"label", "score"}]
    result = pipeline.predict_file("classify", models["classify"], source, tmp_path / "o.jsonl", workers=1)
    assert [json.loads(line) for line in (tmp_path / "o.jsonl").read_text().splitlines()] == rows
    assert result["rows"] == 9 and result["errors"] == 3
    with pytest.raises(UsageError, match="clasify: there is no such verb; did you mean classify"):
        pipeline.predict_file("clasify", models["classify"], source, tmp_path / "p.jsonl")


def test_memory_does_not_grow_with_the_file(
    models: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Everything of a chunk but its part on disk is gone when the next but one is answered."""

    class Noted(list[Any]):
        """A list that can be referred to weakly."""

    alive: list[weakref.ref[Noted]] = []
    real = Asking.rows

    def rows(self: Asking, chunk: Any) -> tuple[Noted, Any]:
        assert sum(reference() is not None for reference in alive) <= 2
        found, cut = real(self, chunk)
        noted = Noted(found)
        alive.append(weakref.ref(noted))
        return noted, cut

    monkeypatch.setattr(Asking, "rows", rows)
    job.write(request(models["embed"], write_input(tmp_path / "in.txt", texts(100))), tmp_path / "out.parquet")
    assert len(alive) == 25
