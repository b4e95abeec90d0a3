"""Sentences in their order, packed up to the length of a sequence; one is cut only when it alone is longer."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import numpy.typing as npt

from bertsmith.compiled import kernel
from bertsmith.data.corpus import Part
from bertsmith.data.cuts.cut import Cut
from bertsmith.data.cuts.examples import A_START, A_STOP, B_START, B_STOP, LABEL, NO_LABEL, Rows
from bertsmith.data.cuts.template import SINGLE_SPECIALS


class PackedSentences(Cut):
    """Rows of one segment with an empty B and label -1. Nothing in them is random."""

    across_documents: ClassVar[bool]

    def plan_number(self, epoch: int) -> int:
        """One plan serves all epochs."""
        return 0

    @property
    def _room(self) -> int:
        return self.config.length - SINGLE_SPECIALS

    def _most_rows(self, part: Part) -> int:
        return part.sentences.size - 1 + part.token_ids.size // self._room  # a row ends a sentence or is full

    def _plan_part(self, part: Part, plan_number: int, part_number: int, rows: Rows) -> int:
        rows[:, LABEL] = NO_LABEL
        return _plan(part.sentences, part.documents, self._room, self.across_documents, rows)


@kernel
def _plan(
    sentences: npt.NDArray[np.int32], documents: npt.NDArray[np.int32], room: int, across: bool, rows: Rows
) -> int:
    """Pack one part and return the number of rows. The separator between two documents counts as a token."""
    count = 0
    start = stop = used = 0  # the open row: tokens [start, stop) and the room they take with their separators
    for document in range(documents.size - 1):
        if used > 0 and not across:
            count = _close_row(rows, count, start, stop)
            start, used = stop, 0
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
