"""Bars side by side as SVG that a page takes into itself: one bar for each model, its value written beside it."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import NamedTuple

from bertsmith.report.intervals import shortened

WIDTH, ROW, NAMES, VALUES = 640, 28, 200, 90
LONGEST_NAME = 24  # columns of a terminal; of a longer one the end is shown, which tells models apart


class Bar(NamedTuple):
    """A name, the value that sets the length, and the value as written."""

    name: str
    value: float
    shown: str


def bar_plot(bars: Sequence[Bar], title: str) -> str:
    """An `<svg>` element; lengths are shares of the largest value, from 0."""
    largest = max((bar.value for bar in bars), default=0.0) or 1.0
    lines = [
        f'<svg viewBox="0 0 {WIDTH} {ROW * len(bars) + 8}" role="img" font-size="13">',
        f"<title>{escape(title)}</title>",
    ]
    for number, bar in enumerate(bars):
        top, middle = ROW * number + 6, ROW * number + 20
        length = max(0.0, (WIDTH - NAMES - VALUES) * bar.value / largest)
        name = shortened(bar.name[::-1], LONGEST_NAME)[::-1]
        lines += [
            f'<text x="{NAMES - 8}" y="{middle}" text-anchor="end" fill="var(--ink)">{escape(name)}</text>',
            f'<rect x="{NAMES}" y="{top}" width="{length:.1f}" height="{ROW - 8}" rx="3" fill="var(--first)"/>',
            f'<text x="{NAMES + length + 6:.1f}" y="{middle}" fill="var(--muted)">{escape(bar.shown)}</text>',
        ]
    return "\n".join([*lines, "</svg>"])
