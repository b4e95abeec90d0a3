"""BERT's tokenizer: WordPiece over normalised words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer as Backend

from bertsmith.store import fingerprint
from bertsmith.text import words
from bertsmith.text.han import contains_han, is_han
from bertsmith.tokenizers import folder
from bertsmith.tokenizers.alignment import word_beginnings
from bertsmith.tokenizers.chunks import WordChunks, split_at_han
from bertsmith.tokenizers.detokenize import join_tokens
from bertsmith.tokenizers.tokenizer import SPECIAL_TOKENS, Encoding, Surface, Tokenizer, ids_as_list
from bertsmith.tokenizers.wordpiece import WordPieces, WordSplitter, is_continuation, replace_surrogates, without_prefix


class WordPieceTokenizer(Tokenizer):
    """BERT's tokenizer over one vocabulary; the ids are those of Hugging Face's BertTokenizer.

    A word is what stands between white space and punctuation, with all its pieces; Han characters, which are tokens
    of their own, are grouped into words by a segmenter (bertsmith.text.words).
    """

    kind = "wordpiece"

    def __init__(
        self, tokens: Sequence[str], lowercase: bool, strip_accents: bool | None = None, added: int = 0
    ) -> None:
        """`strip_accents` follows `lowercase` when None. The last `added` tokens are words put to a published
        vocabulary. Raises BertsmithError for an unusable vocabulary.
        """
        super().__init__(tokens, SPECIAL_TOKENS)
        self.lowercase = lowercase
        self.strip_accents = lowercase if strip_accents is None else strip_accents
        self.added = added

    @cached_property
    def fingerprint(self) -> str:
        """Equal for tokenizers that give equal ids on every text."""
        return fingerprint("wordpiece", self.tokens, self.lowercase, self.strip_accents)

    def surface(self, token_id: int) -> Surface:
        """The token without the sign that it continues a word; IndexError outside 0 to vocab_size - 1."""
        token = self.id_to_token(token_id)
        return Surface(without_prefix(token), not is_continuation(token))

    # --- words added to a published vocabulary ---

    def extended(self, new_words: Sequence[str]) -> WordPieceTokenizer:
        """This tokenizer with further whole words at the end; the ids of all others stay."""
        added = self.added + len(new_words)
        return WordPieceTokenizer([*self.tokens, *new_words], self.lowercase, self.strip_accents, added)

    def pieces_of_added(self) -> dict[int, list[int]]:
        """Id of each added word -> the ids of the pieces that stood for it before: what its embedding starts from."""
        old = len(self.tokens) - self.added
        pieces = WordPieces({token: i for i, token in enumerate(self.tokens[:old])}, self.special.unk)
        return {number: pieces.encode(self.tokens[number]) for number in range(old, len(self.tokens))}

    # --- sentences to ids ---

    @cached_property
    def _cache(self) -> WordChunks:
        splitter = WordSplitter(self.lowercase, self.strip_accents)
        return WordChunks(splitter, WordPieces(self._ids, self.special.unk))

    def share_cache(self, processes: int) -> None:
        """Bound the memory of this process' cache so that `processes` of them stay within that of a few."""
        self._cache.share(processes)

    @cached_property
    def _is_start(self) -> np.ndarray:
        """(vocab_size,) uint8: 0 for pieces that continue a word; none begins one, as punctuation stands alone."""
        return np.array([not is_continuation(token) for token in self.tokens], np.uint8)

    def encode_sentences(self, sentences: Sequence[str], segment: words.Segmenter = words.segment) -> Encoding:
        """Ids and word starts of sentences, without special tokens; "[MASK]" in the text is plain text here."""
        with_han = [contains_han(sentence) for sentence in sentences]
        rows = [split_at_han(s) if han else s.split(" ") for s, han in zip(sentences, with_han, strict=True)]
        found = self._cache.look_up(list(chain.from_iterable(rows)))
        word_starts = self._is_start[found.token_ids]
        sizes = [len(row) for row in rows]
        if any(with_han):
            mixed = [i for i, han in enumerate(with_han) if han]
            continues = np.zeros(len(found.han), bool)
            continues[np.repeat(with_han, sizes)] = _continues(
                [sentences[i] for i in mixed], [rows[i] for i in mixed], segment
            )
            continues[1:] &= found.han[1:] & found.han[:-1]
            word_starts[found.ends[continues] - 1] = 0  # a Han character is one token
        stops = found.ends[np.cumsum(sizes) - 1] if rows else np.zeros(0, np.int64)
        lengths = np.diff(stops, prepend=0).astype(np.int32)
        return Encoding(found.token_ids, word_starts, lengths, np.zeros(len(lengths), np.int32))

    # --- one text with offsets ---

    @cached_property
    def _plain_backend(self) -> Backend:
        return folder.build_backend(self.tokens, self.lowercase, self.strip_accents)

    @cached_property
    def _typed_backend(self) -> Backend:
        backend = folder.build_backend(self.tokens, self.lowercase, self.strip_accents)
        backend.add_special_tokens(list(SPECIAL_TOKENS))
        return backend

    def encode_with_offsets(
        self, text: str, specials: bool = False, segment: words.Segmenter = words.segment
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """token_ids (tokens,) uint32, word_starts (tokens,) uint8, offsets (tokens, 2) int32 in characters of the text.

        With `specials`, "[MASK]" and its like typed by a user become special tokens; without, they are plain text.
        """
        text = replace_surrogates(text)
        backend = self._typed_backend if specials else self._plain_backend
        encoding = backend.encode(text, add_special_tokens=False)
        token_ids = np.array(encoding.ids, np.uint32)
        offsets = np.array(encoding.offsets, np.int32).reshape(-1, 2)
        word_starts = self._is_start[token_ids]
        if contains_han(text):
            starts = set(np.cumsum([0, *map(len, segment(text))]).tolist())
            for i in range(1, len(token_ids)):
                begin, end = offsets[i]
                touching = offsets[i - 1, 1] == begin and is_han(text[begin - 1])
                if touching and end == begin + 1 and is_han(text[begin]) and int(begin) not in starts:
                    word_starts[i] = 0
        return token_ids, word_starts, offsets

    def decode(self, token_ids: Sequence[int] | np.ndarray) -> str:
        """Readable text: pieces joined, no space between Han characters or before closing punctuation."""
        return join_tokens([self.id_to_token(i) for i in ids_as_list(token_ids)])

    # --- folders ---

    def save(self, path: str | Path, max_length: int) -> None:
        """Write vocab.txt, tokenizer.json and tokenizer_config.json into an existing folder.

        Hugging Face's AutoTokenizer loads it as a BertTokenizer that truncates at `max_length` tokens.
        """
        folder.write(
            Path(path), self.tokens, self.lowercase, self.strip_accents, SPECIAL_TOKENS, max_length, self.added
        )

    def __getstate__(self) -> dict[str, Any]:
        """Only what defines the tokenizer: caches are rebuilt in the process that uses them."""
        return {
            "tokens": self.tokens,
            "lowercase": self.lowercase,
            "strip_accents": self.strip_accents,
            "added": self.added,
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        WordPieceTokenizer.__init__(self, **state)


def _continues(sentences: Sequence[str], rows: Sequence[Sequence[str]], segment: words.Segmenter) -> np.ndarray:
    """(chunks of the rows,) bool: no word of the segmenter begins where the chunk begins.

    The chunks of each row concatenate to its sentence, and so do the segmenter's words.
    """
    begins = word_beginnings(sentences, segment)
    sizes = _lengths(chain.from_iterable(rows))
    return ~begins[np.cumsum(sizes) - sizes]


def _lengths(texts: Iterable[str]) -> np.ndarray:
    return np.fromiter(map(len, texts), np.int64)
