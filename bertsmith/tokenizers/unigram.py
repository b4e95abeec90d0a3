"""ALBERT's tokenizer: the likeliest pieces of each word under a unigram model (SentencePiece).

Sources: Kudo 2018 (arXiv 1804.10959), Lan et al. 2019. The ids are those of Hugging Face's AlbertTokenizer as of
transformers 5, or of XLMRobertaTokenizer and CamembertTokenizer for vocabularies with RoBERTa's special tokens.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tokenizers import Tokenizer as Backend
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors

from bertsmith.store import fingerprint, write_atomic
from bertsmith.tokenizers.backed import BackedTokenizer
from bertsmith.tokenizers.tokenizer import Surface, ids_as_list, mask_setting

ALBERT_NAMES = ("<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]")
ROBERTA_NAMES = ("<pad>", "<unk>", "<s>", "</s>", "<mask>")
SPACE = "▁"

Piece = tuple[str, float]


class Spelling(NamedTuple):
    """What happens to text before it is divided.

    quotes: `` and '' become ". keep_accents, lowercase: as AlbertTokenizer's settings. charsmap: SentencePiece's table
    of characters, checked (spiece.check_charsmap), or nothing.
    """

    quotes: bool
    keep_accents: bool
    lowercase: bool
    charsmap: bytes

    def normalizer(self) -> normalizers.Sequence:
        """The same in the `tokenizers` library."""
        steps: list[Any] = []
        if self.quotes:
            steps += [normalizers.Replace("``", '"'), normalizers.Replace("''", '"')]
        if not self.keep_accents:
            steps += [normalizers.NFKD(), normalizers.StripAccents()]
        if self.lowercase:
            steps.append(normalizers.Lowercase())
        if self.charsmap:
            steps.append(normalizers.Precompiled(self.charsmap))
        return normalizers.Sequence(steps)


class UnigramTokenizer(BackedTokenizer):
    """Pieces with the logarithms of their probabilities; "▁" begins a word."""

    kind = "unigram"

    def __init__(self, pieces: Sequence[Piece], spelling: Spelling, tokenizer_class: str, model: bytes = b"") -> None:
        """`pieces` by id. `model`: the SentencePiece file it came from, kept for saving; nothing of it is used.

        Raises BertsmithError for a vocabulary without the special tokens of ALBERT or RoBERTa.
        """
        tokens = [piece for piece, _ in pieces]
        roberta = "<mask>" in tokens
        super().__init__(tokens, ROBERTA_NAMES if roberta else ALBERT_NAMES)
        self.separators = 2 if roberta else 1
        self.pieces, self.spelling, self.tokenizer_class, self.model = list(pieces), spelling, tokenizer_class, model
        self.lowercase = spelling.lowercase

    @cached_property
    def fingerprint(self) -> str:
        """Equal for tokenizers that give equal ids on every text."""
        spelling = self.spelling._replace(charsmap=b"")._asdict() | {"charsmap": fingerprint(self._charsmap_text())}
        return fingerprint("unigram", [list(piece) for piece in self.pieces], str(sorted(spelling.items(), key=str)))

    def _charsmap_text(self) -> str:
        return base64.b64encode(self.spelling.charsmap).decode()

    def surface(self, token_id: int) -> Surface:
        """The token without the sign of a space; IndexError outside 0 to vocab_size - 1."""
        token = self.id_to_token(token_id)
        if token_id in self.special:
            return Surface(token, True)
        return Surface(token.removeprefix(SPACE) or token, token.startswith(SPACE))

    def decode(self, token_ids: Sequence[int] | np.ndarray) -> str:
        """The pieces side by side, with spaces where they tell of them; special tokens by their names."""
        names = [
            f" {self.id_to_token(number)} " if number in self.special else self.id_to_token(number).replace(SPACE, " ")
            for number in ids_as_list(token_ids)
        ]
        return " ".join("".join(names).split())

    def encode_plain(self, chunk: str) -> tuple[list[int], list[int]] | None:
        """Ids of a word of visible ASCII characters, a space before it or not, and the character each begins with."""
        if not self._keeps_ascii or "``" in chunk or "''" in chunk:
            return None
        word = chunk.removeprefix(" ")
        before = len(chunk) - len(word)
        ids: list[int] = []
        places: list[int] = []
        place = before - 1  # of the sign of the space
        for piece in self.plain_model.tokenize(SPACE + (word.lower() if self.lowercase else word)):
            ids.append(piece.id)
            places.append(max(place, before))
            place += len(piece.value)
        return ids, places

    @cached_property
    def _keeps_ascii(self) -> bool:
        """Whether nothing but capitals changes of visible ASCII characters: so it is with all published tables."""
        visible = "".join(map(chr, range(33, 127))).replace("`", "").replace("'", "")
        expected = visible.lower() if self.lowercase else visible
        normalise = self.spelling.normalizer().normalize_str
        return normalise(visible) == expected and all(normalise(quote) == quote for quote in "`'")

    def build_backend(self, plain: bool) -> Backend:
        """The same tokenizer in the library. With `plain` the special tokens have names that no text can hold."""
        # A word never holds a space, so a token with one in its name is never found in a text.
        hidden = set(self.special_tokens) if plain else set()
        pieces = [(f"{token} " if token in hidden else token, score) for token, score in self.pieces]
        backend = Backend(models.Unigram(pieces, unk_id=self.special.unk, byte_fallback=False))
        backend.normalizer = self.spelling.normalizer()  # type: ignore[assignment]
        backend.pre_tokenizer = pre_tokenizers.Sequence(  # type: ignore[assignment]
            [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(replacement=SPACE, prepend_scheme="always")]
        )
        backend.decoder = decoders.Metaspace(replacement=SPACE, prepend_scheme="always")  # type: ignore[assignment]
        if not plain:
            backend.post_processor = self._template()  # type: ignore[assignment]
        return backend

    def _template(self) -> processors.TemplateProcessing:
        cls, sep = self.special_tokens[2], self.special_tokens[3]
        second = 0 if self.separators == 2 else 1  # RoBERTa has one token type
        return processors.TemplateProcessing(
            single=f"{cls}:0 $A:0 {sep}:0",
            pair=f"{cls}:0 $A:0 {sep}:0 {f'{sep}:0 ' if self.separators == 2 else ''}$B:{second} {sep}:{second}",
            special_tokens=[(cls, self.special.cls), (sep, self.special.sep)],
        )

    def save(self, path: str | Path, max_length: int) -> None:
        """Write tokenizer.json, tokenizer_config.json and, where there is one, spiece.model into an existing folder."""
        folder = Path(path)
        pad, unk, cls, sep, mask = self.special_tokens
        settings: dict[str, Any] = {"tokenizer_class": self.tokenizer_class}
        if self.tokenizer_class == "AlbertTokenizer":
            spelling = self.spelling
            settings |= {"do_lower_case": spelling.lowercase, "keep_accents": spelling.keep_accents}
        settings |= {
            "model_max_length": max_length,
            "bos_token": cls,
            "cls_token": cls,
            "eos_token": sep,
            "sep_token": sep,
            "pad_token": pad,
            "unk_token": unk,
            "mask_token": mask_setting(mask),
        }
        if self.model:
            name = "spiece.model" if cls == "[CLS]" else "sentencepiece.bpe.model"
            write_atomic(folder / name, self.model)
        write_atomic(folder / "tokenizer.json", self.typed_backend.to_str(pretty=True).encode())
        write_atomic(folder / "tokenizer_config.json", (json.dumps(settings, indent=2) + "\n").encode())

    def __getstate__(self) -> dict[str, Any]:
        """Only what defines the tokenizer: caches are rebuilt in the process that uses them."""
        return {
            "pieces": self.pieces,
            "spelling": self.spelling,
            "tokenizer_class": self.tokenizer_class,
            "model": self.model,
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        UnigramTokenizer.__init__(self, **state)
