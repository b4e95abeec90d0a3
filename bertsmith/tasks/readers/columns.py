"""Tagged words in columns, as CoNLL published them: a word and its tag on a line, a blank line between sentences.

The first column is the word and the last one the tag, whatever stands between. Tags are BIO (IOB2), BIOES or IOB1;
IOB1, where a B only parts two entities of one type that touch, is rewritten as BIO.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from bertsmith import console
from bertsmith.tasks.examples import TaggedExample
from bertsmith.tasks.readers.files import in_place, lines
from bertsmith.text.han import is_han
from bertsmith.text.skipped import Skipped

DOCUMENT_START = "-DOCSTART-"
OUTSIDE = "O"
_TAG = re.compile(r"(?:([BIES])-(.+)|O)", re.DOTALL)
_NUMBERED = re.compile(r"(.|.+?(?=\d$))(\d{1,3})", re.DOTALL)
MOST_SLIPS = 0.01  # of the words: Weibo's own files number a few characters wrongly, or hold halves of an emoji


class Sentence(NamedTuple):
    """place: where it begins. tags: None where the file has no second column."""

    place: str
    words: list[str]
    tags: list[str] | None


def read_columns(path: Path, skipped: Skipped) -> list[TaggedExample]:
    """The sentences of a file of columns; one with a line that cannot be read is counted and left out."""
    sentences = list(_sentences(path, skipped))
    if _numbered(sentences):  # Weibo's files: a character and its place in its word
        sentences = [sentence._replace(words=list(map(_without_number, sentence.words))) for sentence in sentences]
    if _is_iob1(sentences):
        console.say(f"{path}: its tags are IOB1; they are read as BIO")
        sentences = [sentence._replace(tags=to_bio(sentence.tags or [])) for sentence in sentences]
    spaced = not _of_characters(sentences)
    return [
        TaggedExample(
            sentence.place, tuple(sentence.words), None if sentence.tags is None else tuple(sentence.tags), spaced
        )
        for sentence in sentences
    ]


def _sentences(path: Path, skipped: Skipped) -> Iterator[Sentence]:
    """Sentences with their columns checked."""
    rows: list[list[str]] = []
    start = ""
    for place, text in lines(path, skipped):
        cells = in_place(text).split("\t") if "\t" in text else in_place(text).split()
        cells = [cell.strip() for cell in cells]
        if not any(cells) or cells[0] == DOCUMENT_START:
            yield from _sentence(start, rows, skipped)
            rows = []
            continue
        start = start if rows else place
        rows.append(cells)
    yield from _sentence(start, rows, skipped)


def _sentence(place: str, rows: list[list[str]], skipped: Skipped) -> Iterator[Sentence]:
    if not rows:
        return
    width = len(rows[0])
    if any(len(row) != width for row in rows):
        skipped.add("a sentence whose lines do not all have as many columns", place)
    elif not all(row[0] for row in rows):
        skipped.add("a sentence with a line without a word", place)
    elif width == 1:
        yield Sentence(place, [row[0] for row in rows], None)
    elif any(_TAG.fullmatch(row[-1]) is None for row in rows):
        wrong = next(row[-1] for row in rows if _TAG.fullmatch(row[-1]) is None)
        skipped.add(f"a sentence with {wrong[:40]!r} where a tag such as O, B-X or I-X belongs", place)
    else:
        yield Sentence(place, [row[0] for row in rows], [row[-1] for row in rows])


def _numbered(sentences: Sequence[Sentence]) -> bool:
    """Whether behind the characters stand their places in their words, counted from 0, with few slips."""
    words = slips = 0
    for sentence in sentences:
        last = -1
        for word in sentence.words:
            if not (match := _NUMBERED.fullmatch(word)):
                return False
            place = int(match[2])
            slips += len(match[1]) != 1 or place not in (0, last + 1)
            words, last = words + 1, place
    return words > 0 and slips <= MOST_SLIPS * words


def _without_number(word: str) -> str:
    match = _NUMBERED.fullmatch(word)
    return match[1] if match else word


def _of_characters(sentences: Sequence[Sentence]) -> bool:
    """Whether the words are the characters of a text without spaces: most of them single Han characters."""
    words = sum(len(sentence.words) for sentence in sentences)
    han = sum(len(word) == 1 and is_han(word) for sentence in sentences for word in sentence.words)
    return 2 * han > words


def _is_iob1(sentences: Sequence[Sentence]) -> bool:
    """Whether an entity that touches none before it may begin with I, and no entity ends with E or S.

    In BIO every entity begins with B, in IOB1 only one behind another of its type. A file is IOB1 when its entities
    begin with I where IOB1 wants that, and never begin with B there.
    """
    outside_i = outside_b = 0
    for sentence in sentences:
        previous = OUTSIDE
        for tag in sentence.tags or ():
            prefix, kind = tag[0], tag[2:]
            if prefix in "ES":
                return False
            touches = previous[2:] == kind and kind != ""
            outside_i += prefix == "I" and not touches
            outside_b += prefix == "B" and not touches
            previous = tag
    return outside_i > 0 and outside_b == 0


def to_bio(tags: Sequence[str]) -> list[str]:
    """IOB1 as BIO: every entity begins with B."""
    found: list[str] = []
    previous = OUTSIDE
    for tag in tags:
        begins = tag[0] == "I" and previous[2:] != tag[2:]
        found.append(f"B-{tag[2:]}" if begins else tag)
        previous = tag
    return found
