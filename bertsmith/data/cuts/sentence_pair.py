"""RoBERTa's SENTENCE-PAIR: two natural sentences, from a contiguous portion of one document or from two documents
(Liu et al. 2019, section 4.2). Label 0 = B is next, 1 = B is random.
"""

from __future__ import annotations

from bertsmith.data.cuts.segment_pairs import SegmentPairs


class SentencePair(SegmentPairs):
    """The sentence_pair cut: segments of one sentence, whatever their lengths."""

    sentences = 2
