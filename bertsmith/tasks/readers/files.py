"""What every reader needs of a file: its lines, its JSON lines, or its JSON, with the place of each."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from bertsmith.errors import UsageError
from bertsmith.text.cleaning import clean
from bertsmith.text.lines import text_lines
from bertsmith.text.skipped import Skipped
from bertsmith.text.sources import Source, Stream, UnusableFile, open_source

LARGEST_JSON = 2**30  # bytes of one JSON document; the largest that is published here has 50 MB
_SURROGATE = re.compile("[\ud800-\udfff]")
_WIDE_MARKS = (b"\xff\xfe", b"\xfe\xff", b"\x00\x00\xfe\xff")


class Line(NamedTuple):
    """A line without its end, and where it stands: "file:line"."""

    place: str
    text: str


class Record(NamedTuple):
    """A JSON object of a line, and where it stands."""

    place: str
    values: dict[str, Any]


@contextmanager
def opened(path: Path) -> Iterator[Stream]:
    """The bytes of a file, unpacked where its name ends in .gz. UsageError naming it when it cannot be read."""
    try:
        with open_source(Source(path, "txt", path.suffix.lower() == ".gz", 0)) as stream:
            yield stream
    except UnusableFile as error:
        raise UsageError(f"{path}: {error}") from error
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror})") from error


def lines(path: Path, skipped: Skipped) -> Iterator[Line]:
    """Every line, blank ones too; those that are not UTF-8 text are counted."""
    with opened(path) as stream:
        for number, text in text_lines(stream, str(path), skipped):
            yield Line(f"{path}:{number}", text.rstrip("\r\n"))


def json_lines(path: Path, skipped: Skipped) -> Iterator[Record]:
    """The objects of a file of JSON lines; lines that hold none are counted. Blank lines are nothing."""
    for place, text in lines(path, skipped):
        if not text or text.isspace():
            continue
        try:
            record: Any = json.loads(text)
        except (ValueError, RecursionError):
            skipped.add("not JSON", place)
            continue
        if isinstance(record, dict):
            yield Record(place, record)
        else:
            skipped.add("not a JSON object", place)


def json_document(path: Path) -> Any:
    """The whole file as one JSON value, its numbers with a point as they are written (text).

    Raises UsageError naming the line where it is not JSON.
    """
    with opened(path) as stream:
        data = stream.read(LARGEST_JSON + 1)
    if len(data) > LARGEST_JSON:
        raise UsageError(f"{path}: is longer than {LARGEST_JSON >> 20} MiB")
    if data.startswith(_WIDE_MARKS):
        raise UsageError(f"{path}: the file is UTF-16 or UTF-32; convert it to UTF-8")
    try:
        return json.loads(data.decode("utf-8-sig"), parse_float=str)
    except json.JSONDecodeError as error:
        raise UsageError(f"{path}:{error.lineno}: not JSON ({error.msg})") from error
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise UsageError(f"{path}:{line}: not UTF-8") from error
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path}: not JSON that can be read ({type(error).__name__})") from error


def text_in(values: dict[str, Any], field: str) -> str | None:
    """The text of a field, cleaned as a corpus is; None where there is none."""
    text = values.get(field)
    return (clean(text) or None) if isinstance(text, str) else None


def label_in(values: dict[str, Any], field: str) -> str | None:
    """A label as text: published files write some as numbers. None where there is none; "" is none."""
    label = values.get(field)
    if isinstance(label, bool):
        return "true" if label else "false"
    if isinstance(label, int | float):
        return str(label)
    return (label.strip() or None) if isinstance(label, str) else None


def in_place(text: str) -> str:
    """The text with as many characters, each where it was, but none that no encoder accepts (half a surrogate)."""
    return _SURROGATE.sub("\ufffd", text)


def known_label(label: str | None, labels: tuple[str, ...], place: str, skipped: Skipped) -> bool:
    """Whether a label is one of those of the task, or there is none; an unknown one is counted."""
    if label is None or not labels or label in labels:
        return True
    skipped.add(f"unknown label {label[:40]!r} (known: {shortened(labels)})", place)
    return False


def shortened(names: tuple[str, ...]) -> str:
    """At most eight names in words."""
    return ", ".join(names) if len(names) <= 8 else f"{', '.join(names[:7])}, ... {len(names)} in all"
