"""Everything written for people. It goes to stderr, so that stdout holds results alone."""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.live import Live

PLAIN_SECONDS = 10.0  # how often a line is written where stderr is no terminal (a log file)

_quiet = False
_counts: ContextVar[Counter[str] | None] = ContextVar("_counts", default=None)
_advice: ContextVar[set[str] | None] = ContextVar("_advice", default=None)


def set_quiet(quiet: bool) -> None:
    """Say nothing from now on (every rank but the first); warnings and errors still come."""
    global _quiet
    _quiet = quiet


def is_quiet() -> bool:
    """Whether this process leaves the talking, and the results, to another rank."""
    return _quiet


def say(line: str) -> None:
    """One line of progress or explanation."""
    if not _quiet:
        _write(line)


def advise(line: str) -> None:
    """One line of what else could be typed. Within `advised_once` it is not repeated."""
    given = _advice.get()
    if given is None or line not in given:
        say(line)
    if given is not None:
        given.add(line)


@contextmanager
def advised_once() -> Iterator[None]:
    """The same advice is given once: for work that many runs are part of."""
    token = _advice.set(set())
    try:
        yield
    finally:
        _advice.reset(token)


def warn(line: str) -> None:
    """One line that the user should act on."""
    _write(f"warning: {line}")


def warn_of(count: int, total: int, what: str) -> None:
    """Warn that `count` of `total` things are `what`, if any is. Within `counted` they are added up instead."""
    counts = _counts.get()
    if count and counts is None:
        warn(f"{count:,} of {total:,} {what}")
    elif count and counts is not None:
        counts[what] += count


@contextmanager
def counted() -> Iterator[Counter[str]]:
    """What `warn_of` would have said meanwhile, counted: for work that is done a piece at a time."""
    counts: Counter[str] = Counter()
    token = _counts.set(counts)
    try:
        yield counts
    finally:
        _counts.reset(token)


def error(line: str) -> None:
    """Why the command fails, in one line."""
    _write(f"bertsmith: {line}")


def _write(line: str) -> None:
    try:
        print(line, file=sys.stderr, flush=True)
    except UnicodeEncodeError:  # a terminal or log that is not UTF-8: keep the line, lose the characters
        encoding = sys.stderr.encoding or "ascii"
        print(line.encode(encoding, "backslashreplace").decode(encoding), file=sys.stderr, flush=True)
    except (BrokenPipeError, ValueError):  # whoever read the progress has gone; the work itself goes on
        pass


def table(title: str, rows: Sequence[Sequence[object]], columns: Sequence[str]) -> None:
    """A table on stderr; numbers are aligned to the right."""
    if not _quiet:
        _write(render_table(title, rows, columns))


def render_table(title: str, rows: Sequence[Sequence[object]], columns: Sequence[str]) -> str:
    """The same table as text, for stdout."""
    cells = [list(columns)] + [[_cell(value) for value in row] for row in rows]
    widths = [max(_width(row[i]) for row in cells) for i in range(len(columns))]
    numeric = [bool(rows) and all(isinstance(row[i], int | float) for row in rows) for i in range(len(columns))]
    lines = [title] if title else []
    if any(columns):
        lines += [_join(cells[0], widths, numeric), "  ".join("-" * width for width in widths)]
    lines += [_join(row, widths, numeric) for row in cells[1:]]
    return "\n".join(lines)


def _join(row: Sequence[str], widths: Sequence[int], numeric: Sequence[bool]) -> str:
    padded = []
    for text, width, right in zip(row, widths, numeric, strict=True):
        space = " " * (width - _width(text))
        padded.append(space + text if right else text + space)
    return "  ".join(padded).rstrip()


def _cell(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return " ".join(str(value).split("\n"))
    return f"{value:,}" if isinstance(value, int) else f"{value:,.4g}"


def _width(text: str) -> int:
    """Columns on a terminal: a Chinese character takes two."""
    if text.isascii():
        return len(text)
    from unicodedata import combining, east_asian_width

    return sum(0 if combining(c) else 2 if east_asian_width(c) in "WF" else 1 for c in text)


def count(number: float) -> str:
    """A number in three figures: 1234567 -> "1.23M"."""
    for size, letter in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(number) >= size * 0.9995:
            return f"{number / size:.3g}{letter}" if abs(number) < size * 999.5 else f"{number / size:.0f}{letter}"
    return f"{number:.3g}" if number % 1 else f"{number:.0f}"


def size(number: float) -> str:
    """Bytes in decimal units: 108000000 -> "108 MB"."""
    for unit, name in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if abs(number) >= unit * 0.9995:
            return f"{number / unit:.3g} {name}"
    return f"{number:.0f} B"


def duration(seconds: float) -> str:
    """A time in at most two units: 200 -> "3m 20s"."""
    if seconds != seconds or seconds == float("inf"):
        return "unknown"
    if seconds < 10:
        return f"{seconds:.1f}s"
    whole = round(seconds)
    for unit, name, below, below_name in ((86400, "d", 3600, "h"), (3600, "h", 60, "m"), (60, "m", 1, "s")):
        if whole >= unit:
            return f"{whole // unit}{name} {whole % unit // below}{below_name}"
    return f"{whole}s"


class Progress:
    """How far a piece of work is: a live line on a terminal, otherwise a plain line about every ten seconds.

    `total` and what `update` is given are in `unit`; a total of 0 means unknown (no share and no time left shown).
    With unit "B" amounts are shown as bytes, with "" not at all (the caller's text says it all).
    """

    def __init__(self, total: float, unit: str, label: str = "") -> None:
        self.total, self.unit, self.label = total, unit, label
        self._started = self._written = time.monotonic()
        self._first: float | None = None
        self._live: Live | None = None

    def __enter__(self) -> Progress:
        if not _quiet and sys.stderr.isatty():
            from rich.live import Live

            self._live = Live("", console=_terminal(), refresh_per_second=4, transient=True)
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def update(self, done: float, text: str = "") -> None:
        """Say that `done` units of the total are finished; `text` is appended."""
        if self._first is None:
            self._first = done  # work done before a resume says nothing about the speed now
        now = time.monotonic()
        if self._live is not None:
            self._live.update(self._line(done, text, now))
        elif not _quiet and now - self._written >= PLAIN_SECONDS:
            self._written = now
            _write(self._line(done, text, now))

    def _line(self, done: float, text: str, now: float) -> str:
        amount = size if self.unit == "B" else count
        unit = "" if self.unit == "B" else f" {self.unit}"
        parts = [self.label] if self.label else []
        if self.unit and self.total > 0:
            parts.append(f"{amount(done)} of {amount(self.total)}{unit} ({min(1.0, done / self.total):.0%})")
        elif self.unit:
            parts.append(f"{amount(done)}{unit}")
        rate = (done - (self._first or 0.0)) / max(now - self._started, 1e-9)
        if self.unit and rate > 0:
            parts.append(f"{amount(rate)}{unit}/s")
        if text:
            parts.append(text)
        if self.total > 0 and rate > 0:
            parts.append(f"{duration(max(0.0, self.total - done) / rate)} left")
        return " | ".join(parts)


def _terminal() -> Console:
    from rich.console import Console

    return Console(stderr=True, highlight=False, markup=False, no_color=bool(os.environ.get("NO_COLOR")))
