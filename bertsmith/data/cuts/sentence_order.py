"""ALBERT's pairs: two consecutive segments in their order or swapped (google-research/albert,
`create_pretraining_data.py`). Label 0 = in order, 1 = swapped; a chunk of one sentence, which has no order, is followed
by a random segment of another document and labelled 1, as published.
"""

from __future__ import annotations

from bertsmith.data.cuts.segment_pairs import SegmentPairs


class SentenceOrder(SegmentPairs):
    """The sentence_order cut."""

    swaps = True
