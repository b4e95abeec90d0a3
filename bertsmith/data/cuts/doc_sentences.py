"""RoBERTa's DOC-SENTENCES: as FULL-SENTENCES, but no sequence goes on with the next document, so that the last one of
a document may be short (Liu et al. 2019, section 4.2).
"""

from __future__ import annotations

from bertsmith.data.cuts.packed_sentences import PackedSentences


class DocSentences(PackedSentences):
    """The doc_sentences cut."""

    across_documents = False
