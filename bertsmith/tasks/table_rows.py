"""Rows of tables and lines of text files one by one, at bounded memory, each with the place where it starts."""

from __future__ import annotations

import csv
import json
import stat
from collections import Counter, deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from bertsmith.errors import UsageError

DELIMITERS = ",;\t|"
LONGEST_LINE = 2**24  # bytes of a line; also the characters of a record, which may have several
_TOO_LONG = f"longer than {LONGEST_LINE >> 20} MiB"
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_WIDE_MARKS = (b"\xff\xfe", b"\xfe\xff", b"\x00\x00\xfe\xff")


class Row(NamedTuple):
    """One row: where it starts, as "file:line", and its values by column (text, or whatever the file holds)."""

    place: str
    values: dict[str, Any]


class Broken(NamedTuple):
    """A row that cannot be read. torn: the table itself is damaged there, so that later rows may be lost with it."""

    place: str
    reason: str
    torn: bool = False


def require_file(path: Path) -> None:
    """UsageError unless this is a regular file; nothing waits for a pipe that nobody writes to."""
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        raise UsageError(f"{path}: there is no such file") from None
    if not stat.S_ISREG(mode):
        raise UsageError(f"{path}: is not a regular file")


def broken(value: object) -> str:
    """Why a value cannot be read as text, or ""."""
    if not isinstance(value, str):
        return ""
    if "\0" in value:
        return "NUL character"
    return "" if value.isascii() or not any("\ud800" <= c <= "\udfff" for c in value) else "not UTF-8"


# --- lines ---


def lines(path: Path) -> Iterator[tuple[int, str | None]]:
    """(number from 1, line without its end) of a UTF-8 file; None for one above LONGEST_LINE.

    Bytes that are no UTF-8 become lone surrogates, which `broken` finds. UsageError when the file is UTF-16.
    """
    with path.open("rb", buffering=1 << 20) as file:
        number = 0
        while raw := file.readline(LONGEST_LINE + 1):
            number += 1
            if number == 1:
                if raw.startswith(_WIDE_MARKS):
                    raise UsageError(f"{path}: is UTF-16 or UTF-32; convert it to UTF-8")
                raw = raw.removeprefix(_BYTE_ORDER_MARK)
            if len(raw) > LONGEST_LINE and not raw.endswith(b"\n"):
                while raw and not raw.endswith(b"\n"):
                    raw = file.readline(1 << 20)
                yield number, None
                continue
            yield number, raw.removesuffix(b"\n").removesuffix(b"\r").decode("utf-8", "surrogateescape")


def text_lines(path: Path) -> Iterator[str | Broken]:
    """Every line of a text file, blank ones too."""
    for number, line in lines(path):
        yield Broken(f"{path}:{number}", _TOO_LONG) if line is None else line


def _first_line(path: Path) -> str:
    """The first line that is not blank; UsageError when there is none."""
    found = next((line for _, line in lines(path) if line is None or line.strip()), "")
    if not found:
        raise UsageError(f"{path}: is empty" if found == "" else f"{path}: its first line is {_TOO_LONG}")
    return found


# --- CSV and TSV ---


class DelimitedTable:
    """CSV, divided by commas, semicolons or bars, or TSV; quoted fields may hold line ends."""

    def __init__(self, path: Path, tabs: bool) -> None:
        self.path = path
        first = _first_line(path)
        self._delimiter = "\t" if tabs else _delimiter(first)
        # Quotes of a TSV stand for themselves where they do not come in pairs.
        self._quoted = not tabs or not any(isinstance(fields, str) for _, fields in self._records(True))
        line, header = next(self._records(self._quoted), (1, []))
        if isinstance(header, str):
            raise UsageError(f"{path}:{line}: {header}")
        self.columns = tuple(name.strip() for name in header)
        if not any(self.columns):
            raise UsageError(f"{path}: is empty")
        twice = [name for name, count in Counter(self.columns).items() if count > 1 and name]
        if twice:
            raise UsageError(f"{path}:{line}: two columns are called {twice[0]!r}")

    def rows(self, wanted: tuple[str, ...] = ()) -> Iterator[Row | Broken]:
        """Every row, also one of empty fields; a blank line is none."""
        records = self._records(self._quoted)
        next(records)
        for line, fields in records:
            place = f"{self.path}:{line}"
            if isinstance(fields, str):
                yield Broken(place, fields, torn=True)
            elif len(fields) == 1 < len(self.columns) and not fields[0].strip():
                continue
            elif len(fields) != len(self.columns):
                yield Broken(place, f"{len(fields)} fields instead of {len(self.columns)}")
            else:
                yield Row(place, dict(zip(self.columns, fields, strict=True)))

    def _records(self, quoted: bool) -> Iterator[tuple[int, list[str] | str]]:
        """(line it starts at, its fields, or why it has none) of every record but blank lines.

        After a record that cannot be read the next line begins another.
        """
        csv.field_size_limit(LONGEST_LINE)
        taken = _Taken(lines(self.path))
        quoting = csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE
        while True:
            reader = csv.reader(taken, delimiter=self._delimiter, quoting=quoting, strict=quoted)
            try:
                for fields in reader:
                    if fields:
                        yield taken.record[0][0], fields
                    taken.record.clear()
                return
            except csv.Error as error:
                what = "a quoted field is not closed" if "end of data" in str(error) else _lowered(str(error))
                yield taken.record[0][0], what
                taken.start_after_the_first()


class _Taken:
    """The lines that the csv module takes for a record, kept until it is whole, so that they can be taken again.

    Only line feeds end a line: the csv module's own notion of lines would divide fields that hold lone returns.
    """

    def __init__(self, source: Iterator[tuple[int, str | None]]) -> None:
        self._source = source
        self._again: deque[tuple[int, str | None]] = deque()
        self._characters = 0
        self.record: list[tuple[int, str | None]] = []

    def __iter__(self) -> _Taken:
        return self

    def __next__(self) -> str:
        if not self.record:
            self._characters = 0
        item = self._again.popleft() if self._again else next(self._source)
        self.record.append(item)
        line = item[1]
        self._characters += LONGEST_LINE if line is None else len(line) + 1
        if line is None or self._characters > LONGEST_LINE:
            raise csv.Error(_TOO_LONG if len(self.record) == 1 else "a quoted field is not closed")
        return line + "\n"

    def start_after_the_first(self) -> None:
        """Give the lines of the record out again, but not its first."""
        self._again.extendleft(reversed(self.record[1:]))
        self.record.clear()


def _delimiter(header: str) -> str:
    """What divides the header most often; a comma where nothing does."""
    return max(DELIMITERS, key=header.count)


def _lowered(text: str) -> str:
    return text[:1].lower() + text[1:]


# --- JSON lines ---


class JsonTable:
    """One object per line; or one array of objects, which is read as a whole."""

    columns: tuple[str, ...] = ()

    def __init__(self, path: Path) -> None:
        self.path = path
        self._array = _first_line(path).lstrip().startswith("[")

    def rows(self, wanted: tuple[str, ...] = ()) -> Iterator[Row | Broken]:
        """Every line that is not blank, or every item of the array."""
        for place, value in self._values():
            if isinstance(value, dict):
                yield Row(place, value)
            else:
                reason = value if isinstance(value, Broken) else Broken(place, "not a JSON object")
                yield Broken(place, "not JSON") if value is None else reason

    def _values(self) -> Iterator[tuple[str, Any]]:
        if self._array:
            try:
                values = json.loads(self.path.read_bytes().decode("utf-8-sig", "surrogateescape"))
            except (ValueError, RecursionError) as error:
                raise UsageError(f"{self.path}: is no JSON ({_lowered(str(error))})") from error
            yield from ((f"{self.path}, item {number}", value) for number, value in enumerate(values, 1))
            return
        for number, line in lines(self.path):
            place = f"{self.path}:{number}"
            if line is None:
                yield place, Broken(place, _TOO_LONG)
            elif line.strip():
                try:
                    yield place, json.loads(line)
                except (ValueError, RecursionError):
                    yield place, None
