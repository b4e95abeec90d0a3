"""BERT's WordPiece: normalisation, words, and the longest pieces first.

Source: google-research/bert `tokenization.py`, in the form of Hugging Face's BertTokenizer (BertNormalizer,
BertPreTokenizer, WordPiece), to which the ids are equal.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from tokenizers import normalizers, pre_tokenizers

LONGEST_WORD = 100  # characters; a longer word is one [UNK]
CONTINUATION = "##"

_SURROGATE = re.compile("[\ud800-\udfff]")
_ASCII_WORDS = re.compile(r"[A-Za-z0-9]+|[!-/:-@\[-`{-~]")
_WORDS = pre_tokenizers.BertPreTokenizer()


def is_continuation(token: str) -> bool:
    """Whether a token continues a word."""
    return token.startswith(CONTINUATION) and len(token) > len(CONTINUATION)


def without_prefix(token: str) -> str:
    """The characters that a token stands for."""
    return token[len(CONTINUATION) :] if is_continuation(token) else token


class WordSplitter:
    """Cuts text into the words that WordPiece divides further: lower-cased, without accents, punctuation alone."""

    def __init__(self, lowercase: bool, strip_accents: bool) -> None:
        self.lowercase = lowercase
        self._normalizer = normalizers.BertNormalizer(
            clean_text=True, handle_chinese_chars=True, strip_accents=strip_accents, lowercase=lowercase
        )

    def split(self, text: str) -> list[str]:
        """The normalised words of a text, in order."""
        if text.isascii() and text.isprintable():  # the same words, ten times faster
            return _ASCII_WORDS.findall(text.lower() if self.lowercase else text)
        normalised = self._normalizer.normalize_str(replace_surrogates(text))
        return [word for word, _ in _WORDS.pre_tokenize_str(normalised)]


def replace_surrogates(text: str) -> str:
    """The text, of the same length, with half characters (lone surrogates) replaced by U+FFFD, which BERT ignores."""
    return _SURROGATE.sub("\ufffd", text) if not text.isascii() else text


class WordPieces:
    """Divides a word into the longest pieces of a vocabulary, from the left."""

    def __init__(self, ids: Mapping[str, int], unknown: int) -> None:
        self._firsts = dict(ids)
        self._continuations = {without_prefix(token): number for token, number in ids.items() if is_continuation(token)}
        self._longest = max(map(len, ids), default=1)
        self._unknown = [unknown]

    def encode(self, word: str) -> list[int]:
        """The ids of a word's pieces; the id of [UNK] alone where no division exists or the word is too long."""
        whole = self._firsts.get(word)
        if len(word) > LONGEST_WORD:
            return self._unknown
        if whole is not None:
            return [whole]
        ids: list[int] = []
        pieces, start, size = self._firsts, 0, len(word)
        while start < size:
            for stop in range(min(size, start + self._longest), start, -1):
                found = pieces.get(word[start:stop])
                if found is not None:
                    ids.append(found)
                    break
            else:
                return self._unknown
            pieces, start = self._continuations, stop
        return ids
