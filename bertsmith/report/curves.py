"""The plots of a run, from the lines of its metrics.jsonl."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from bertsmith.report.plots import FIRST, SECOND, THIRD, Level, Line, line_plot
from bertsmith.report.run import Run

POINTS = 200  # of one curve; more are averaged, so that a long run does not make a large page


class Plot(NamedTuple):
    """A drawing and the sentence above it."""

    caption: str
    svg: str


def plots_of(run: Run, constant: float) -> list[Plot]:
    """Loss, accuracy, pairs (where there are some) and speed. `constant`: accuracy of one answer for all pairs."""
    plots = []
    phases = f" ({run.phases})" if run.phases else ""
    last = run.validation[-1] if run.validation else {}
    if loss := _both(run, "masked_lm_loss"):
        names = (("unigram", "unigram_loss"), ("uniform", "uniform_loss"))
        levels = [Level(f"{name} {last[key]:.2f}", last[key]) for name, key in names if key in last]
        plots.append(Plot(f"Loss of hidden tokens, in nats{phases}", line_plot(loss, levels, y_label="loss (nats)")))
    if accuracy := _both(run, "masked_lm_accuracy"):
        drawn = line_plot(accuracy, y_label="accuracy", percent=True)
        plots.append(Plot(f"Hidden tokens restored at first guess{phases}", drawn))
    if pairs := _both(run, "pair_accuracy"):
        levels = [Level(f"constant {constant:.0%}", constant)] if constant else []
        drawn = line_plot(pairs, levels, y_label="pair accuracy", percent=True)
        plots.append(Plot(f"Pairs judged rightly{phases}", drawn))
    if speed := _line(run.training, "tokens_per_second", "", THIRD):
        plots.append(Plot("Tokens per second", line_plot([speed], y_label="tokens/s")))
    return plots


def _both(run: Run, key: str) -> list[Line]:
    lines = [_line(run.training, key, "training", FIRST), _line(run.validation, key, "validation", SECOND)]
    return [line for line in lines if line]


def _line(records: Sequence[Mapping[str, Any]], key: str, label: str, color: str) -> Line | None:
    points = np.array([(record["step"], record[key]) for record in records if key in record], dtype=np.float64)
    if not len(points):
        return None
    groups = np.array_split(points, min(POINTS, len(points)))
    x, y = np.array([group.mean(axis=0) for group in groups]).T
    return Line(label, x.tolist(), y.tolist(), color)
