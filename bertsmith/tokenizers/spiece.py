"""SentencePiece's model files, read without running anything of theirs.

Source: google/sentencepiece, `sentencepiece_model.proto` (protocol buffers' wire format) and `normalizer.cc` for the
table of characters, a double-array trie (s-yata/darts-clone) in front of the texts it leads to.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from bertsmith.errors import BertsmithError

UNIGRAM = 1  # TrainerSpec.ModelType
NORMAL, UNKNOWN, CONTROL, USER_DEFINED = 1, 2, 3, 4  # SentencePiece.Type


class PieceModel(NamedTuple):
    """The pieces with their scores and types, by id, and the table of characters ("" = none)."""

    pieces: list[tuple[str, float]]
    types: list[int]
    charsmap: bytes


def parse(data: bytes) -> PieceModel:
    """The content of a model file; BertsmithError for anything that is not a unigram model."""
    pieces: list[tuple[str, float]] = []
    types: list[int] = []
    charsmap, model_type = b"", UNIGRAM
    for field, value in _fields(data):
        if field == 1:
            piece, score, kind = _piece(_bytes(value))
            pieces.append((piece, score))
            types.append(kind)
        elif field == 2:
            model_type = next((v for f, v in _fields(_bytes(value)) if f == 3), UNIGRAM)
        elif field == 3:
            # A message that comes in parts counts as one.
            charsmap = next((_bytes(v) for f, v in _fields(_bytes(value)) if f == 2), charsmap)
    if model_type != UNIGRAM:
        raise BertsmithError("is a SentencePiece model, but not a unigram one")
    if not pieces:
        raise BertsmithError("is not a SentencePiece model: it holds no pieces")
    check_charsmap(charsmap)
    return PieceModel(pieces, types, charsmap)


def _piece(data: bytes) -> tuple[str, float, int]:
    text, score, kind = "", 0.0, NORMAL
    for field, value in _fields(data):
        if field == 1:
            try:
                text = _bytes(value).decode("utf-8")
            except UnicodeDecodeError:
                raise BertsmithError("is not a SentencePiece model: a piece is not UTF-8 text") from None
        elif field == 2:
            score = struct.unpack("<f", _bytes(value))[0]
        elif field == 3 and isinstance(value, int):
            kind = value
    if not text or not np.isfinite(score):
        raise BertsmithError(f"piece {text!r} with score {score} cannot be used")
    return text, score, kind


def _bytes(value: bytes | int) -> bytes:
    if isinstance(value, int):
        raise BertsmithError("is not a SentencePiece model: a field is of another type")
    return value


def _fields(data: bytes) -> Iterator[tuple[int, bytes | int]]:
    """Number and value of each field of a message; numbers of variable length as int, all else as bytes."""
    place = 0
    while place < len(data):
        tag, place = _number(data, place)
        wire = tag & 7
        if wire == 0:
            value, place = _number(data, place)
            yield tag >> 3, value
            continue
        if wire == 2:
            size, place = _number(data, place)
        elif wire in (1, 5):
            size = 8 if wire == 1 else 4
        else:
            raise BertsmithError("is not a SentencePiece model")
        if place + size > len(data):
            raise BertsmithError("is not a SentencePiece model, or ends too early")
        yield tag >> 3, data[place : place + size]
        place += size


def _number(data: bytes, place: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 64, 7):
        if place >= len(data):
            raise BertsmithError("is not a SentencePiece model, or ends too early")
        byte = data[place]
        value |= (byte & 0x7F) << shift
        place += 1
        if byte < 0x80:
            return value, place
    raise BertsmithError("is not a SentencePiece model")


def check_charsmap(table: bytes) -> None:
    """BertsmithError unless every step through the trie stays within it and ends at a text.

    The library that follows it does not look, and would end the process.
    """
    if not table:
        return
    size = int.from_bytes(table[:4], "little")
    if len(table) < 4 or size % 4 or not 4 <= size <= len(table) - 5 or table[-1]:
        raise BertsmithError("its table of characters is damaged")
    units = np.frombuffer(table, "<u4", size // 4, 4).astype(np.int64)
    texts = table[4 + size :]
    inner = units[units < 2**31]
    places = np.flatnonzero(units < 2**31)
    targets = places ^ ((inner >> 10) << ((inner & 0x200) >> 6))
    leads_out = (targets | 0xFF) >= len(units)
    ends = targets[((inner & 0x100) > 0) & ~leads_out]
    values = units[ends] & 0x7FFFFFFF
    boundaries = np.frombuffer(texts, np.uint8) & 0xC0 != 0x80
    try:
        texts.decode("utf-8")
        whole = not leads_out.any() and bool((values < len(texts)).all()) and bool(boundaries[values].all())
    except UnicodeDecodeError:
        whole = False
    if not whole:
        raise BertsmithError("its table of characters is damaged")
