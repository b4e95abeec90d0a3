"""CLUE's and FewCLUE's classification tasks: JSON lines with a text or a pair and a label."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bertsmith.tasks.examples import TextExample
from bertsmith.tasks.readers.delimited import Reader
from bertsmith.tasks.readers.files import json_lines, known_label, label_in, text_in
from bertsmith.tasks.readers.glue import BINARY, NO_AGREEMENT
from bertsmith.text.cleaning import clean
from bertsmith.text.skipped import Skipped

TRUTH = ("false", "true")
SENTIMENT = ("Negative", "Positive")


def records(first: str, second: str | None, labels: tuple[str, ...]) -> Reader:
    """A reader of JSON lines with these fields, and "label" (absent in test parts); label "-" is counted."""

    def read(path: Path, skipped: Skipped) -> list[TextExample]:
        found: list[TextExample] = []
        for place, values in json_lines(path, skipped):
            texts = text_in(values, first), text_in(values, second) if second else None
            if texts[0] is None or (second and texts[1] is None):
                field = first if texts[0] is None else second
                skipped.add(f"no text in field {field!r}", place)
                continue
            _add(found, TextExample("", texts[0], texts[1], None), place, values, labels, skipped)
        return found

    return read


def _add(
    found: list[TextExample],
    example: TextExample,
    place: str,
    values: dict[str, Any],
    labels: tuple[str, ...],
    skipped: Skipped,
) -> None:
    """Add the example with its label and name, or count why it has none."""
    label = label_in(values, "label")
    if label in NO_AGREEMENT:
        skipped.add("no label that people agreed on", place)
    elif known_label(label, labels, place, skipped):
        identifier = label_in(values, "id") if label is None else None
        found.append(example._replace(name=identifier or place, label=label))


def read_csl(path: Path, skipped: Skipped) -> list[TextExample]:
    """CSL: are all of these the keywords of the abstract? The keywords are the first text."""
    found: list[TextExample] = []
    for place, values in json_lines(path, skipped):
        keywords = values.get("keyword")
        abstract = text_in(values, "abst")
        if not isinstance(keywords, list) or not keywords or not all(isinstance(word, str) for word in keywords):
            skipped.add("no list of keywords in field 'keyword'", place)
        elif abstract is None:
            skipped.add("no text in field 'abst'", place)
        else:
            first = clean("；".join(keywords))
            _add(found, TextExample("", first, abstract, None), place, values, BINARY, skipped)
    return found


def read_cluewsc(path: Path, skipped: Skipped) -> list[TextExample]:
    """CLUEWSC2020: does the pronoun mean that noun? Both are marked in the text: _noun_ and [pronoun]."""
    found: list[TextExample] = []
    for place, values in json_lines(path, skipped):
        marked = _marked(values)
        if marked is None:
            skipped.add("the two words are not where the file says", place)
        else:
            _add(found, TextExample("", clean(marked), None, None), place, values, TRUTH, skipped)
    return found


def _marked(values: dict[str, Any]) -> str | None:
    """The text with both words marked; None where one of them is not at its place, or they overlap."""
    text, target = values.get("text"), values.get("target")
    if not isinstance(text, str) or not isinstance(target, dict):
        return None
    spans: list[tuple[int, int, str]] = []
    for number, marks in ((1, "__"), (2, "[]")):
        word, start = target.get(f"span{number}_text"), target.get(f"span{number}_index")
        if not isinstance(word, str) or not word or not isinstance(start, int) or start < 0:
            return None
        if not text.startswith(word, start):
            return None
        spans.append((start, start + len(word), marks))
    (first, first_end, first_marks), (second, second_end, second_marks) = sorted(spans)
    if first_end > second:
        return None
    return "".join(
        (
            text[:first] + first_marks[0] + text[first:first_end] + first_marks[1],
            text[first_end:second] + second_marks[0] + text[second:second_end] + second_marks[1],
            text[second_end:],
        )
    )
