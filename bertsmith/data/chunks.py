"""What worker processes make of raw documents: compact arrays, or word counts."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from bertsmith.text import words
from bertsmith.text.cleaning import clean
from bertsmith.text.config import TextConfig
from bertsmith.text.sentences import sentences_of
from bertsmith.tokenizers.config import TokenizerConfig
from bertsmith.tokenizers.tokenizer import Encoding, Tokenizer
from bertsmith.tokenizers.training import count_words
from bertsmith.tokenizers.training_bytes import count_byte_words
from bertsmith.tokenizers.training_unigram import count_unigram_words

Lines = Sequence[str]
LARGEST_SHORT_ID = 2**16
SLICE_CHARACTERS = 2**18  # encoded at a time: every Han character is a string of its own meanwhile, about 100 bytes


class Chunk(NamedTuple):
    """Documents as arrays.

    hashes: (documents,) uint64 over the cleaned sentences. document_lengths: (documents,) int32, sentences of each,
    0 where cleaning left nothing. sentence_lengths: (sentences,) int32, tokens of each, never 0. token_ids: (tokens,)
    uint16, or uint32 for a vocabulary beyond 65,536. word_starts: (tokens,) uint8. misaligned: (documents,) int32,
    words of each that begin within a token. text_bytes: UTF-8 bytes taken in.
    """

    hashes: npt.NDArray[np.uint64]
    document_lengths: npt.NDArray[np.int32]
    sentence_lengths: npt.NDArray[np.int32]
    token_ids: npt.NDArray[Any]
    word_starts: npt.NDArray[np.uint8]
    misaligned: npt.NDArray[np.int32]
    text_bytes: int


class EncodeChunk:
    """Clean, split, hash and tokenise documents, in one of `processes` that share the memory for caches.

    segment: finds the words of Chinese text in place of the configured segmenter.
    """

    def __init__(
        self, tokenizer: Tokenizer, config: TextConfig, processes: int = 1, segment: words.Segmenter | None = None
    ) -> None:
        self._tokenizer, self._config, self._processes, self._segment = tokenizer, config, processes, segment

    def __call__(self, documents: Sequence[Lines]) -> Chunk:
        """The documents (raw lines of each) as one chunk."""
        divided = [sentences_of(lines, self._config) for lines in documents]
        encoding = self._encode([sentence for document in divided for sentence in document])
        kept = encoding.lengths > 0  # text of nothing but characters that the tokenizer removes
        document_of = np.repeat(np.arange(len(divided)), [len(document) for document in divided])
        short = self._tokenizer.vocab_size <= LARGEST_SHORT_ID
        return Chunk(
            np.array([_hash(document) for document in divided], dtype=np.uint64),
            np.bincount(document_of[kept], minlength=len(divided)).astype(np.int32),
            encoding.lengths[kept],
            encoding.token_ids.astype(np.uint16 if short else np.uint32),
            encoding.word_starts,
            np.bincount(document_of, encoding.misaligned, minlength=len(divided)).astype(np.int32),
            _bytes(documents),
        )

    def _encode(self, sentences: Sequence[str]) -> Encoding:
        self._tokenizer.share_cache(self._processes)
        segment = self._segment or words.segmenter(self._config.segmenter)
        sentences = segmented(sentences, self._config)
        encoded = [self._tokenizer.encode_sentences(some, segment) for some in _slices(sentences)]
        return Encoding(*map(np.concatenate, zip(*encoded, strict=True)))


def segmented(sentences: Sequence[str], config: TextConfig) -> Sequence[str]:
    """The sentences as their writing would have them, where spaces in them only mark words."""
    return [words.SegmentedText.of(text) for text in sentences] if config.segmenter == "spaces" else sentences


def _slices(sentences: Sequence[str]) -> Iterator[Sequence[str]]:
    """The sentences in rows of at most SLICE_CHARACTERS, or of one longer sentence; at least one row."""
    start = characters = 0
    for stop, sentence in enumerate(sentences):
        if characters + len(sentence) > SLICE_CHARACTERS and stop > start:
            yield sentences[start:stop]
            start, characters = stop, 0
        characters += len(sentence)
    yield sentences[start:]


def _hash(sentences: Sequence[str]) -> int:
    digest = hashlib.blake2b("\n".join(sentences).encode("utf-8", "surrogatepass"), digest_size=8)
    return int.from_bytes(digest.digest(), "little")


def _bytes(documents: Sequence[Lines]) -> int:
    return sum(
        len(line) if line.isascii() else len(line.encode("utf-8", "surrogatepass"))
        for lines in documents
        for line in lines
    )


class CountChunk:
    """Count the words of documents, to train a vocabulary on."""

    def __init__(
        self, config: TokenizerConfig, text_config: TextConfig, segment: words.Segmenter | None = None
    ) -> None:
        self._config, self._text_config, self._segment = config, text_config, segment

    def __call__(self, documents: Sequence[Lines]) -> Counter[str]:
        """How often each word occurs."""
        counts: Counter[str] = Counter()
        lines = segmented([clean(line) for document in documents for line in document], self._text_config)
        segment = self._segment or words.segmenter(self._text_config.segmenter)
        if self._config.kind == "byte_bpe":
            count_byte_words(lines, counts, segment)
        elif self._config.kind == "unigram":
            count_unigram_words(lines, self._config.lowercase, counts, segment)
        else:
            count_words(lines, self._config.lowercase, counts)
        return counts
