"""A cache from chunks of text to their ids, so that a chunk is tokenised once and then looked up.

A chunk is what a tokenizer treats apart from its neighbours, so that their ids side by side are the ids of the text:
what stands between plain spaces, for WordPiece also one Han character.
"""

from __future__ import annotations

import re
import threading
from abc import ABC, abstractmethod
from array import array
from collections.abc import Callable, Sequence

import numpy as np

from bertsmith.text import han
from bertsmith.tokenizers.wordpiece import WordPieces, WordSplitter

MOST_CHUNKS = 300_000
MOST_CHARACTERS = 8_000_000  # of all chunks together: with their ids, some hundred megabytes
WHOLE_CACHES = 4  # of that size fit into a gigabyte with everything else; more processes share their bounds

# Spaces are chunks here (without ids), so that the lengths of the chunks count the characters of the text.
_HAN_CHUNKS = re.compile(f"[{han.CHARACTERS}]|[^{han.CHARACTERS} ]+| +")


# ids, the character of the chunk that each token begins with, and whether it starts a word
Placed = tuple[Sequence[int], Sequence[int], Sequence[int]]


def split_at_han(text: str) -> list[str]:
    """Chunks that concatenate to the text: single Han characters, runs of other characters, runs of spaces."""
    return _HAN_CHUNKS.findall(text)


class ChunkCache(dict[str, int], ABC):
    """Chunk -> number; the ids of chunk n are `ids[starts[n] : starts[n + 1]]`. Unknown chunks are added when asked."""

    def __init__(self) -> None:
        super().__init__()
        self.lock = threading.Lock()  # a chunk and its ids come in several steps: one thread at a time
        self._share = 1.0
        self._forget()

    def share(self, processes: int) -> None:
        """Keep to this process' share of the memory when so many processes have a cache each."""
        self._share = min(1.0, WHOLE_CACHES / processes)

    def _forget(self) -> None:
        self.clear()
        self._ids = array("I")
        self._starts = array("q", [0])
        self._characters = 0

    @abstractmethod
    def _encode(self, chunk: str) -> None:
        """Append the ids of a chunk, and what else is kept of it."""

    def __missing__(self, chunk: str) -> int:
        self._encode(chunk)
        number = self[chunk] = len(self)
        self._starts.append(len(self._ids))
        self._characters += len(chunk)
        return number

    def _number(self, chunks: Sequence[str]) -> np.ndarray:
        """(chunks,) int64: the number of each chunk."""
        # Between calls, never within one: numbers stay valid until they are used. What is forgotten is found again.
        if len(self) > MOST_CHUNKS * self._share or self._characters > MOST_CHARACTERS * self._share:
            self._forget()
        return np.fromiter(map(self.__getitem__, chunks), np.int64, len(chunks))

    def _rows(self, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Of chunks end to end: where each token is kept (tokens,), where chunks end and their sizes (chunks,)."""
        starts = np.frombuffer(self._starts, np.int64)
        sizes = (starts[1:] - starts[:-1])[numbers]
        ends = np.cumsum(sizes)
        total = int(ends[-1]) if len(ends) else 0
        return np.arange(total) + np.repeat(starts[numbers] - (ends - sizes), sizes), ends, sizes


class WordChunks(ChunkCache):
    """Chunks divided into WordPiece's words, which are remembered too."""

    def __init__(self, splitter: WordSplitter, pieces: WordPieces) -> None:
        self._splitter = splitter
        self._pieces = pieces
        self._words: dict[str, list[int]] = {}
        super().__init__()

    def _forget(self) -> None:
        super()._forget()
        self._words.clear()
        self._han = array("B")

    def _encode(self, chunk: str) -> None:
        before = len(self._ids)
        for word in self._splitter.split(chunk):
            ids = self._words.get(word)
            if ids is None:
                ids = self._words[word] = self._pieces.encode(word)
            self._ids.extend(ids)
        # A Han character that BERT drops or that has no piece of its own groups with nothing.
        self._han.append(len(chunk) == 1 and len(self._ids) > before and han.is_han(chunk))

    def look_up(self, chunks: Sequence[str]) -> ChunkIds:
        """The ids of a row of chunks, laid end to end."""
        with self.lock:
            numbers = self._number(chunks)
            rows, ends, _ = self._rows(numbers)
            ids = np.frombuffer(self._ids, np.uint32)[rows]
            return ChunkIds(ids, ends, np.frombuffer(self._han, np.uint8)[numbers].astype(bool))


class ChunkIds:
    """token_ids (tokens,) uint32; ends (chunks,) int64: where each chunk's ids end; han (chunks,) bool."""

    def __init__(self, token_ids: np.ndarray, ends: np.ndarray, han: np.ndarray) -> None:
        self.token_ids = token_ids
        self.ends = ends
        self.han = han


class PlacedChunks(ChunkCache):
    """Chunks with the character that each of their tokens begins with, and which tokens start words."""

    def __init__(self, encode: Callable[[str], Placed]) -> None:
        self._encode_chunk = encode
        super().__init__()

    def _forget(self) -> None:
        super()._forget()
        self._places = array("I")
        self._word_starts = array("B")

    def _encode(self, chunk: str) -> None:
        ids, places, word_starts = self._encode_chunk(chunk)
        self._ids.extend(ids)
        self._places.extend(places)
        self._word_starts.extend(word_starts)

    def look_up(self, chunks: Sequence[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Of chunks laid end to end: ids (tokens,) uint32, places (tokens,) int64 in characters of the whole,
        word starts (tokens,) uint8, and where each chunk's ids end (chunks,) int64."""
        lengths = np.fromiter(map(len, chunks), np.int64, len(chunks))
        with self.lock:
            rows, ends, sizes = self._rows(self._number(chunks))
            places = np.frombuffer(self._places, np.uint32)[rows] + np.repeat(np.cumsum(lengths) - lengths, sizes)
            word_starts = np.frombuffer(self._word_starts, np.uint8)[rows]
            return np.frombuffer(self._ids, np.uint32)[rows], places, word_starts, ends
