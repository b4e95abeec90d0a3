"""The texts that a predictor is asked about: checked, and cleaned as a corpus is."""

from __future__ import annotations

import re

from bertsmith.errors import UsageError
from bertsmith.text.cleaning import clean

_SURROGATE = re.compile("[\ud800-\udfff]")


def clean_text(text: object, index: int, count: int, kind: str = "text") -> str:
    """The text cleaned as a corpus is; UsageError with one line for what no tokenizer can read."""
    where = which(index, count, kind)
    if not isinstance(text, str):
        raise UsageError(f"{where} must be a string, not {type(text).__name__}")
    if "\0" in text:
        raise UsageError(f"{where} holds a NUL character at position {text.index(chr(0)) + 1}: is it a text?")
    if half := _SURROGATE.search(text):
        raise UsageError(
            f"{where} is not valid Unicode: lone surrogate U+{ord(half.group()):04X} at position {half.start() + 1}"
        )
    cleaned = clean(text)
    if not cleaned:
        raise UsageError(f"{where} is empty" if kind == "text" else f"{where} holds an empty text")
    return cleaned


def clean_pair(texts: object, index: int, count: int) -> tuple[str, str]:
    """Two texts, each cleaned; UsageError where they are not two."""
    if isinstance(texts, str) or not isinstance(texts, tuple | list) or len(texts) != 2:
        raise UsageError(f"pair {index + 1} must be two texts")
    first, second = (clean_text(text, index, count, "pair") for text in texts)
    return first, second


def which(index: int, count: int, kind: str = "text") -> str:
    """How a message names one text of many."""
    return f"the {kind}" if count == 1 else f"{kind} {index + 1} of {count}"
