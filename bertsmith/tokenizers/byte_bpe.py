"""RoBERTa's tokenizer: byte-pair encoding over bytes, so that no text is unknown.

Sources: GPT-2 (openai/gpt-2, `encoder.py`) for the bytes and the words, Liu et al. 2019, section 4.4; the ids are those
of Hugging Face's RobertaTokenizer without a space put before the text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer as Backend
from tokenizers import decoders, models, pre_tokenizers, processors

from bertsmith.errors import BertsmithError
from bertsmith.store import fingerprint, write_atomic
from bertsmith.tokenizers.backed import BackedTokenizer
from bertsmith.tokenizers.tokenizer import Surface, ids_as_list, mask_setting

FIRST_TOKENS = ("<s>", "<pad>", "</s>", "<unk>")  # ids 0 to 3; <mask> comes last
MASK = "<mask>"
SPECIAL_NAMES = ("<pad>", "<unk>", "<s>", "</s>", MASK)
VOCABULARY, MERGES = "vocab.json", "merges.txt"  # on disk
SPACE = "Ġ"  # the sign of the byte 32

Merge = tuple[str, str]


def byte_signs() -> list[str]:
    """The printable character that stands for each byte: itself, or one from U+0100 on where it cannot be seen."""
    seen = [*range(33, 127), *range(161, 173), *range(174, 256)]
    signs = {byte: chr(byte) for byte in seen}
    hidden = (byte for byte in range(256) if byte not in signs)
    signs |= {byte: chr(256 + i) for i, byte in enumerate(hidden)}
    return [signs[byte] for byte in range(256)]


# GPT-2's words, for a word of visible ASCII characters with a space before it or not.
_WORDS = re.compile("'s|'t|'re|'ve|'m|'ll|'d| ?[A-Za-z]+| ?[0-9]+| ?[^ A-Za-z0-9]+")
MOST_REMEMBERED = 200_000  # words within chunks, as many as make about 50 MB

_BYTES = {sign: byte for byte, sign in enumerate(byte_signs())}


class ByteBPETokenizer(BackedTokenizer):
    """A vocabulary of byte sequences, and the merges that make them."""

    kind = "byte_bpe"
    separators = 2
    lowercase = False

    def __init__(self, tokens: Sequence[str], merges: Sequence[Merge]) -> None:
        """`merges` in the order of their rank. Raises BertsmithError where a merge or a byte has no token."""
        super().__init__(tokens, SPECIAL_NAMES)
        self.merges = list(merges)
        for number, (left, right) in enumerate(self.merges, start=1):
            for piece in (left, right, left + right):
                if piece not in self._ids:
                    raise BertsmithError(f"merge {number} ({left!r} {right!r}) needs {piece!r}, which has no id")
        lacking = [sign for sign in _BYTES if sign not in self._ids]
        if lacking:
            raise BertsmithError(f"the vocabulary lacks {len(lacking)} of the 256 bytes, first {lacking[0]!r}")

    @cached_property
    def fingerprint(self) -> str:
        """Equal for tokenizers that give equal ids on every text."""
        return fingerprint("byte_bpe", self.tokens, [list(merge) for merge in self.merges])

    def surface(self, token_id: int) -> Surface:
        """The characters of a token, U+FFFD where its bytes are none; IndexError outside 0 to vocab_size - 1."""
        token = self.id_to_token(token_id)
        if token_id in self.special:
            return Surface(token, True)
        text = _decode(token)
        return Surface(text.removeprefix(" ") or text, text.startswith(" "))

    def decode(self, token_ids: Sequence[int] | np.ndarray) -> str:
        """The bytes of the tokens as text; special tokens by their names."""
        ids = ids_as_list(token_ids)
        parts: list[str] = []
        for number in ids:
            token = self.id_to_token(number)
            if number in self.special:
                parts += ["", f" {token} ", ""]
            elif parts and not parts[-1].startswith(" <"):
                parts[-1] += token
            else:
                parts.append(token)
        return " ".join("".join(p if p.startswith(" <") else _decode(p) for p in parts).split())

    def encode_plain(self, chunk: str) -> tuple[list[int], list[int]]:
        """Ids of a word of visible ASCII characters, a space before it or not, and the character each begins with."""
        ids: list[int] = []
        places: list[int] = []
        words = self._words
        start = 0
        for word in _WORDS.findall(chunk):
            found = words.get(word)
            if found is None:
                if len(words) >= MOST_REMEMBERED:
                    words.clear()
                found = words[word] = self._encode_word(word)
            ids += found[0]
            places += [start + place for place in found[1]]
            start += len(word)
        return ids, places

    @cached_property
    def _words(self) -> dict[str, tuple[list[int], list[int]]]:
        return {}

    def _encode_word(self, word: str) -> tuple[list[int], list[int]]:
        pieces = self.plain_model.tokenize(word.replace(" ", SPACE))
        ids: list[int] = []
        places: list[int] = []
        place, space = 0, word.startswith(" ")
        for piece in pieces:
            ids.append(piece.id)
            places.append(max(place, space))
            place += len(piece.value)
        return ids, places

    def build_backend(self, plain: bool) -> Backend:
        """The same tokenizer in the library; its vocabulary alone makes no special token."""
        backend = Backend(models.BPE(self._ids, self.merges, unk_token=None, fuse_unk=False))
        backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)  # type: ignore[assignment]
        backend.decoder = decoders.ByteLevel()  # type: ignore[assignment]
        if not plain:
            backend.post_processor = processors.RobertaProcessing(  # type: ignore[assignment]
                ("</s>", self.special.sep), ("<s>", self.special.cls), trim_offsets=True, add_prefix_space=False
            )
        return backend

    def save(self, path: str | Path, max_length: int) -> None:
        """Write vocab.json, merges.txt, tokenizer.json and tokenizer_config.json into an existing folder."""
        folder = Path(path)
        settings = {
            "tokenizer_class": "RobertaTokenizer",
            "add_prefix_space": False,
            "model_max_length": max_length,
            "bos_token": "<s>",
            "cls_token": "<s>",
            "eos_token": "</s>",
            "sep_token": "</s>",
            "pad_token": "<pad>",
            "unk_token": "<unk>",
            "mask_token": mask_setting(self.mask_token),
        }
        vocabulary = json.dumps({token: i for i, token in enumerate(self.tokens)}, ensure_ascii=False)
        merges = "".join(f"{left} {right}\n" for left, right in self.merges)
        write_atomic(folder / VOCABULARY, (vocabulary + "\n").encode())
        write_atomic(folder / MERGES, ("#version: 0.2\n" + merges).encode())
        write_atomic(folder / "tokenizer.json", self.typed_backend.to_str(pretty=True).encode())
        write_atomic(folder / "tokenizer_config.json", (json.dumps(settings, indent=2) + "\n").encode())

    def __getstate__(self) -> dict[str, Any]:
        """Only what defines the tokenizer: caches are rebuilt in the process that uses them."""
        return {"tokens": self.tokens, "merges": self.merges}

    def __setstate__(self, state: dict[str, Any]) -> None:
        ByteBPETokenizer.__init__(self, **state)


def _decode(signs: str) -> str:
    # A published vocabulary also holds placeholders such as "madeupword0000", which are read like any letters.
    return bytes(_BYTES.get(sign, 63) for sign in signs).decode("utf-8", "replace")
