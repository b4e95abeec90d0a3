"""Small things that several tests build on; nothing here touches the network or the user's data."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bertsmith.data.corpus import Corpus, Part, make_part
from bertsmith.tokenizers.tokenizer import SpecialIds

SPECIAL = SpecialIds(pad=0, unk=1, cls=2, sep=3, mask=4)
VOCABULARY = 1000


def random_documents(count: int, seed: int = 0, sentences: int = 12, tokens: int = 20) -> list[list[list[int]]]:
    """Documents of up to `sentences` sentences of up to `tokens` token ids, none of them special."""
    generator = np.random.default_rng(seed)
    return [
        [
            generator.integers(len(SPECIAL), VOCABULARY, size=int(generator.integers(1, tokens + 1))).tolist()
            for _ in range(int(generator.integers(1, sentences + 1)))
        ]
        for _ in range(count)
    ]


def memory_corpus(*parts: Sequence[Sequence[Sequence[int]]], vocab_size: int = VOCABULARY) -> Corpus:
    """A corpus in memory, one part per argument: documents of sentences of token ids.

    Every third token continues the word before it, as `token % 3 == 0`, except at the start of a sentence.
    """
    made = []
    for documents in parts:
        sentences = [sentence for document in documents for sentence in document]
        token_ids = np.array([token for sentence in sentences for token in sentence], dtype=np.uint16)
        lengths = np.array([len(sentence) for sentence in sentences])
        starts = (token_ids % 3 != 0).astype(np.uint8)
        starts[np.cumsum(lengths) - lengths] = 1
        made.append(make_part(token_ids, starts, lengths, np.array([len(document) for document in documents])))
    return Corpus(made, {"vocab_size": vocab_size, "fingerprint": f"in memory, {len(made)} parts"})


def document_of(part: Part, number: int) -> list[np.ndarray]:
    """The sentences of one document, as token ids."""
    first, last = part.documents[number], part.documents[number + 1]
    return [part.token_ids[part.sentences[s] : part.sentences[s + 1]] for s in range(first, last)]
