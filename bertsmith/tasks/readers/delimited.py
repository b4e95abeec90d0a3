"""Tab-separated files without quoting, as GLUE, SNLI, QQP and ChnSentiCorp are published."""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from bertsmith.config.types import did_you_mean
from bertsmith.errors import UsageError
from bertsmith.tasks.examples import TextExample
from bertsmith.tasks.readers.files import Line, known_label, lines
from bertsmith.text.cleaning import clean
from bertsmith.text.skipped import Skipped

Reader = Callable[[Path, Skipped], list[TextExample]]


class Columns(NamedTuple):
    """What the columns of a file are called: each by any of several names. second: () for single texts.

    no_label: what stands in the column of labels where people did not agree on one.
    """

    first: tuple[str, ...]
    second: tuple[str, ...]
    label: tuple[str, ...]
    identifier: tuple[str, ...] = ()
    no_label: tuple[str, ...] = ()


class Places(NamedTuple):
    """At which places of a row things stand; None where the file has no such column. width: columns of a row."""

    width: int
    first: int
    second: int | None
    label: int | None
    identifier: int | None = None
    no_label: tuple[str, ...] = ()


def with_header(columns: Columns, labels: tuple[str, ...] = ()) -> Reader:
    """A reader of files whose first line names their columns. A label outside `labels` (() = any) is counted."""

    def read(path: Path, skipped: Skipped) -> list[TextExample]:
        rows = lines(path, skipped)
        header = next(rows, None)
        if header is None:
            raise UsageError(f"{path}: is empty")
        return list(examples(rows, places_in(header, columns), labels, skipped))

    return read


def without_header(places: Places, labels: tuple[str, ...] = (), rename: dict[str, str] | None = None) -> Reader:
    """A reader of files that begin with their first row; `rename`: labels as the file writes them to ours."""

    def read(path: Path, skipped: Skipped) -> list[TextExample]:
        return list(examples(lines(path, skipped), places, labels, skipped, rename))

    return read


def places_in(header: Line, columns: Columns) -> Places:
    """Where the wanted columns are. UsageError naming the one that is missing; that of the labels may be missing."""
    names = [name.strip() for name in header.text.split("\t")]
    second = _place(names, columns.second, header.place) if columns.second else None
    label = next((names.index(name) for name in columns.label if name in names), None)
    if label is None and (near := difflib.get_close_matches(columns.label[0], names, 1, cutoff=0.8)):
        raise UsageError(f"{header.place}: no column {columns.label[0]!r}, but one that is called {near[0]!r}")
    identifier = next((names.index(name) for name in columns.identifier if name in names), None)
    return Places(len(names), _place(names, columns.first, header.place), second, label, identifier, columns.no_label)


def _place(names: list[str], wanted: Sequence[str], place: str) -> int:
    for name in wanted:
        if name in names:
            return names.index(name)
    shown = ", ".join(name[:40] for name in names[:12])
    raise UsageError(f"{place}: no column {wanted[0]!r}{did_you_mean(wanted[0], names)} (the first line has: {shown})")


def examples(
    rows: Iterator[Line],
    places: Places,
    labels: tuple[str, ...],
    skipped: Skipped,
    rename: dict[str, str] | None = None,
) -> Iterator[TextExample]:
    """The examples of rows; what holds none is counted. Blank lines are nothing."""
    for row in rows:
        cells = row.text.split("\t")
        if not row.text.strip():
            continue
        if len(cells) != places.width:
            skipped.add(f"{len(cells)} columns instead of {places.width}", row.place)
            continue
        label = None if places.label is None else cells[places.label].strip() or None
        if label in places.no_label:
            skipped.add("no label that people agreed on", row.place)
            continue
        label = (rename or {}).get(label, label) if label is not None else None
        if not known_label(label, labels, row.place, skipped):
            continue
        example = _example(row.place, cells, places, label)
        if label is not None and "" in (example.first, example.second):
            skipped.add("no text", row.place)
        else:
            yield example


def _example(place: str, cells: list[str], places: Places, label: str | None) -> TextExample:
    """An unlabelled row is kept even without text: its answer is wanted in a submission."""
    named = label is None and places.identifier is not None
    name = cells[places.identifier].strip() if named and places.identifier is not None else place
    second = None if places.second is None else clean(cells[places.second])
    return TextExample(name, clean(cells[places.first]), second, label)


def scores(reader: Reader, low: float, high: float) -> Reader:
    """The same examples with their labels as numbers; one that is none, or is out of range, is counted."""

    def read(path: Path, skipped: Skipped) -> list[TextExample]:
        found: list[TextExample] = []
        for example in reader(path, skipped):
            if example.label is None:
                found.append(example)
                continue
            value = _number(str(example.label))
            if value is None:
                skipped.add("the score is not a finite number", example.name)
            elif not low <= value <= high:
                skipped.add(f"the score is outside {low:g} to {high:g}", example.name)
            else:
                found.append(example._replace(label=value))
        return found

    return read


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
