"""The folder beside an unfinished output: what was asked, and the chunks that are answered, each whole or absent."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from bertsmith import config, store
from bertsmith.errors import BertsmithError, UsageError
from bertsmith.store.files import temporary_name
from bertsmith.store.locks import lock_file, writer_lock

Wrong = dict[str, tuple[int, int]]
"""By reason: how many rows could not be used, and the number of the first."""

Cut = Counter[str]
"""How many rows were read in part only, by what was left out."""


class Part(NamedTuple):
    """The answers to one chunk. rows: how many; data: the answers as the format has them."""

    number: int
    rows: int
    wrong: Wrong
    cut: Cut
    data: bytes


class PartsFolder:
    """OUTPUT.parts, and beside the finished output .OUTPUT.request.json, which says what it was made of.

    settled: what was chosen when it was begun and holds from then on; {} before.
    """

    def __init__(self, output: Path) -> None:
        self.output = output
        self.path = output.with_name(f"{output.name}.parts")
        self.settled: dict[str, Any] = {}
        self._request_file = self.path / "request.json"
        self._record_file = output.with_name(f".{output.name}.request.json")

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the output for this process; BertsmithError at once when another process writes it."""
        try:
            self.output.parent.mkdir(parents=True, exist_ok=True)
            with lock_file(writer_lock(self.output), self.output, remove=True):
                yield
        except OSError as error:
            raise store.explain(error, self.output) from error

    def begin(self, request: Mapping[str, Any]) -> dict[str, Any] | None:
        """The result when the output of this very request is finished, else None.

        UsageError naming what differs when an earlier line asked for something else, or when the output is not ours.
        Only for the holder of the lock.
        """
        record = _read(self._record_file, self._record_file)
        started = _read(self._request_file, self.path)
        if os.path.lexists(self.output):
            if record is not None and record["output"] == _seal(self.output):
                self._refuse_other(record["request"], request, f"{self.output}: was made")
                self._remove()
                return record["result"]
            if started is None:
                raise UsageError(
                    f"{self.output}: is there already and is not what this line has written; remove it or choose"
                    " another --output"
                )
        if started is not None:
            self._refuse_other(started["request"], request, f"{self.path}: was started")
            self.settled = started["settled"]
        elif os.path.lexists(self.path) and not (self.path.is_dir() and _is_empty(self.path)):
            raise UsageError(f"{self.path}: is in the way and holds no predictions; remove it")
        self._remove_leftovers()
        return None

    def _refuse_other(self, earlier: Mapping[str, Any], request: Mapping[str, Any], what: str) -> None:
        before, now = config.flat_values(dict(earlier)), config.flat_values(dict(request))
        for key in [*now, *(key for key in before if key not in now)]:
            if before.get(key) != now.get(key):
                shown = "" if key in ("input", "model") else f" ({before.get(key)!r}, now {now.get(key)!r})"
                raise UsageError(
                    f"{what} with another {key}{shown}; type the line as it was, or choose another --output"
                )

    def start(self, request: Mapping[str, Any], settled: Mapping[str, Any]) -> None:
        """Note what is asked and what was settled. UsageError when something else was settled before."""
        if self.settled:
            self._refuse_other(self.settled, settled, f"{self.path}: was started")
            return
        self.path.mkdir(exist_ok=True)
        self.settled = dict(settled)
        store.write_json(self._request_file, {"request": dict(request), "settled": self.settled})
        store.sync_folder(self.path.parent)

    def write(self, part: Part) -> None:
        """Keep a part; it is durable when this returns."""
        digest = hashlib.sha256(part.data).hexdigest()
        header = {"sha256": digest, "rows": part.rows, "wrong": part.wrong, "cut": part.cut}
        store.write_atomic(self._file(part.number), json.dumps(header).encode() + b"\n" + part.data)
        store.crash_point("predict.part")

    def read(self, number: int) -> Part | None:
        """A part that was kept, or None where there is none or it is damaged."""
        try:
            first, _, data = self._file(number).read_bytes().partition(b"\n")
            header = json.loads(first)
            if header["sha256"] != hashlib.sha256(data).hexdigest():
                return None
            wrong = {reason: (count, place) for reason, (count, place) in header["wrong"].items()}
            return Part(number, header["rows"], wrong, Counter(header["cut"]), data)
        except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError):
            return None

    def _file(self, number: int) -> Path:
        return self.path / f"part-{number:08}"

    def finish(
        self,
        count: int,
        join: Callable[[Iterable[bytes], BinaryIO], None],
        request: Mapping[str, Any],
        result: Mapping[str, Any],
    ) -> None:
        """Put `count` parts together to the output, which appears as a whole, and remove them."""
        temporary = temporary_name(self.output, "partial")
        try:
            with temporary.open("xb") as file:
                join(self._data(count), file)
                file.flush()
                os.fsync(file.fileno())
            seal = _seal(temporary)
            store.crash_point("predict.joined")
            os.replace(temporary, self.output)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        store.sync_folder(self.output.parent)
        store.crash_point("predict.renamed")
        store.write_json(
            self._record_file, {"request": dict(request), "settled": self.settled, "result": result, "output": seal}
        )
        store.crash_point("predict.recorded")
        self._remove()

    def _data(self, count: int) -> Iterator[bytes]:
        for number in range(count):
            part = self.read(number)
            if part is None:
                raise BertsmithError(f"{self._file(number)}: is missing or damaged; type the same line again")
            yield part.data

    def discard(self) -> None:
        """Remove the parts of an output that will never be."""
        self._remove()

    def _remove(self) -> None:
        """The parts first, so that what is left of them after a crash still says what it belongs to."""
        if self.path.is_dir():
            for part in self.path.glob("part-*"):
                part.unlink()
            shutil.rmtree(self.path)

    def _remove_leftovers(self) -> None:
        for folder, start in ((self.output.parent, f".{self.output.name}.partial-"), (self.path, ".part-")):
            for path in folder.iterdir() if folder.is_dir() else ():
                if path.name.startswith(start):
                    path.unlink()


def _is_empty(folder: Path) -> bool:
    """Whether a folder holds nothing but what a writer that was killed may have left."""
    return all(path.name.startswith(".") for path in folder.iterdir())


def _seal(path: Path) -> dict[str, Any]:
    return {"bytes": path.stat().st_size, "sha256": store.hash_file(path)}


def _read(path: Path, to_remove: Path) -> dict[str, Any] | None:
    """What was noted in a file of ours, or None where there is none; BertsmithError when it is damaged."""
    try:
        found = json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except ValueError:
        found = None
    if not isinstance(found, dict) or not isinstance(found.get("request"), dict):
        raise BertsmithError(f"{path}: damaged; remove {to_remove}")
    return found
