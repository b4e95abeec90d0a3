"""Where special tokens stand: the one place that puts segments together to what an encoder reads.

    [CLS] A [SEP]               one segment; RoBERTa's names are <s> and </s>
    [CLS] A [SEP] B [SEP]       two segments; RoBERTa's family separates them by two tokens: <s> A </s></s> B </s>

Everything up to A's separators has type 0, B and its separator type 1. Where a packed segment goes on with the next
document there is one separator between the two (Liu et al. 2019, section 4.2).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from bertsmith.compiled import kernel
from bertsmith.data.corpus import Corpus
from bertsmith.data.cuts.examples import (
    A_START,
    A_STOP,
    B_START,
    B_STOP,
    LABEL,
    SPECIAL,
    STARTS,
    Examples,
    Rows,
    by_part,
    empty_examples,
)

if TYPE_CHECKING:
    from bertsmith.tokenizers.tokenizer import SpecialIds

SINGLE_SPECIALS = 2


@dataclass(frozen=True)
class Template:
    """Special tokens around one or two segments. separators: tokens between A and B, as the tokenizer says."""

    special: SpecialIds
    separators: int = 1

    @property
    def pair_specials(self) -> int:
        """Special tokens of a pair."""
        return 2 + self.separators

    def single(self, tokens: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
        """One segment with its special tokens: (tokens + 2,) int64."""
        return np.concatenate(([self.special.cls], tokens, [self.special.sep])).astype(np.int64)

    def pair(self, first: npt.NDArray[Any], second: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
        """Two segments with their special tokens; the first `first_length(len(first))` are of type 0."""
        between = [self.special.sep] * self.separators
        return np.concatenate(([self.special.cls], first, between, second, [self.special.sep])).astype(np.int64)

    def first_length(self, tokens: int) -> int:
        """Tokens of type 0 in a pair whose first segment has so many tokens."""
        return 1 + tokens + self.separators

    def lengths(self, corpus: Corpus, rows: Rows) -> npt.NDArray[np.int64]:
        """Tokens of each row of a plan, special tokens included: (rows,) int64."""
        a, b = rows[:, A_STOP] - rows[:, A_START], rows[:, B_STOP] - rows[:, B_START]
        lengths = a.astype(np.int64) + b + np.where(b > 0, self.pair_specials, SINGLE_SPECIALS)
        for part, chosen in by_part(corpus, rows):
            first, last = _document_borders(part.document_tokens, rows, chosen)
            lengths[chosen] += last - first
        return lengths

    def fill(self, corpus: Corpus, rows: Rows) -> Examples:
        """The sequences of some rows of a plan, in the order given."""
        rows = np.ascontiguousarray(rows, dtype=np.int32)
        lengths = self.lengths(corpus, rows)
        examples = empty_examples(lengths, rows[:, LABEL].astype(np.int64))
        places = np.cumsum(lengths) - lengths
        for part, chosen in by_part(corpus, rows):
            _fill(
                part.token_ids,
                part.word_starts,
                part.document_tokens,
                rows,
                chosen,
                places,
                _document_borders(part.document_tokens, rows, chosen)[0],
                self.special.cls,
                self.special.sep,
                self.separators,
                examples.token_ids,
                examples.type_ids,
                examples.units,
            )
        return examples


def _document_borders(
    document_tokens: npt.NDArray[np.int32], rows: Rows, chosen: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """For each chosen row, the first document that starts inside segment A and the first that starts behind it."""
    first = np.searchsorted(document_tokens, rows[chosen, A_START], side="right")
    last = np.searchsorted(document_tokens, rows[chosen, A_STOP], side="left")
    return first, last


@kernel
def _fill(
    tokens: npt.NDArray[Any],
    word_starts: npt.NDArray[np.uint8],
    document_tokens: npt.NDArray[np.int32],
    rows: Rows,
    chosen: npt.NDArray[np.int64],
    places: npt.NDArray[np.int64],
    documents: npt.NDArray[np.int64],
    cls: int,
    sep: int,
    separators: int,
    token_ids: npt.NDArray[np.int64],
    type_ids: npt.NDArray[np.int64],
    units: npt.NDArray[np.uint8],
) -> None:
    """Write the chosen rows at their places; `documents` holds, for each, the first document inside its segment A."""
    for index in range(chosen.size):
        row, document = chosen[index], documents[index]
        place = places[row]
        token_ids[place], type_ids[place], units[place] = cls, 0, SPECIAL
        place += 1
        for segment in range(2):
            start, stop = rows[row, A_START + 2 * segment], rows[row, A_STOP + 2 * segment]
            if segment == 1 and start == stop:
                break
            for source in range(start, stop):
                if segment == 0 and source == document_tokens[document]:
                    token_ids[place], type_ids[place], units[place] = sep, 0, SPECIAL
                    place += 1
                    document += 1
                token_ids[place], type_ids[place], units[place] = tokens[source], segment, word_starts[source]
                if source == start:
                    units[place] = STARTS
                place += 1
            closing = separators if segment == 0 and rows[row, B_STOP] > rows[row, B_START] else 1
            for _ in range(closing):
                token_ids[place], type_ids[place], units[place] = sep, segment, SPECIAL
                place += 1
