"""Predictions for a whole file: to an output that can be gone on with, or one after the other."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from bertsmith import console, interrupt, store
from bertsmith.errors import Interrupted, Stopped, UsageError
from bertsmith.prediction_files.formats import FORMATS, Shape, format_of
from bertsmith.prediction_files.parts import Cut, Part, PartsFolder, Wrong
from bertsmith.prediction_files.questions import CHUNK_CHARACTERS, CHUNK_ROWS, Chunk, Source
from bertsmith.prediction_files.verbs import VERBS, Options
from bertsmith.tasks.user_table import Columns

if TYPE_CHECKING:
    from bertsmith.prediction_files.answering import Asking, MakePart
    from bertsmith.serving.precision import Auto, Precision
    from bertsmith.tasks.finetuning_config import TaskConfig

MOST_WORKERS = 8  # processes unless more are asked for: each holds the model
SHOWN = 5  # reasons why rows could not be used
OF_A_MODEL = (".json", ".safetensors", ".txt", ".model")  # files that its answers may depend on


@dataclass(frozen=True)
class Request:
    """What a line asks for. model: a run or a model folder. settings: fields of TaskConfig over those of the model.

    workers: processes, 0 = one per core (one on a GPU, one for a few rows), eight at most.
    """

    verb: str
    model: Path
    source: Path
    columns: Columns | None = None
    precision: Precision | Auto = "fp32"
    settings: TaskConfig | None = None
    options: Options = field(default_factory=dict)
    workers: int = 0

    def values(self, source: Source, digest: str) -> dict[str, Any]:
        """All that the bytes of the output follow from, as JSON."""
        return {
            "verb": self.verb,
            "input": digest,
            "columns": list(source.columns),
            "model": _fingerprint(self.model),
            "precision": self.precision,
            "options": dict(self.options),
            "task": asdict(self.settings) if self.settings else {},
            "chunk": [CHUNK_ROWS, CHUNK_CHARACTERS],
            "versions": {name: version(name) for name in ("bertsmith", "torch")},
        }


def _fingerprint(model: Path) -> str:
    from bertsmith.tasks.trained import model_folder

    folder = model_folder(model)
    files = sorted(f for f in folder.iterdir() if f.suffix in OF_A_MODEL and f.is_file() and f.name != store.MANIFEST)
    return store.fingerprint({file.name: store.hash_file(file) for file in files})


# --- to an output ---


def write(request: Request, output: Path) -> dict[str, Any]:
    """Answer every row of the input into `output`; returns {rows errors reasons cut output precision}.

    What is there already of this very request is not asked again. Raises UsageError for what cannot be asked or
    written, and for an output begun by another request; Stopped or Interrupted when a signal came; what was answered
    before any of them is kept.
    """
    ending = format_of(output)
    if output.is_dir():
        raise UsageError(f"{output}: is a folder; name a file")
    _check_workers(request)
    folder = PartsFolder(output)
    source = Source(request.source, request.columns, VERBS[request.verb])
    with folder.held():
        digest, expected = source.digest()
        values = request.values(source, digest)
        finished = folder.begin(values)
        if finished is not None:
            console.say(f"{output}: is finished; nothing to do")
            return finished
        return _write(request, source, expected, folder, values, ending)


def _write(
    request: Request, source: Source, expected: int, folder: PartsFolder, values: Mapping[str, Any], ending: str
) -> dict[str, Any]:
    from bertsmith.prediction_files.answering import MakePart

    ready = _make_ready(request, folder.settled.get("precision", request.precision), expected)
    folder.start(values, {"precision": ready.asking.precision, "device": ready.device})
    answered = _Answered(folder, expected)
    with _kept(answered), console.Progress(expected, "rows", f"predict {request.verb}") as progress:
        answered.run(source, MakePart(ready.asking, ending, ready.width), ready.workers, progress)
    if answered.rows == answered.unusable:
        folder.discard()
        raise _nothing_usable(request, answered.wrong)
    result = answered.result(ready.asking.precision)
    shape = Shape(VERBS[request.verb], ready.width)
    with _kept(answered):
        folder.finish(answered.parts, partial(FORMATS[ending].join, shape), values, result)
    answered.tell()
    return result


class _Answered:
    """What has been answered so far: by this process, and before it."""

    def __init__(self, folder: PartsFolder, expected: int) -> None:
        self._folder, self._expected = folder, expected
        self.parts = self.rows = 0
        self.wrong: Wrong = {}
        self.cut: Cut = Counter()

    @property
    def unusable(self) -> int:
        return sum(count for count, _ in self.wrong.values())

    def run(self, source: Source, make: MakePart, workers: int, progress: console.Progress) -> None:
        """Make every part that is not there, in order."""
        from bertsmith.prediction_files.workers import WatchedPool

        def missing() -> Iterator[Chunk]:
            for chunk in source.chunks():
                interrupt.check()
                part = self._folder.read(chunk.number)
                if part is None:
                    yield chunk
                else:
                    self._count(part, progress)

        with WatchedPool(make, workers) as pool:
            for part in pool.map(missing()):
                self._folder.write(part)
                self._count(part, progress)

    def _count(self, part: Part, progress: console.Progress) -> None:
        self.parts += 1
        self.rows += part.rows
        self.cut.update(part.cut)
        for reason, (count, first) in part.wrong.items():
            before, place = self.wrong.get(reason, (0, first))
            self.wrong[reason] = (before + count, min(place, first))
        progress.total = max(self._expected, self.rows)
        progress.update(self.rows)

    def result(self, precision: str) -> dict[str, Any]:
        """What `--json` prints."""
        return {
            "rows": self.rows,
            "errors": self.unusable,
            "reasons": {reason: count for reason, (count, _) in self.wrong.items()},
            "cut": dict(self.cut),
            "precision": precision,
            "output": str(self._folder.output),
        }

    def tell(self) -> None:
        """Say how many rows there are, and why some could not be used."""
        errors = f", {self.unusable:,} of them errors" if self.wrong else ""
        console.say(f"{self.rows:,} rows in {self._folder.output}{errors}")
        found = sorted(self.wrong.items(), key=lambda item: -item[1][0])
        for reason, (count, first) in found[:SHOWN]:
            console.warn(f"{count:,} rows: {reason} (first: row {first:,})")
        if len(found) > SHOWN:
            console.warn(f"and {len(found) - SHOWN:,} more reasons")
        _tell_cut(self.cut, self.rows)


def _tell_cut(cut: Cut, rows: int) -> None:
    for what, count in cut.items():
        console.warn_of(count, rows, what)


@contextmanager
def _kept(answered: _Answered) -> Iterator[None]:
    """What a signal interrupts says what is kept."""
    try:
        yield
    except (Stopped, Interrupted):
        interrupt.check(f"{answered.rows:,} rows are kept; type the same line again to go on")
        raise


# --- one after the other ---


def stream(request: Request) -> Iterator[Any]:
    """The result of every row as it comes, as JSON knows it. Errors as in `write`."""
    from bertsmith.prediction_files.answering import MakeRows, wrong_in
    from bertsmith.prediction_files.workers import WatchedPool

    _check_workers(request)
    source = Source(request.source, request.columns, VERBS[request.verb])
    _, expected = source.digest()
    ready = _make_ready(request, request.precision, expected)
    done = usable = 0
    first: Wrong = {}
    cut: Cut = Counter()
    with (
        WatchedPool(MakeRows(ready.asking), ready.workers) as pool,
        console.Progress(expected, "rows", f"predict {request.verb}") as progress,
    ):
        for rows, shortened in pool.map(source.chunks()):
            yield from rows
            cut.update(shortened)
            wrong = wrong_in(rows, done + 1)
            first = first or wrong
            usable += len(rows) - sum(count for count, _ in wrong.values())
            done += len(rows)
            progress.update(done)
    _tell_cut(cut, done)
    if not usable:
        raise _nothing_usable(request, first)


def _nothing_usable(request: Request, wrong: Wrong) -> UsageError:
    reason, (_, first) = next(iter(wrong.items()))
    return UsageError(f"{request.source}: holds no text that can be used (row {first}: {reason})")


# --- the model ---


class _Ready(NamedTuple):
    """width: of an embedding, 0 of other results. workers: processes that work side by side; this one alone is 1."""

    asking: Asking
    device: str
    width: int
    workers: int


def _make_ready(request: Request, precision: Precision | Auto, rows: int) -> _Ready:
    """The model read and asked once, so that whatever is wrong with it shows before any row is."""
    from bertsmith.prediction_files.answering import Asking, one_thread
    from bertsmith.serving.predictor import Predictor

    verb = VERBS[request.verb]
    with one_thread():  # where the precision is measured, as it will be used
        predictor = Predictor.load(request.model, precision=precision, settings=request.settings)
        (answer,) = verb.ask(predictor, [verb.probe], request.options)
    width = len(answer["embedding"]) if "embedding" in verb.columns else 0
    device, taken = str(predictor.device), cast("Precision", predictor.precision)
    workers = _workers(request, rows, device)
    here = predictor if workers == 1 else None  # one model less in memory
    asking = Asking(request.verb, request.model, taken, request.settings, dict(request.options), here)
    return _Ready(asking, device, width, workers)


def _check_workers(request: Request) -> None:
    if request.workers < 0:
        raise UsageError(f"--workers: must be 0 or more, not {request.workers}")


def _workers(request: Request, rows: int, device: str) -> int:
    if request.workers:
        return request.workers
    if device != "cpu":
        return 1
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, MOST_WORKERS, -(-rows // CHUNK_ROWS))
