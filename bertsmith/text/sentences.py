"""Sentences of a paragraph: Chinese by its full stops, English by syntok, and only where something is to be split."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from typing import Any

from bertsmith.text import han
from bertsmith.text.cleaning import clean
from bertsmith.text.config import TextConfig

LONGEST_PARAGRAPH = 10_000  # characters given to syntok at once

_CLOSING = "”’」』）》】\"')\\]"
# A full stop of Chinese with the quotes that close after it, or ? ! of Latin type after a Han character.
_HAN = re.compile(f"[{han.CHARACTERS}]")
_CHINESE_END = re.compile(rf"(?:[。！？｡]|(?<=[{han.CHARACTERS}”])[!?])[。！？｡!?…{_CLOSING}]*")
# What may be the end of an English sentence: a stop, then white space, then something that can begin a sentence.
_ENGLISH_END = re.compile(r"[.!?…][\"'”’)\]]*\s+(?=[\"'“‘(\[]*[^\Wa-z_])")
# Full stops that end no sentence, or hardly ever: initials, titles and other abbreviations before a name or number.
_ABBREVIATION = re.compile(
    r"(?:^|[\s(\"'“‘\[.-])(?:[A-Z]|Mr|Mrs|Ms|Dr|St|Prof|Rev|Sr|Jr|Lt|Col|Gen|Capt|Sgt|Gov|Sen|Rep|Hon|Mt|Ft|No|Nos|Vol|"
    r"vs|v|pp|p|cf|c|ca|eg|e\.g|i\.e|al|approx|Fig|Op|op|b|d|r|fl)\.\s*$"
)


def split(text: str) -> list[str]:
    """The sentences of a cleaned paragraph, in order; together they are the paragraph but for spaces between them."""
    sentences: list[str] = []
    for part in _split_chinese(text) if han.contains_han(text) else [text]:
        sentences += _split_english(part) if _may_hold_several(part) else [part]
    return [sentence for sentence in sentences if sentence]


def _is_chinese(text: str) -> bool:
    """Whether more than a tenth of the text is Han: Latin abbreviations in it then end no sentence."""
    return len(_HAN.findall(text)) * 10 > len(text)


def sentences_of(lines: Iterable[str], config: TextConfig) -> list[str]:
    """Clean the lines of a document and split those that hold several sentences; empty ones disappear."""
    cleaned = [line for line in map(clean, lines) if line]
    if config.sentences == "line":
        return cleaned
    return [sentence for line in cleaned for sentence in split(line)]


def _split_chinese(text: str) -> list[str]:
    parts, start = [], 0
    for match in _CHINESE_END.finditer(text):
        parts.append(text[start : match.end()].strip())
        start = match.end()
    parts.append(text[start:].strip())
    return [part for part in parts if part]


def _may_hold_several(text: str) -> bool:
    if not text.isascii() and _is_chinese(text):
        return False
    return any(not _is_abbreviated(text, match) for match in _ENGLISH_END.finditer(text))


def _is_abbreviated(text: str, match: re.Match[str]) -> bool:
    before = text[max(0, match.start() - 12) : match.start() + 1]
    return before.endswith(".") and _ABBREVIATION.search(before) is not None


@cache
def _splitter() -> tuple[Any, Any]:
    from syntok import segmenter
    from syntok.tokenizer import Tokenizer

    return segmenter, Tokenizer(replace_not_contraction=False)


def _split_english(text: str) -> list[str]:
    segmenter, tokenizer = _splitter()
    sentences = []
    for part in _bounded(text):
        tokens = tokenizer.tokenize(part)
        starts = [sentence[0].offset for sentence in segmenter.split(tokens) if sentence]
        starts = [0, *starts[1:], len(part)] if starts else [0, len(part)]
        sentences += [part[a:b].strip() for a, b in zip(starts, starts[1:], strict=False)]
    return sentences


def _bounded(text: str) -> list[str]:
    """Cut a very long paragraph at possible sentence ends, so that the time stays proportional to its length."""
    parts, start, end = [], 0, 0
    for match in _ENGLISH_END.finditer(text):
        if match.end() - start > LONGEST_PARAGRAPH and end > start:
            parts.append(text[start:end])
            start = end
        end = match.end()
    return [*parts, text[start:]]
