"""RoBERTa's FULL-SENTENCES: sentences in their order, packed up to the length, across documents with a separator
between (Liu et al. 2019, section 4.2).
"""

from __future__ import annotations

from bertsmith.data.cuts.packed_sentences import PackedSentences


class FullSentences(PackedSentences):
    """The full_sentences cut."""

    across_documents = True
