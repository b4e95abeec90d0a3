"""What every cut makes: rows of spans, and flat examples out of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

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
    units: (tokens,) uint8: 1 starts a word, 0 continues the word before it, 2 is a special token.
    The first token of a segment always starts a word, even where the cut fell inside one.
    """

    token_ids: npt.NDArray[np.int64]
    type_ids: npt.NDArray[np.int64]
    units: npt.NDArray[np.uint8]
    lengths: npt.NDArray[np.int64]
    labels: npt.NDArray[np.int64]


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
