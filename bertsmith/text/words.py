"""Word boundaries of text that is written without spaces: Chinese.

Sources: ymcui/Chinese-BERT-wwm (words from a segmenter, threads 4, 13, 17); jieba's dictionary through rjieba, whose
output equals jieba's and which is about thirty times faster.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from functools import cache, partial

from bertsmith.errors import UsageError
from bertsmith.text import han
from bertsmith.text.config import SegmenterName
from bertsmith.text.traditional import simplify

Segmenter = Callable[[str], list[str]]

_HAN_OR_REST = re.compile(f"[{han.CHARACTERS}]|[^{han.CHARACTERS}]+")


def segmenter(name: SegmenterName = "auto") -> Segmenter:
    """The function that cuts a text into words; the words concatenate to the text.

    Raises UsageError when the named segmenter is not installed.
    """
    resolved = resolve(name)
    if resolved == "characters":
        return segment_characters
    try:
        return partial(_segment, _load(resolved))
    except ImportError:
        raise UsageError(f"text.segmenter: {name} is not installed; `pip install {name}` or choose another") from None


def resolve(name: SegmenterName = "auto") -> SegmenterName:
    """The segmenter that a name stands for on this machine: "auto" is the best that is installed."""
    if name != "auto":
        return name
    for candidate in ("rjieba", "jieba"):
        try:
            _load(candidate)
        except ImportError:
            continue
        return candidate
    return "characters"


def segment(text: str) -> list[str]:
    """The words of a text by the default segmenter; they concatenate to the text."""
    return _default()(text)


@cache
def _default() -> Segmenter:
    return segmenter("auto")


def segment_characters(text: str) -> list[str]:
    """Every Han character a word of its own; the text between them stays whole."""
    return _HAN_OR_REST.findall(text)


@cache
def _load(name: str) -> Segmenter:
    if name == "rjieba":
        import rjieba

        return rjieba.cut
    import jieba

    jieba.setLogLevel(logging.WARNING)  # it reports the loading of its dictionary on stderr
    return jieba.lcut


def _segment(cut: Segmenter, text: str) -> list[str]:
    """Cut the simplified form, whose characters stand one to one for those of the text, and return the text's own."""
    simplified = simplify(text)
    words = cut(simplified)
    if simplified == text:
        return words
    pieces, start = [], 0
    for word in words:
        stop = start + len(word)
        pieces.append(text[start:stop])
        start = stop
    return pieces
