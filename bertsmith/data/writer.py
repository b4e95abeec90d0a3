"""Writes the parts of a corpus, cut by input so that their bytes do not depend on who made the chunks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bertsmith import store
from bertsmith.data.chunks import Chunk
from bertsmith.data.corpus import Split, make_part, write_part

PART_TOKENS = 2**24  # a part is closed at the first chunk that brings it here: about 50 MB
LEAST_DOCUMENTS = 2  # in a part, where the corpus has as many: random segments come from another document of the part


class SplitWriter:
    """The parts of one split, in the order in which documents come.

    A part that is long enough is written once the next one has enough documents too, so that the last one always does.
    """

    def __init__(self, folder: Path, split: Split, unknown_id: int) -> None:
        self._folder, self._split, self._unknown_id = folder, split, unknown_id
        self._complete: list[Chunk] = []  # a whole part
        self._pending: list[Chunk] = []  # what comes behind it
        self.documents = self.sentences = self.tokens = self.words = self.unknown = self.misaligned = 0
        self.files: dict[str, str] = {}  # name -> SHA-256

    def add(self, chunk: Chunk, documents: npt.NDArray[np.bool_]) -> None:
        """Append the documents of a chunk that are True in `documents`; those without sentences must not be."""
        if not documents.any():
            return
        if not documents.all():
            chunk = select(chunk, documents)
        self._pending.append(chunk)
        self.documents += chunk.document_lengths.size
        self.sentences += chunk.sentence_lengths.size
        self.tokens += chunk.token_ids.size
        self.words += int(np.count_nonzero(chunk.word_starts))
        self.unknown += int(np.count_nonzero(chunk.token_ids == self._unknown_id))
        self.misaligned += int(chunk.misaligned.sum())
        if _documents(self._pending) < LEAST_DOCUMENTS:
            return
        self._write(self._complete)
        self._complete = []
        if sum(chunk.token_ids.size for chunk in self._pending) >= PART_TOKENS:
            self._complete, self._pending = self._pending, []

    def flush(self) -> None:
        """Write what is left; a document alone goes with the part before it."""
        if _documents(self._pending) < LEAST_DOCUMENTS:
            self._complete, self._pending = self._complete + self._pending, []
        self._write(self._complete)
        self._write(self._pending)
        self._complete, self._pending = [], []

    def _write(self, chunks: list[Chunk]) -> None:
        """One part, of all the chunks; none when there is no chunk."""
        if not chunks:
            return
        part = make_part(
            np.concatenate([chunk.token_ids for chunk in chunks]),
            np.concatenate([chunk.word_starts for chunk in chunks]),
            np.concatenate([chunk.sentence_lengths for chunk in chunks]),
            np.concatenate([chunk.document_lengths for chunk in chunks]),
        )
        name = f"{self._split}-{len(self.files):05d}.arrow"
        write_part(self._folder / name, part)
        self.files[name] = store.hash_file(self._folder / name)
        store.crash_point("corpus.part")

    def details(self) -> dict[str, Any]:
        """What the manifest says of this split."""
        return {
            "documents": self.documents,
            "sentences": self.sentences,
            "tokens": self.tokens,
            "files": list(self.files),
        }


def _documents(chunks: list[Chunk]) -> int:
    return sum(chunk.document_lengths.size for chunk in chunks)


def select(chunk: Chunk, documents: npt.NDArray[np.bool_]) -> Chunk:
    """The chunk with only some of its documents."""
    sentences = np.repeat(documents, chunk.document_lengths)
    tokens = np.repeat(sentences, chunk.sentence_lengths)
    return chunk._replace(
        hashes=chunk.hashes[documents],
        document_lengths=chunk.document_lengths[documents],
        sentence_lengths=chunk.sentence_lengths[sentences],
        token_ids=chunk.token_ids[tokens],
        word_starts=chunk.word_starts[tokens],
        misaligned=chunk.misaligned[documents],
    )
