"""A confusion matrix as SVG that a page takes into itself: truth in rows, what was given in columns."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np

MOST = 16  # classes of a matrix that can still be read
CELL, NAMES, TOP = 44, 150, 90
LONGEST_NAME = 18  # characters


def confusion_plot(counts: np.ndarray, labels: Sequence[str]) -> str:
    """An `<svg>` element; the shade of a cell is its share of its row. counts: (labels, labels)."""
    size = len(labels)
    width, height = NAMES + CELL * size + 8, TOP + CELL * size + 8
    lines = [
        f'<svg viewBox="0 0 {width} {height}" role="img" font-size="12" style="max-width:{max(320, width)}px">',
        "<title>Confusion matrix: truth in rows, prediction in columns</title>",
        f'<text x="{NAMES - 8}" y="{TOP - 10}" text-anchor="end" fill="var(--muted)">truth ↓  given →</text>',
    ]
    for number, label in enumerate(labels):
        name, middle = escape(_short(label)), CELL * number + CELL // 2
        x, y = NAMES + middle, TOP - 8
        lines.append(f'<text x="{NAMES - 8}" y="{TOP + middle + 4}" text-anchor="end" fill="var(--ink)">{name}</text>')
        lines.append(f'<text x="{x}" y="{y}" transform="rotate(-35 {x} {y})" fill="var(--ink)">{name}</text>')
    for row in range(size):
        total = max(1, int(counts[row].sum()))
        for column in range(size):
            share = float(counts[row, column]) / total
            x, y = NAMES + CELL * column, TOP + CELL * row
            color = "var(--third)" if row == column else "var(--second)"
            title = f"{labels[row]} taken for {labels[column]}: {counts[row, column]} ({share:.1%})"
            lines.append(
                f'<rect x="{x + 1}" y="{y + 1}" width="{CELL - 2}" height="{CELL - 2}" rx="4" fill="{color}" '
                f'fill-opacity="{0.04 + 0.7 * share:.3f}"><title>{escape(title)}</title></rect>'
            )
            if counts[row, column]:
                lines.append(
                    f'<text x="{x + CELL // 2}" y="{y + CELL // 2 + 4}" text-anchor="middle" fill="var(--ink)">'
                    f"{counts[row, column]}</text>"
                )
    return "\n".join([*lines, "</svg>"])


def _short(label: str) -> str:
    return label if len(label) <= LONGEST_NAME else label[: LONGEST_NAME - 1] + "…"
