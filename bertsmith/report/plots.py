"""Line plots as SVG that a page takes into itself: text stays text, colours follow the page's light or dark theme."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Drawn in a colour that nothing else has, then replaced by the page's variable of that name.
THEME = {
    "#010203": "var(--ink)",
    "#010204": "var(--muted)",
    "#010205": "var(--grid)",
    "#010206": "var(--first)",
    "#010207": "var(--second)",
    "#010208": "var(--third)",
}
INK, MUTED, GRID, FIRST, SECOND, THIRD = THEME


class Line(NamedTuple):
    """One curve: y over x, in one of the colours above. A short one gets dots, because a single point draws no line."""

    label: str
    x: Sequence[float]
    y: Sequence[float]
    color: str
    faint: bool = False  # drawn thin and pale, for measurements that scatter


class Level(NamedTuple):
    """A horizontal line that curves are compared with."""

    label: str
    y: float


def line_plot(
    lines: Sequence[Line], levels: Sequence[Level] = (), *, y_label: str, x_label: str = "step", percent: bool = False
) -> str:
    """An `<svg>` element of the curves and levels, each named at its right end. Values that are not finite are gaps."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    style: dict[Any, Any] = {
        "svg.fonttype": "none",
        "svg.hashsalt": f"bertsmith {y_label} {[line.label for line in lines]}",
        "font.size": 10,
        "axes.unicode_minus": False,
        "text.parse_math": False,
    }
    with matplotlib.rc_context(style):
        figure, axes = pyplot.subplots(figsize=(6.4, 3.1), layout="constrained")
        ends: list[tuple[float, str, str]] = []
        for line in lines:
            _draw(axes, line)
            if len(line.y) and not line.faint:
                ends.append((float(line.y[-1]), line.label, line.color))
        for level in levels:
            axes.axhline(level.y, color=MUTED, linewidth=1.2, linestyle=(0, (4, 3)))
            ends.append((level.y, level.label, MUTED))
        _dress(axes, x_label, y_label, percent)
        _name_ends(axes, ends)
        drawn = io.StringIO()
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Glyph")  # the reader's fonts draw the text, not matplotlib's
            figure.savefig(drawn, format="svg", transparent=True, metadata={"Date": None})
        pyplot.close(figure)
    return _embeddable(drawn.getvalue(), y_label)


def _dress(axes: Axes, x_label: str, y_label: str, percent: bool) -> None:
    """Labels, ticks and a quiet grid."""
    from matplotlib.ticker import MaxNLocator, PercentFormatter, StrMethodFormatter

    axes.set_xlabel(x_label, color=MUTED)
    axes.set_ylabel(y_label, color=MUTED)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    if percent:
        axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    elif axes.get_ylim()[1] >= 1000:
        axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axes.margins(x=0.01)
    axes.grid(axis="y", color=GRID, linewidth=0.8)
    axes.tick_params(colors=MUTED, length=0)
    for side, spine in axes.spines.items():
        spine.set_visible(side == "bottom")
        spine.set_color(GRID)


def _draw(axes: Axes, line: Line) -> None:
    if line.faint:
        axes.plot(line.x, line.y, color=line.color, linewidth=0.8, alpha=0.35)
    else:
        marker = "o" if len(line.x) <= 12 else ""
        axes.plot(line.x, line.y, color=line.color, linewidth=2, marker=marker, markersize=4, solid_capstyle="round")


def _name_ends(axes: Axes, ends: list[tuple[float, str, str]]) -> None:
    """Write each label right of the axes at the height of its value, moved apart where they would overlap."""
    low, high = axes.get_ylim()
    gap = (high - low) * 0.075
    floor = -float("inf")
    for value, label, color in sorted(ends):
        height = max(value, floor + gap)
        floor = height
        axes.annotate(
            label, (1.015, height), xycoords=("axes fraction", "data"), color=color, va="center", annotation_clip=False
        )


def _embeddable(svg: str, title: str) -> str:
    """The bare element: no prolog, no metadata, no fixed size, themed colours, a title for screen readers."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<(metadata|style)\b.*?</\1>", "", svg, flags=re.DOTALL)  # a style here would reach the whole page
    svg = re.sub(r"font-family: [^;\"]*;? ?", "", svg)
    svg = re.sub(r'^<svg [^>]*viewBox="([^"]*)"[^>]*>', r'<svg viewBox="\1" role="img">', svg)
    svg = svg.replace(">", f"><title>{title}</title>", 1)
    for color, variable in THEME.items():
        svg = svg.replace(color, variable)
    return svg
