"""Parts of a corpus: cut by input, and never with a document alone where the corpus has two."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bertsmith.data import writer
from bertsmith.data.chunks import Chunk
from bertsmith.data.corpus import open_part
from bertsmith.data.writer import SplitWriter


def chunk(*documents: int) -> Chunk:
    """Documents of one sentence of so many tokens."""
    lengths = np.array(documents, dtype=np.int32)
    return Chunk(
        np.arange(lengths.size, dtype=np.uint64),
        np.ones(lengths.size, dtype=np.int32),
        lengths,
        np.repeat(lengths, lengths).astype(np.uint16),
        np.ones(int(lengths.sum()), dtype=np.uint8),
        np.ones(lengths.size, dtype=np.int32),
        int(lengths.sum()),
    )


def parts(folder: Path, chunks: list[Chunk]) -> list[list[int]]:
    """Tokens of each document of each part written."""
    made = SplitWriter(folder, "train", unknown_id=1)
    for some in chunks:
        made.add(some, np.ones(some.document_lengths.size, dtype=np.bool_))
    made.flush()
    assert made.documents == made.misaligned == sum(some.document_lengths.size for some in chunks)
    return [np.diff(open_part(folder / name).document_tokens).tolist() for name in made.details()["files"]]


@pytest.mark.parametrize(
    ("chunks", "wanted"),
    [
        ([[60, 40], [30, 70], [5, 5]], [[60, 40], [30, 70], [5, 5]]),
        ([[60, 40], [30, 70], [5]], [[60, 40], [30, 70, 5]]),  # a document alone at the end
        ([[60, 40], [5]], [[60, 40, 5]]),
        ([[200], [300], [7]], [[200, 300, 7]]),  # a document longer than a part waits for a second one
        ([[200], [300], [400], [500]], [[200, 300], [400, 500]]),
        ([[10, 10], [10], [80, 5], [3]], [[10, 10, 10, 80, 5, 3]]),
        ([[10, 10], [10], [80, 5], [3], [4]], [[10, 10, 10, 80, 5], [3, 4]]),
        ([[200]], [[200]]),
        ([[3]], [[3]]),
        ([], []),
    ],
)
def test_no_document_is_alone_in_its_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunks: list[list[int]], wanted: list[list[int]]
):
    monkeypatch.setattr(writer, "PART_TOKENS", 100)
    assert parts(tmp_path, [chunk(*some) for some in chunks]) == wanted


def test_every_cut_of_the_input_keeps_two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(writer, "PART_TOKENS", 50)
    generator = np.random.default_rng(0)
    for turn in range(60):
        (tmp_path / str(turn)).mkdir()
        chunks = [generator.integers(1, 80, size=generator.integers(1, 4)).tolist() for _ in range(turn % 9 + 2)]
        found = parts(tmp_path / str(turn), [chunk(*some) for some in chunks])
        assert sum(found, []) == sum(chunks, [])
        assert min(map(len, found)) >= 2
        assert all(sum(part) >= 50 for part in found[:-1])
