"""Entities as spans of characters in JSON lines: CLUENER's form, and lists of start, end and label."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from bertsmith.tasks.examples import TaggedExample
from bertsmith.tasks.readers.columns import OUTSIDE, read_columns
from bertsmith.tasks.readers.files import in_place, json_lines
from bertsmith.text.han import contains_han
from bertsmith.text.skipped import Skipped

_FIELDS = ("entities", "label", "labels", "spans")
_WORD = re.compile(r"\w+|[^\w\s]")
_MISTAKE = "entities that are no {type: {text: [[first, last]]}} and no list of [start, end, label]"


class Span(NamedTuple):
    """Characters text[start:end] of one kind."""

    start: int
    end: int
    kind: str


def read_tagged(path: Path, skipped: Skipped) -> list[TaggedExample]:
    """Tagged words: JSON lines with spans where the name ends in .json or .jsonl, columns otherwise."""
    if path.name.removesuffix(".gz").endswith((".json", ".jsonl")):
        return read_spans(path, skipped)
    return read_columns(path, skipped)


def read_spans(path: Path, skipped: Skipped) -> list[TaggedExample]:
    """One text on a line: {"text", "entities": [{"start", "end", "label"}]}, or [start, end, label], ends excluded.

    CLUENER's {"text", "label": {type: {entity: [[first, last]]}}} has last characters included. A text that holds
    Chinese is tagged by character, any other by word. Of entities that overlap, the longest is kept and the others
    are counted; one that begins or ends inside a word is widened to it, and counted.
    """
    found: list[TaggedExample] = []
    for place, values in json_lines(path, skipped):
        text = values.get("text")
        if not isinstance(text, str) or not text.strip():
            skipped.add("no text in field 'text'", place)
            continue
        text = in_place(text)
        spans = _spans(values)
        if spans is None:
            skipped.add(_MISTAKE, place)
            continue
        if any(not 0 <= span.start < span.end <= len(text) for span in spans):
            skipped.add("an entity outside its text", place)
            continue
        if _misplaced(values, text):
            skipped.add("an entity that is not where the file says", place)
            continue
        spaced = not contains_han(text)
        edges = [match.span() for match in _WORD.finditer(text)] if spaced else [(i, i + 1) for i in range(len(text))]
        words = tuple(text[start:end] for start, end in edges)
        unlabelled = not any(field in values for field in _FIELDS)
        tags = None if unlabelled else _tags(edges, _apart(spans, place, skipped), place, skipped)
        found.append(TaggedExample(place, words, tags, spaced))
    return found


def _spans(values: dict[str, Any]) -> list[Span] | None:
    """The spans of a record; None when they cannot be understood."""
    entities = next((values[field] for field in _FIELDS if field in values), [])
    found = list(_of_types(entities)) if isinstance(entities, dict) else _of_list(entities)
    return None if found is None or None in found else [span for span in found if span is not None]


def _of_list(entities: object) -> list[Span | None] | None:
    if not isinstance(entities, list):
        return None
    found: list[Span | None] = []
    for entity in entities:
        if isinstance(entity, dict):
            entity = [entity.get("start"), entity.get("end"), entity.get("label")]
        found.append(_span(entity, 0) if isinstance(entity, list) and len(entity) == 3 else None)
    return found


def _of_types(entities: dict[str, Any]) -> Iterator[Span | None]:
    for kind, texts in entities.items():
        if not isinstance(texts, dict):
            yield None
            continue
        for places in texts.values():
            for place in places if isinstance(places, list) else [None]:
                yield _span([*place, kind], 1) if isinstance(place, list) and len(place) == 2 else None


def _span(values: Sequence[Any], included: int) -> Span | None:
    start, end, kind = values
    if not isinstance(start, int) or not isinstance(end, int) or not isinstance(kind, str) or not kind.strip():
        return None
    return Span(start, end + included, kind.strip())


def _misplaced(values: dict[str, Any], text: str) -> bool:
    """Whether CLUENER's form names an entity's text that does not stand at its place."""
    entities = values.get("label")
    if not isinstance(entities, dict):
        return False
    return any(
        text[first : last + 1] != in_place(entity)
        for texts in entities.values()
        for entity, places in texts.items()
        for first, last in places
    )


def _apart(spans: list[Span], place: str, skipped: Skipped) -> list[Span]:
    """The spans in their order, of those that overlap only the longest."""
    kept: list[Span] = []
    for span in sorted(set(spans), key=lambda span: (span.start - span.end, span)):
        if any(span.start < other.end and other.start < span.end for other in kept):
            skipped.note("an entity that overlaps a longer one is left out", place)
        else:
            kept.append(span)
    return sorted(kept)


def _tags(edges: list[tuple[int, int]], spans: list[Span], place: str, skipped: Skipped) -> tuple[str, ...]:
    """BIO tags of the words at `edges`, each (start, end)."""
    tags = [OUTSIDE] * len(edges)
    for span in spans:
        inside = [i for i, (start, end) in enumerate(edges) if start < span.end and span.start < end]
        if not inside or any(tags[i] != OUTSIDE for i in inside):
            skipped.note("an entity without a word of its own is left out", place)
            continue
        if edges[inside[0]][0] < span.start or span.end < edges[inside[-1]][1]:
            skipped.note("an entity that begins or ends inside a word; widened to it", place)
        tags[inside[0]] = f"B-{span.kind}"
        for i in inside[1:]:
            tags[i] = f"I-{span.kind}"
    return tuple(tags)
