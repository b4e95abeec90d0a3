"""Groups of values one below the other as SVG that a page takes into itself: a dot each, and a line at their mean."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import NamedTuple

from bertsmith.report.intervals import shortened

WIDTH, ROW, NAMES, VALUES, MARGIN = 760, 34, 220, 150, 20
SMALL = 'fill="var(--muted)" font-size="11"'


class Group(NamedTuple):
    """A name, its values, and what is written beside them."""

    name: str
    values: Sequence[float]
    shown: str


def dot_plot(groups: Sequence[Group], title: str, better: str, ends: tuple[str, str]) -> str:
    """An `<svg>` element. better: in words where the better values lie; ends: the least and the largest as written."""
    values = [value for group in groups for value in group.values]
    least, reach = min(values, default=0.0), (max(values, default=0.0) - min(values, default=0.0)) or 1.0
    left, width = NAMES + MARGIN, WIDTH - NAMES - VALUES - 2 * MARGIN
    bottom = ROW * len(groups) + 8
    lines = [
        f'<svg viewBox="0 0 {WIDTH} {bottom + 24}" role="img" font-size="13">',
        f"<title>{escape(title)}</title>",
        f'<line x1="{left}" y1="{bottom}" x2="{left + width}" y2="{bottom}" stroke="var(--grid)"/>',
    ]
    for x, anchor, text in (
        (left, "start", ends[0]),
        (left + width / 2, "middle", better),
        (left + width, "end", ends[1]),
    ):
        lines.append(f'<text x="{x}" y="{bottom + 17}" text-anchor="{anchor}" {SMALL}>{escape(text)}</text>')
    for number, group in enumerate(groups):
        y = ROW * number + 20
        places = [left + width * (value - least) / reach for value in group.values]
        name, shown = escape(shortened(group.name, NAMES // 8)), escape(group.shown)
        lines.append(f'<text x="{NAMES - 8}" y="{y + 4}" text-anchor="end" fill="var(--ink)">{name}</text>')
        lines.append(f'<text x="{WIDTH - VALUES + 8}" y="{y + 4}" fill="var(--ink)">{shown}</text>')
        lines += [f'<circle cx="{x:.1f}" cy="{y}" r="4.5" fill="var(--first)" opacity="0.55"/>' for x in places]
        if places:
            mean = sum(places) / len(places)
            ends_of = f'x1="{mean:.1f}" y1="{y - 11}" x2="{mean:.1f}" y2="{y + 11}"'
            lines.append(f'<line {ends_of} stroke="var(--second)" stroke-width="3"/>')
    return "\n".join([*lines, "</svg>"])
