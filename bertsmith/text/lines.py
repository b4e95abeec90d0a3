"""Lines of text files and texts of JSON lines, decoded, at bounded memory."""

from __future__ import annotations

import json
from collections.abc import Iterator

from bertsmith.text.skipped import Skipped
from bertsmith.text.sources import Stream, UnusableFile

LONGEST_LINE = 2**20  # bytes of UTF-8; what is longer continues as another line
LONGEST_JSON_LINE = 16 * 2**20  # bytes
_LATEST_CUT = 2**16  # bytes before the limit in which a space is looked for
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_WIDE_MARKS = (b"\xff\xfe", b"\xfe\xff", b"\x00\x00\xfe\xff")

NumberedText = tuple[int, str]  # the number (from 1) of a line or row, and its text


def text_lines(stream: Stream, name: str, skipped: Skipped) -> Iterator[NumberedText]:
    """The lines of a text file with their line ends; those that are not UTF-8 text are skipped and counted."""
    for number, raw in _bounded_lines(stream, name, skipped):
        if number == 1:
            raw = _without_mark(raw)
        text = _decode(raw, name, number, skipped)
        if text is not None:
            yield number, text


def _bounded_lines(stream: Stream, name: str, skipped: Skipped) -> Iterator[tuple[int, bytes]]:
    """Lines of at most LONGEST_LINE bytes: a longer one is cut into several of the same number and counted once."""
    number, carried, cut = 1, b"", False
    while True:
        raw = stream.readline(LONGEST_LINE + 1 - len(carried))
        if carried:
            raw = carried + raw
        if not raw:
            return
        if len(raw) <= LONGEST_LINE or raw.endswith(b"\n"):
            yield number, raw
            number, carried, cut = number + 1, b"", False
            continue
        if not cut:
            skipped.note("line cut", f"{name}:{number}")
        stop = _cutting_place(raw)
        yield number, raw[:stop]
        carried, cut = raw[stop:], True


def _cutting_place(raw: bytes) -> int:
    """The last space of a line that is too long, or the start of its last character."""
    space = raw.rfind(b" ", LONGEST_LINE - _LATEST_CUT, LONGEST_LINE)
    if space >= 0:
        return space + 1
    stop = LONGEST_LINE
    while stop > LONGEST_LINE - 4 and raw[stop] & 0xC0 == 0x80:
        stop -= 1
    return stop


def _without_mark(raw: bytes) -> bytes:
    if raw.startswith(_WIDE_MARKS):
        raise UnusableFile("the file is UTF-16 or UTF-32; convert it to UTF-8")
    return raw.removeprefix(_BYTE_ORDER_MARK)


def _decode(raw: bytes, name: str, number: int, skipped: Skipped) -> str | None:
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        skipped.add("not UTF-8", f"{name}:{number}")
        return None
    if "\0" in text:
        skipped.add("NUL character", f"{name}:{number}")
        return None
    return text


def jsonl_texts(stream: Stream, name: str, field: str, skipped: Skipped) -> Iterator[NumberedText]:
    """The text of each JSON line; lines without it are skipped and counted."""
    number = 0
    while raw := stream.readline(LONGEST_JSON_LINE + 1):
        number += 1
        if number == 1:
            raw = _without_mark(raw)
        if len(raw) > LONGEST_JSON_LINE and not raw.endswith(b"\n"):
            skipped.add(f"JSON line longer than {LONGEST_JSON_LINE >> 20} MiB", f"{name}:{number}")
            while raw and not raw.endswith(b"\n"):
                raw = stream.readline(LONGEST_LINE)
            continue
        line = _decode(raw, name, number, skipped)
        if line is None or not line or line.isspace():
            continue
        text = _field(line, field)
        if isinstance(text, Mistake):
            skipped.add(text, f"{name}:{number}")
        elif "\0" in text:
            skipped.add("NUL character", f"{name}:{number}")
        else:
            yield number, text


class Mistake(str):
    """Why a line holds no text."""


def _field(line: str, field: str) -> str:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return Mistake("not JSON")
    if not isinstance(value, dict) or field not in value:
        return Mistake(f"no field {field!r} (text.field names the one to read)")
    text = value[field]
    return text if isinstance(text, str) else Mistake(f"field {field!r} is not text")


def cut_text(text: str) -> Iterator[str]:
    """Pieces of at most LONGEST_LINE characters."""
    for start in range(0, len(text), LONGEST_LINE):
        yield text[start : start + LONGEST_LINE]
