"""Traditional Chinese read as simplified, to find word boundaries only: the text itself is never changed."""

from __future__ import annotations

from functools import cache
from importlib.resources import files


@cache
def _simplified_forms() -> list[int]:
    """Code point -> code point of the simplified form, for the whole basic plane.

    A list that also names the characters that stay: `str.translate` is many times slower where an entry is missing.
    """
    forms = list(range(0x10000))
    forms[0xD800:0xE000] = [0xFFFD] * 0x800  # half characters, which segmenters written in Rust refuse
    lines = files("bertsmith.text").joinpath("traditional.txt").read_text("utf-8").splitlines()
    for line in lines:
        if not line.startswith("#"):
            for traditional, simplified in line.split():
                forms[ord(traditional)] = ord(simplified)
    return forms


def simplify(text: str) -> str:
    """The text with each traditional character replaced by one simplified character: the same length, place by place.

    Segmenters know simplified words: 老師馬上點名 is cut as 老师 / 马上 / 点名, where the raw form loses 馬上.
    """
    return text.translate(_simplified_forms())
