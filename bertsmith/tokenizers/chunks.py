"""A cache from chunks of text to their ids, so that a chunk is tokenised once and then looked up.

A chunk is what stands between plain spaces, or one Han character: WordPiece treats each apart from its neighbours,
so their ids side by side are the ids of the text.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Sequence

import numpy as np

from bertsmith.text import han
from bertsmith.tokenizers.wordpiece import WordPieces, WordSplitter

MOST_CHUNKS = 300_000
MOST_CHARACTERS = 8_000_000  # of all chunks together: with their ids, some hundred megabytes
WHOLE_CACHES = 4  # of that size fit into a gigabyte with everything else; more processes share their bounds

# Spaces are chunks here (without ids), so that the lengths of the chunks count the characters of the text.
_HAN_CHUNKS = re.compile(f"[{han.CHARACTERS}]|[^{han.CHARACTERS} ]+| +")


def split_at_han(text: str) -> list[str]:
    """Chunks that concatenate to the text: single Han characters, runs of other characters, runs of spaces."""
    return _HAN_CHUNKS.findall(text)


class ChunkCache(dict[str, int]):
    """Chunk -> number; the ids of chunk n are `ids[starts[n] : starts[n + 1]]`. Unknown chunks are added when asked."""

    def __init__(self, splitter: WordSplitter, pieces: WordPieces) -> None:
        super().__init__()
        self._splitter = splitter
        self._pieces = pieces
        self._words: dict[str, list[int]] = {}
        self._share = 1.0
        self._forget()

    def share(self, processes: int) -> None:
        """Keep to this process' share of the memory when so many processes have a cache each."""
        self._share = min(1.0, WHOLE_CACHES / processes)

    def _forget(self) -> None:
        self.clear()
        self._words.clear()
        self._ids = array("I")
        self._starts = array("q", [0])
        self._han = array("B")
        self._characters = 0

    def __missing__(self, chunk: str) -> int:
        before = len(self._ids)
        for word in self._splitter.split(chunk):
            ids = self._words.get(word)
            if ids is None:
                ids = self._words[word] = self._pieces.encode(word)
            self._ids.extend(ids)
        number = self[chunk] = len(self)
        self._starts.append(len(self._ids))
        # A Han character that BERT drops or that has no piece of its own groups with nothing.
        self._han.append(len(chunk) == 1 and len(self._ids) > before and han.is_han(chunk))
        self._characters += len(chunk)
        return number

    def look_up(self, chunks: Sequence[str]) -> ChunkIds:
        """The ids of a row of chunks, laid end to end."""
        # Between calls, never within one: numbers stay valid until they are used. What is forgotten is found again.
        if len(self) > MOST_CHUNKS * self._share or self._characters > MOST_CHARACTERS * self._share:
            self._forget()
        numbers = np.fromiter(map(self.__getitem__, chunks), np.int64, len(chunks))
        starts = np.frombuffer(self._starts, np.int64)
        flat = np.frombuffer(self._ids, np.uint32)
        sizes = (starts[1:] - starts[:-1])[numbers]
        ends = np.cumsum(sizes)
        total = int(ends[-1]) if len(ends) else 0
        shift = starts[numbers] - (ends - sizes)
        ids = flat[np.arange(total) + np.repeat(shift, sizes)]
        return ChunkIds(ids, ends, np.frombuffer(self._han, np.uint8)[numbers].astype(bool))


class ChunkIds:
    """token_ids (tokens,) uint32; ends (chunks,) int64: where each chunk's ids end; han (chunks,) bool."""

    def __init__(self, token_ids: np.ndarray, ends: np.ndarray, han: np.ndarray) -> None:
        self.token_ids = token_ids
        self.ends = ends
        self.han = han
