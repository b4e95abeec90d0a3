"""Word boundaries of text that is written without spaces: Chinese.

Sources: ymcui/Chinese-BERT-wwm (words from a segmenter, threads 4, 13, 17); jieba's dictionary through rjieba, whose
output equals jieba's and which is about thirty times faster.
"""

from __future__ import annotations

import logging
import pickle
import re
from collections.abc import Callable
from functools import cache, partial

from bertsmith.errors import UsageError
from bertsmith.text import han
from bertsmith.text.config import SegmenterName
from bertsmith.text.traditional import simplify

Segmenter = Callable[[str], list[str]]

_WORDS_AND_SPACES = re.compile("[^ ]+| +")
# Between Han characters, and around their punctuation, a space only marks the end of a word.
_PUNCTUATION = "\u3001-\u303f\uff01-\uff65"
_CHINESE = han.CHARACTERS + _PUNCTUATION + "\u2014\u2018-\u201d\u2026\u00b7"
_BOUNDARY = re.compile(f"(?<=[{_CHINESE}]) +(?=[{_CHINESE}])|(?<=[{_PUNCTUATION}]) +| +(?=[{_PUNCTUATION}])")
_HAN_OR_REST = re.compile(f"[{han.CHARACTERS}]|[^{han.CHARACTERS}]+")


def segmenter(name: SegmenterName = "auto") -> Segmenter:
    """The function that cuts a text into words; the words concatenate to the text. "spaces" reads `SegmentedText`.

    Raises UsageError when the named segmenter is not installed.
    """
    resolved = resolve(name)
    if resolved == "characters":
        return segment_characters
    if resolved == "spaces":
        return segment_at_spaces
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


class SegmentedText(str):
    """Text that knows its words: what was written with a space between all words, as it is without these spaces.

    Spaces beside other writing belong to the text: "玩 DOTA 的 人" is "玩 DOTA 的人" in the words 玩, DOTA, 的, 人.
    """

    words: list[str]

    @classmethod
    def of(cls, spaced: str) -> SegmentedText:
        """A text whose words are separated by spaces."""
        parts = _BOUNDARY.split(spaced) if han.contains_han(spaced) else [spaced]
        text = cls("".join(parts))
        text.words = [word for part in parts for word in _WORDS_AND_SPACES.findall(part)]
        return text


def segment_at_spaces(text: str) -> list[str]:
    """The words of a `SegmentedText`; of other text what stands between spaces, and the spaces."""
    return text.words if isinstance(text, SegmentedText) else _WORDS_AND_SPACES.findall(text)


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


def name_of(segment: Segmenter) -> str:
    """What a segmenter of the caller's own is known by."""
    kind = segment if hasattr(segment, "__qualname__") else type(segment)
    return f"{kind.__module__}.{getattr(kind, '__qualname__', '')}"


def is_importable(segment: Segmenter | None) -> bool:
    """Whether worker processes can have the segmenter: they import it, and know no script."""
    try:
        return b"__main__" not in pickle.dumps(segment)
    except (pickle.PicklingError, AttributeError, TypeError):
        return False
