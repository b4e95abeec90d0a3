"""What byte-level BPE and unigram share: words given to the `tokenizers` library once, and remembered."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Sequence
from functools import cached_property
from itertools import chain

import numpy as np
from tokenizers import AddedToken
from tokenizers import Tokenizer as Backend
from tokenizers.models import Model

from bertsmith.text import words
from bertsmith.text.han import contains_han
from bertsmith.tokenizers.alignment import join_han, place_tokens, starts_of_plain
from bertsmith.tokenizers.chunks import Placed, PlacedChunks
from bertsmith.tokenizers.tokenizer import Encoding, Tokenizer
from bertsmith.tokenizers.wordpiece import replace_surrogates

_CHUNKS = re.compile(" ?[^ ]+| +")
_OTHER_SPACE = re.compile(r"[^\S ]|  | $")
_PLAIN = re.compile(" ?[!-~]+")


def split_at_spaces(text: str) -> list[str]:
    """Chunks that concatenate to the text, each beginning with the space before it; at least one.

    Text with other white space than single spaces between words, which cleaned text has none of, stays whole:
    byte-level BPE looks across it.
    """
    return _CHUNKS.findall(text) if text and not _OTHER_SPACE.search(text) else [text]


class BackedTokenizer(Tokenizer):
    """A tokenizer whose ids of a text are those of its chunks side by side, each found by the library once."""

    @abstractmethod
    def build_backend(self, plain: bool) -> Backend:
        """The same tokenizer in the library. With `plain` no text can become a special token."""

    @abstractmethod
    def encode_plain(self, chunk: str) -> tuple[Sequence[int], Sequence[int]] | None:
        """Ids of a word of visible ASCII characters, a space before it or not, and the character each begins with.

        None where only the whole of the library tells. Its model alone takes half the time of its whole.
        """

    @cached_property
    def _plain_backend(self) -> Backend:
        return self.build_backend(plain=True)

    @cached_property
    def typed_backend(self) -> Backend:
        """The tokenizer as it is saved: special tokens in a text are recognised, the mask with the space before it."""
        backend = self.build_backend(plain=False)
        names = dict.fromkeys(self.special_tokens)
        # As published: the first word after a mask keeps its space, the one before gives it up.
        backend.add_special_tokens(
            [AddedToken(name, lstrip=name == self.mask_token, normalized=False, special=True) for name in names]
        )
        return backend

    @cached_property
    def _cache(self) -> PlacedChunks:
        return PlacedChunks(self._encode_chunk)

    @cached_property
    def plain_model(self) -> Model:
        """What divides a word in the library, without what comes before it."""
        return self._plain_backend.model

    def _encode_chunk(self, chunk: str) -> Placed:
        found = self.encode_plain(chunk) if _PLAIN.fullmatch(chunk) else None
        if found is not None:
            return found[0], found[1], starts_of_plain(chunk, found[1])
        text = replace_surrogates(chunk)
        encoding = self._plain_backend.encode(text, add_special_tokens=False)
        return encoding.ids, *place_tokens(text, encoding.offsets)

    def share_cache(self, processes: int) -> None:
        """Bound the memory of this process' cache so that `processes` of them stay within that of a few."""
        self._cache.share(processes)

    def encode_sentences(self, sentences: Sequence[str], segment: words.Segmenter = words.segment) -> Encoding:
        """Ids and word starts of sentences, without special tokens; a special token in the text is plain text here."""
        rows = [split_at_spaces(sentence) for sentence in sentences]
        token_ids, places, word_starts, ends = self._cache.look_up(list(chain.from_iterable(rows)))
        if any(map(contains_han, sentences)):
            misaligned = join_han(sentences, places, word_starts, segment)
        else:
            misaligned = np.zeros(len(sentences), np.int32)
        stops = ends[np.cumsum([len(row) for row in rows]) - 1] if rows else np.zeros(0, np.int64)
        return Encoding(token_ids, word_starts, np.diff(stops, prepend=0).astype(np.int32), misaligned)

    def encode_with_offsets(
        self, text: str, specials: bool = False, segment: words.Segmenter = words.segment
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """token_ids (tokens,) uint32, word_starts (tokens,) uint8, offsets (tokens, 2) int32 in characters of the text.

        With `specials`, "<mask>" and its like typed by a user become special tokens; without, they are plain text.
        White space belongs to no token's offsets.
        """
        text = replace_surrogates(text)
        backend = self.typed_backend if specials else self._plain_backend
        encoding = backend.encode(text, add_special_tokens=False)
        token_ids = np.array(encoding.ids, np.uint32)
        places, starts = place_tokens(text, encoding.offsets)
        word_starts = np.array(starts, np.uint8)
        if contains_han(text):
            join_han([text], np.array(places, np.int64), word_starts, segment)
        offsets = [_without_space(text, start, stop) for start, stop in encoding.offsets]
        return token_ids, word_starts, np.array(offsets, np.int32).reshape(-1, 2)


def _without_space(text: str, start: int, stop: int) -> tuple[int, int]:
    while start < stop and text[start].isspace():
        start += 1
    while stop > start and text[stop - 1].isspace():
        stop -= 1
    return start, stop
