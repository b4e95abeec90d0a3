"""Intervals one below the other as SVG that a page takes into itself: a point, its interval, and a line at 0."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from html import escape
from typing import NamedTuple

WIDTH, ROW, NAMES, MARGIN = 760, 34, 300, 24
LABEL = 90  # half of the widest label below a point
HALO = 'stroke="var(--card)" stroke-width="4" paint-order="stroke"'  # a label may lie on the line at 0
SMALL = f'text-anchor="middle" fill="var(--muted)" font-size="11" {HALO}'
LONGEST_NAME = 40  # columns of a terminal: Chinese characters are two


class Interval(NamedTuple):
    """A name, the value, both ends (None = unknown), the ends as written, and a colour variable of the style sheet."""

    name: str
    value: float
    low: float | None
    high: float | None
    shown: str
    color: str = "--first"


def interval_plot(intervals: Sequence[Interval], title: str, left: str, right: str) -> str:
    """An `<svg>` element; left and right say what the two sides of 0 mean."""
    ends = [abs(end) for one in intervals for end in (one.value, one.low, one.high) if end is not None]
    reach = max(ends, default=0.0) or 1.0
    middle, half = NAMES + (WIDTH - NAMES) / 2, (WIDTH - NAMES) / 2 - MARGIN
    height = ROW * len(intervals) + 30

    def place(value: float) -> float:
        return middle + half * value / reach

    lines = [
        f'<svg viewBox="0 0 {WIDTH} {height}" role="img" font-size="13">',
        f"<title>{escape(title)}</title>",
        f'<line x1="{middle}" y1="0" x2="{middle}" y2="{height - 24}" stroke="var(--muted)"/>',
        f'<text x="{middle - 8}" y="{height - 8}" text-anchor="end" fill="var(--muted)">{escape(left)}</text>',
        f'<text x="{middle + 8}" y="{height - 8}" fill="var(--muted)">{escape(right)}</text>',
    ]
    for number, one in enumerate(intervals):
        y = ROW * number + 16
        name = shortened(one.name, LONGEST_NAME)
        lines.append(f'<text x="{NAMES - 8}" y="{y + 4}" text-anchor="end" fill="var(--ink)">{escape(name)}</text>')
        if one.low is not None and one.high is not None:
            a, b = place(one.low), place(one.high)
            lines.append(
                f'<line x1="{a:.1f}" y1="{y}" x2="{b:.1f}" y2="{y}" stroke="var({one.color})" stroke-width="3"/>'
            )
        lines.append(f'<circle cx="{place(one.value):.1f}" cy="{y}" r="5" fill="var({one.color})"/>')
        shown = escape(one.shown)
        at = min(max(place(one.value), NAMES + LABEL), WIDTH - LABEL)
        lines.append(f'<text x="{at:.1f}" y="{y + 17}" {SMALL}>{shown}</text>')
    return "\n".join([*lines, "</svg>"])


def shortened(name: str, room: int) -> str:
    """The beginning of a name, as much of it as `room` columns of a terminal hold."""
    columns = 0
    for place, character in enumerate(name):
        columns += 2 if unicodedata.east_asian_width(character) in "WF" else 1
        if columns > room:
            return name[:place] + "…"
    return name
