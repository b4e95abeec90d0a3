"""Words against tokens, by character offsets: the same rule for every kind of tokenizer.

A word is a run of letters, a run of digits or one other character, each with the marks on it; Han characters, which
are letters too, are cut into words by a segmenter. White space belongs to the word after it. A token starts a word
when the word begins where the token begins; so a token that reaches over a word's beginning joins both words, and no
word is ever taken in part.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import cache
from itertools import chain

import numpy as np
import regex

from bertsmith.errors import BertsmithError
from bertsmith.text import han
from bertsmith.text.words import Segmenter

# Every Han character is a word here: what segmenters decide is laid over it.
_WORDS = regex.compile(
    rf"\s*(?:[{han.CHARACTERS}]\p{{M}}*|[\p{{L}}--[{han.CHARACTERS}]][[\p{{L}}\p{{M}}]--[{han.CHARACTERS}]]*"
    r"|\p{N}+|\S\p{M}*)",
    regex.V1,
)
_ASCII_WORDS = re.compile(r"\s*(?:[A-Za-z]+|[0-9]+|\S)")


def place_tokens(text: str, offsets: Sequence[tuple[int, int]]) -> tuple[list[int], list[int]]:
    """Per token the character it begins with (behind white space, where it has more) and whether it starts a word.

    `offsets`: (start, stop) of each token in characters of the text, in order. A token that begins within a
    character starts nothing. Han characters count as words of their own.
    """
    pattern = _ASCII_WORDS if text.isascii() else _WORDS
    begins = {_first(match) for match in pattern.finditer(text)}
    places: list[int] = []
    starts: list[int] = []
    size, reached, before = len(text), 0, -1
    for start, stop in offsets:
        place = start
        while place < size and text[place].isspace():
            place += 1
        starts.append(int(place != before and start >= reached and place in begins))
        places.append(min(place, max(size - 1, 0)))
        before, reached = place, stop
    if starts:
        starts[0] = 1
    return places, starts


def starts_of_plain(text: str, places: Sequence[int]) -> list[int]:
    """`place_tokens`, for a word of visible ASCII characters with a space before it or not: which tokens start words.

    places: the character each token begins with, in order.
    """
    starts: list[int] = []
    reached = -1
    for place in places:
        before, here = text[place - 1 : place], text[place]
        within = (before.isalpha() and here.isalpha()) or (before.isdigit() and here.isdigit())
        starts.append(int(place != reached and not within))
        reached = place
    return starts


def _first(match: re.Match[str] | regex.Match[str]) -> int:
    found = match.group()
    return match.start() + len(found) - len(found.lstrip())


def word_beginnings(sentences: Sequence[str], segment: Segmenter) -> np.ndarray:
    """(characters of all sentences + 1,) bool: a word of the segmenter begins here.

    Raises BertsmithError when the words of a sentence do not add up to it.
    """
    word_ends = np.cumsum(_lengths(chain.from_iterable(map(segment, sentences))))
    sentence_ends = np.cumsum(_lengths(sentences))
    begins = np.zeros((sentence_ends[-1] if len(sentence_ends) else 0) + 1, bool)
    begins[word_ends[word_ends < len(begins)]] = True
    last = word_ends[-1] if len(word_ends) else 0
    if last != len(begins) - 1 or not begins[sentence_ends[_lengths(sentences) > 0]].all():
        raise BertsmithError("text.segmenter: the words of a sentence do not add up to the sentence")
    begins[0] = True
    return begins


def join_han(sentences: Sequence[str], places: np.ndarray, word_starts: np.ndarray, segment: Segmenter) -> np.ndarray:
    """Take from `word_starts` what is within a word of the segmenter; returns the words that no token begins.

    places: (tokens,) the character each token begins with, counted through all sentences. word_starts: (tokens,)
    uint8, changed in place. Returns (sentences,) int32: words of Han characters that begin within a token.
    """
    text = "".join(sentences)
    sizes = _lengths(sentences)
    inside = _between_han(text)
    sentence_starts = np.cumsum(sizes) - sizes
    inside[sentence_starts[sentence_starts < len(inside)]] = False
    mixed = [sentence if han.contains_han(sentence) else "" for sentence in sentences]
    begins = np.ones(len(text), bool)
    with_han = np.repeat([bool(sentence) for sentence in mixed], sizes)
    begins[with_han] = word_beginnings([sentence for sentence in mixed if sentence], segment)[:-1]
    word_starts[(inside & ~begins)[places]] = 0
    begun = np.zeros(len(text), bool)
    begun[places[word_starts > 0]] = True
    missed = np.flatnonzero(inside & begins & ~begun)
    return np.bincount(np.searchsorted(np.cumsum(sizes), missed, side="right"), minlength=len(sizes)).astype(np.int32)


@cache
def _han_table() -> np.ndarray:
    table = np.zeros(0x110000, bool)
    for first, last in han.RANGES:
        table[first : last + 1] = True
    return table


def _between_han(text: str) -> np.ndarray:
    """(characters,) bool: this character and the one before it are both Han."""
    is_han = _han_table()[np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)]
    both = is_han.copy()
    both[1:] &= is_han[:-1]
    both[:1] = False
    return both


def _lengths(texts: Iterable[str]) -> np.ndarray:
    return np.fromiter(map(len, texts), np.int64)
