"""What every cut makes: flat examples out of rows of spans."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from bertsmith.data.corpus import Corpus, Part

Rows = npt.NDArray[np.int32]

# Columns of a plan: the corpus part, the token spans [start, stop) of segments A and B in it, and the label.
PART, A_START, A_STOP, B_START, B_STOP, LABEL = range(6)
NO_LABEL = -1

# Values of Examples.units.
CONTINUES, STARTS, SPECIAL = 0, 1, 2


class Examples(NamedTuple):
    """Sequences laid end to end, not yet masked.

    token_ids, type_ids: (tokens,) int64. lengths: (sequences,) int64. labels: (sequences,) int64, -1 for none.
    units: (tokens,) uint8: 1 starts a word, 0 continues the word before it, 2 is a special token that is never masked.
    The first token of a segment always starts a word, even where the cut fell inside one.
    """

    token_ids: npt.NDArray[np.int64]
    type_ids: npt.NDArray[np.int64]
    units: npt.NDArray[np.uint8]
    lengths: npt.NDArray[np.int64]
    labels: npt.NDArray[np.int64]


class Cut(Protocol):
    """A way to cut a corpus into sequences."""

    @property
    def has_pairs(self) -> bool:
        """Whether its rows carry a label for the pair objective."""
        ...

    def plan_number(self, epoch: int) -> int:
        """Which plan an epoch uses: epochs of the same number are cut alike."""
        ...

    def plan(self, corpus: Corpus, epoch: int) -> Rows:
        """The rows of an epoch: (rows, 6) int32, part, a_start, a_stop, b_start, b_stop, label."""
        ...

    def build(self, corpus: Corpus, rows: Rows) -> Examples:
        """The sequences of some rows, in the order given."""
        ...


def empty_examples(lengths: npt.NDArray[np.int64], labels: npt.NDArray[np.int64]) -> Examples:
    """Examples of these lengths, their tokens not yet filled in."""
    tokens = int(lengths.sum())
    return Examples(
        np.empty(tokens, dtype=np.int64),
        np.empty(tokens, dtype=np.int64),
        np.empty(tokens, dtype=np.uint8),
        lengths,
        labels,
    )


def by_part(corpus: Corpus, rows: Rows) -> Iterator[tuple[Part, npt.NDArray[np.int64]]]:
    """For each part that occurs in `rows`: the part and the numbers of its rows."""
    for number in np.unique(rows[:, PART]):
        yield corpus.parts[number], np.flatnonzero(rows[:, PART] == number)
