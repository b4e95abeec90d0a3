"""RoBERTa's FULL-SENTENCES: sentences in their order, packed up to the length, across documents with a separator
between (Liu et al. 2019, section 4.2). A sentence is cut only when it alone is longer than a sequence.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from bertsmith import interrupt
from bertsmith.data.compiled import kernel
from bertsmith.data.config import CutConfig
from bertsmith.data.corpus import Corpus
from bertsmith.data.cuts.examples import (
    A_START,
    A_STOP,
    B_START,
    B_STOP,
    LABEL,
    NO_LABEL,
    PART,
    SPECIAL,
    STARTS,
    Examples,
    Rows,
    by_part,
    empty_examples,
)

if TYPE_CHECKING:
    from bertsmith.tokenizers.tokenizer import SpecialIds

SPECIALS = 2  # [CLS] sentences [SEP]


@dataclass(frozen=True)
class FullSentences:
    """The full_sentences cut: nothing in it is random, so every epoch has the same plan."""

    config: CutConfig
    special: SpecialIds
    has_pairs = False

    def plan_number(self, epoch: int) -> int:
        """One plan serves all epochs."""
        return 0

    def plan(self, corpus: Corpus, epoch: int) -> Rows:
        """The rows of an epoch, (rows, 6) int32, with an empty B and label -1."""
        planned = [np.empty((0, 6), dtype=np.int32)]
        for number, part in enumerate(corpus.parts):
            interrupt.check()
            room = self.config.length - SPECIALS
            most = part.sentences.size - 1 + part.token_ids.size // room  # a row ends a sentence or is full
            rows = np.empty((most, 6), dtype=np.int32)
            rows[:, PART] = number
            rows[:, LABEL] = NO_LABEL
            count = _plan_part(part.sentences, part.documents, room, rows)
            planned.append(rows[:count].copy())
        return np.concatenate(planned)

    def build(self, corpus: Corpus, rows: Rows) -> Examples:
        """[CLS] tokens [SEP] tokens of the next document [SEP], all of type 0."""
        rows = np.ascontiguousarray(rows, dtype=np.int32)
        lengths = (rows[:, A_STOP] - rows[:, A_START]).astype(np.int64) + SPECIALS
        first = np.empty(len(rows), dtype=np.int64)  # the first document that starts inside the row
        for part, chosen in by_part(corpus, rows):
            starts = part.document_tokens
            first[chosen] = np.searchsorted(starts, rows[chosen, A_START], side="right")
            lengths[chosen] += np.searchsorted(starts, rows[chosen, A_STOP], side="left") - first[chosen]
        examples = empty_examples(lengths, rows[:, LABEL].astype(np.int64))
        examples.type_ids[:] = 0
        places = np.cumsum(lengths) - lengths
        for part, chosen in by_part(corpus, rows):
            _fill_packed(
                part.token_ids,
                part.word_starts,
                part.document_tokens,
                rows,
                chosen,
                places,
                first,
                self.special.cls,
                self.special.sep,
                examples.token_ids,
                examples.units,
            )
        return examples


@kernel
def _plan_part(sentences: npt.NDArray[np.int32], documents: npt.NDArray[np.int32], room: int, rows: Rows) -> int:
    """Pack one part and return the number of rows. The separator between two documents counts as a token."""
    count = 0
    start = stop = used = 0  # the open row: tokens [start, stop) and the room they take with their separators
    for document in range(documents.size - 1):
        for sentence in range(documents[document], documents[document + 1]):
            separator = 1 if sentence == documents[document] and used > 0 else 0
            end = sentences[sentence + 1]
            if used + separator + end - stop > room:
                if used > 0:
                    count = _close_row(rows, count, start, stop)
                while end - stop > room:
                    count = _close_row(rows, count, stop, stop + room)
                    stop += room
                start, used, separator = stop, 0, 0
            used += separator + end - stop
            stop = end
    if used > 0:
        count = _close_row(rows, count, start, stop)
    return count


@kernel
def _close_row(rows: Rows, count: int, start: int, stop: int) -> int:
    rows[count, A_START], rows[count, A_STOP] = start, stop
    rows[count, B_START] = rows[count, B_STOP] = stop
    return count + 1


@kernel
def _fill_packed(
    tokens: npt.NDArray[Any],
    word_starts: npt.NDArray[np.uint8],
    document_tokens: npt.NDArray[np.int32],
    rows: Rows,
    chosen: npt.NDArray[np.int64],
    places: npt.NDArray[np.int64],
    first: npt.NDArray[np.int64],
    cls: int,
    sep: int,
    token_ids: npt.NDArray[np.int64],
    units: npt.NDArray[np.uint8],
) -> None:
    for row in chosen:
        place = places[row]
        token_ids[place], units[place] = cls, SPECIAL
        place += 1
        document = first[row]
        start, stop = rows[row, A_START], rows[row, A_STOP]
        for source in range(start, stop):
            if source == document_tokens[document]:
                token_ids[place], units[place] = sep, SPECIAL
                place += 1
                document += 1
            token_ids[place], units[place] = tokens[source], word_starts[source]
            if source == start:
                units[place] = STARTS
            place += 1
        token_ids[place], units[place] = sep, SPECIAL
