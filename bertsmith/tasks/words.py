"""Words as a reader sees them, whatever a tokenizer makes of them: what evaluation asks for."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import regex

from bertsmith import randomness
from bertsmith.text.words import segment

_WORD = regex.compile(r"[\p{L}\p{M}\p{N}_]+|[^\p{L}\p{M}\p{N}_\s]")
_HAN = regex.compile(r"\p{Han}")


def word_spans(text: str, segmenter: Callable[[str], list[str]] = segment) -> np.ndarray:
    """Character spans of the words of a text: (words, 2) int64, start and stop.

    A word is a run of letters, marks and digits, or one other character that is not white space. Runs that hold
    Chinese characters are cut by `segmenter`, whose pieces must concatenate to their input.
    """
    spans: list[tuple[int, int]] = []
    for match in _WORD.finditer(text):
        start, stop = match.span()
        if not _HAN.search(text, start, stop):
            spans.append((start, stop))
            continue
        for piece in segmenter(text[start:stop]):
            spans.append((start, start + len(piece)))
            start += len(piece)
    return np.array(spans, dtype=np.int64).reshape(-1, 2)


class WordChoice(NamedTuple):
    """Which words of a text are asked for: each with probability `rate`, by (seed, character offset) alone."""

    seed: int
    rate: float = 0.15

    def chosen_characters(self, text: str, offset: int) -> np.ndarray:
        """True for every character that belongs to a chosen word: (characters,) bool.

        `offset` is where the text begins in all that is evaluated, in characters. No tokenizer takes part, so
        models with different vocabularies are asked for the same words.
        """
        chosen = np.zeros(len(text), dtype=bool)
        spans = word_spans(text)
        draws = randomness.uniform(randomness.key(self.seed, "evaluated words"), spans[:, 0] + offset)
        for start, stop in spans[draws < self.rate]:
            chosen[start:stop] = True
        return chosen
