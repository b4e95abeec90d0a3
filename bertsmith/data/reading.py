"""Raw documents in chunks of about a megabyte, for worker processes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import numpy.typing as npt

from bertsmith import console
from bertsmith.errors import BertsmithError
from bertsmith.text import documents
from bertsmith.text.config import TextConfig
from bertsmith.text.documents import Skipped, Source

CHUNK_CHARACTERS = 2**20
CHUNK_LINES = 2**14  # also bounds a chunk, as many short lines take more memory than their characters
EXPLAINED = 10  # reasons that are explained with places; the counts of all are in the result

Place = tuple[str, int]
RawDocuments = list[list[str]]


class Reader:
    """Streams the documents of all sources, in order, and remembers where those of the chunks in work come from.

    total, done: bytes on disk. skipped: what could not be used, by reason.
    """

    def __init__(self, sources: Sequence[Source], config: TextConfig, skipped: Skipped) -> None:
        self.skipped = skipped
        self.total = sum(source.size for source in sources)
        self.done = 0
        self._sources, self._config = sources, config
        self._places: deque[list[Place]] = deque()

    def chunks(self, wanted: Callable[[int], bool] = lambda number: True) -> Iterator[RawDocuments]:
        """The raw lines of the documents, several documents at a time; only those whose number (from 0) is `wanted`."""
        chunk: RawDocuments = []
        places: list[Place] = []
        characters = lines = number = before = 0
        for source in self._sources:
            for document in documents.read(source, self._config, self.skipped):
                self.done = before + min(document.position, source.size)
                number += 1
                if not wanted(number - 1):
                    continue
                chunk.append(document.lines)
                places.append((document.file, document.first_line))
                characters += sum(map(len, document.lines))
                lines += len(document.lines)
                if characters >= CHUNK_CHARACTERS or lines >= CHUNK_LINES:
                    self._places.append(places)
                    yield chunk
                    chunk, places, characters, lines = [], [], 0, 0
            before += source.size
            self.done = before
        if chunk:
            self._places.append(places)
            yield chunk

    def note(self, kinds: Sequence[tuple[str, npt.NDArray[np.bool_]]]) -> None:
        """Count documents of the oldest chunk not yet noted, by reason: True for each document it applies to."""
        places = self._places.popleft()
        for reason, applies in kinds:
            for number in np.flatnonzero(applies):
                file, line = places[number]
                self.skipped.note(reason, f"{file}:{line}")

    def explain_skipped(self) -> None:
        """Say what was left out or cut, and where it was first."""
        reasons = self.skipped.counts.most_common()
        for reason, count in reasons[:EXPLAINED]:
            places = self.skipped.examples.get(reason, [])
            more = ", ..." if count > len(places) else ""
            console.say(f"skipped or cut: {count:,} x {reason} ({', '.join(places)}{more})")
        if len(reasons) > EXPLAINED:
            console.say(f"skipped or cut: and {len(reasons) - EXPLAINED} more reasons")

    def nothing_found(self) -> BertsmithError:
        """The error for input without a single document, naming what stood in the way."""
        files = f"{len(self._sources)} files" if len(self._sources) > 1 else str(self._sources[0].path)
        why = "; ".join(
            f"{count:,} x {reason}, first at {self.skipped.examples[reason][0]}"
            for reason, count in self.skipped.counts.most_common(3)
        )
        return BertsmithError(f"{files}: no text found to prepare" + (f" ({why})" if why else " (only blank lines)"))
