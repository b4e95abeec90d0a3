"""What a model reads of one example, and what is needed to read its answer."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from bertsmith.data.sequences import TokenSequence
from bertsmith.tokenizers.tokenizer import Tokenizer

SMALL_VOCABULARY = 1 << 16
LARGEST_OVERLAP = 0.4  # of a window: more would read everything several times


class Window(NamedTuple):
    """What of an example one of its sequences shows.

    tagging: rows (words,) int64, the row in the sequence of the first piece of each word that is decided here, and
    start, the first of these words. answering: rows, of the tokens of the context in the sequence; start, the first of
    them in the context.
    """

    rows: npt.NDArray[np.int64]
    start: int


class Inputs(NamedTuple):
    """sequences: one, the choices of a question, or the windows of a text too long for one.

    windows: one for each sequence, for tagging and answering. offsets: of the tokens of an answer's context, (tokens,
    2) int32, in characters.
    """

    sequences: tuple[TokenSequence, ...]
    windows: tuple[Window, ...] = ()
    offsets: npt.NDArray[Any] | None = None


def compact(sequence: TokenSequence, tokenizer: Tokenizer) -> TokenSequence:
    """The same in as few bytes as the vocabulary allows: a training part is kept in memory as a whole."""
    dtype = np.uint16 if tokenizer.vocab_size <= SMALL_VOCABULARY else np.int32
    return TokenSequence(sequence.token_ids.astype(dtype), sequence.first)


def overlap(room: int, stride: int) -> int:
    """Tokens that two windows of `room` tokens share: `stride`, or less where the windows are short."""
    return min(stride, int(LARGEST_OVERLAP * room))
