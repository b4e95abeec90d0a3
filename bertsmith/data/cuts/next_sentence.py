"""BERT's pairs: segment B follows A in the document, or comes from another one (google-research/bert,
`create_pretraining_data.py`). Label 0 = B is next, 1 = B is random.
"""

from __future__ import annotations

from bertsmith.data.cuts.segment_pairs import SegmentPairs


class NextSentence(SegmentPairs):
    """The next_sentence cut."""
