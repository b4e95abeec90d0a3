"""What every tokenizer offers: sentences to ids and word starts, and back.

The kinds are one file each: `wordpiece_tokenizer`, `byte_bpe` and `unigram`; `Tokenizer.load` finds the right one.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np

from bertsmith.errors import BertsmithError
from bertsmith.text import words

SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


class SpecialIds(NamedTuple):
    """The ids of the special tokens."""

    pad: int
    unk: int
    cls: int
    sep: int
    mask: int


class Encoding(NamedTuple):
    """Sentences laid end to end.

    token_ids: (tokens,) uint32; word_starts: (tokens,) uint8, 1 = starts a word, 0 = continues one;
    lengths: (sentences,) int32, tokens of each sentence; misaligned: (sentences,) int32, Chinese words of each that
    begin within a token, which then belongs to the word before.
    """

    token_ids: np.ndarray
    word_starts: np.ndarray
    lengths: np.ndarray
    misaligned: np.ndarray


class Surface(NamedTuple):
    """A token as a reader sees it: its characters, and whether it stands apart from the token before it."""

    text: str
    apart: bool


class Tokenizer(ABC):
    """A vocabulary and how text becomes its ids. Ids and special tokens are those of the published class."""

    kind: ClassVar[str]
    separators: int = 1  # special tokens between two segments
    lowercase: bool

    def __init__(self, tokens: Sequence[str], special: Sequence[str]) -> None:
        """`special`: pad, unk, cls, sep and mask. Raises BertsmithError for an unusable vocabulary."""
        self.tokens = list(tokens)
        self.special_tokens = tuple(special)
        self._ids = {token: i for i, token in enumerate(self.tokens)}
        if len(self._ids) < len(self.tokens):
            twice = next(token for i, token in enumerate(self.tokens) if self._ids[token] != i)
            raise BertsmithError(f"the vocabulary holds {twice!r} more than once")
        missing = [name for name in self.special_tokens if name not in self._ids]
        if missing:
            raise BertsmithError(f"the vocabulary lacks {', '.join(missing)}")
        self.special = SpecialIds(*(self._ids[name] for name in self.special_tokens))

    @property
    def vocab_size(self) -> int:
        """How many ids there are."""
        return len(self.tokens)

    @property
    def mask_token(self) -> str:
        """What stands for a hidden token in text: [MASK] or <mask>."""
        return self.special_tokens[-1]

    @cached_property
    @abstractmethod
    def fingerprint(self) -> str:
        """Equal for tokenizers that give equal ids on every text."""

    def id_to_token(self, token_id: int) -> str:
        """The token with this id; IndexError outside 0 to vocab_size - 1."""
        if not 0 <= token_id < len(self.tokens):
            raise IndexError(f"id {token_id} is outside the vocabulary of {len(self.tokens)}")
        return self.tokens[token_id]

    @abstractmethod
    def surface(self, token_id: int) -> Surface:
        """The token as a reader sees it; IndexError outside 0 to vocab_size - 1."""

    @abstractmethod
    def share_cache(self, processes: int) -> None:
        """Bound the memory of this process' cache so that `processes` of them stay within that of a few."""

    @abstractmethod
    def encode_sentences(self, sentences: Sequence[str], segment: words.Segmenter = words.segment) -> Encoding:
        """Ids and word starts of sentences, without special tokens; a special token in the text is plain text here."""

    @abstractmethod
    def encode_with_offsets(
        self, text: str, specials: bool = False, segment: words.Segmenter = words.segment
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """token_ids (tokens,) uint32, word_starts (tokens,) uint8, offsets (tokens, 2) int32 in characters of the text.

        With `specials`, "[MASK]" (or "<mask>") and its like typed by a user become special tokens; without, they are
        plain text. White space belongs to no token's offsets.
        """

    @abstractmethod
    def decode(self, token_ids: Sequence[int] | np.ndarray) -> str:
        """Readable text: pieces joined, spaces where the tokens tell of them."""

    @classmethod
    def load(cls, path: str | Path, lowercase: bool | None = None) -> Tokenizer:
        """A tokenizer of the kind that its files tell: a Hugging Face folder, or one file of it.

        Files: tokenizer.json, vocab.txt, vocab.json with merges.txt beside it, spiece.model, sentencepiece.bpe.model.
        `lowercase` overrides what the files say; a bare vocab.txt says nothing, so its casing is guessed and reported.
        Raises UsageError or BertsmithError naming the file.
        """
        # Looked up when called: the kinds, which it knows of, are built on this file.
        return import_module("bertsmith.tokenizers.loading").load_tokenizer(Path(path), lowercase)

    @abstractmethod
    def save(self, path: str | Path, max_length: int) -> None:
        """Write the files of the published class into an existing folder.

        Hugging Face's AutoTokenizer loads it as that class, truncating at `max_length` tokens.
        """


def ids_as_list(token_ids: Iterable[int] | np.ndarray) -> list[int]:
    """Plain whole numbers, from an array or any other row of them."""
    return [int(i) for i in token_ids]


def mask_setting(name: str) -> dict[str, Any]:
    """The mask as tokenizer_config.json tells of it: it takes the space before it."""
    return {"__type": "AddedToken", "content": name, "lstrip": True, "normalized": False, "rstrip": False,
            "single_word": False, "special": True}  # fmt: skip
