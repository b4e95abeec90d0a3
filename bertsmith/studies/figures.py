"""The drawings of a study: its arms, every run a dot, and the effects its claims speak of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from bertsmith.report.dots import Group, dot_plot
from bertsmith.report.intervals import Interval, interval_plot
from bertsmith.studies.findings import signed
from bertsmith.studies.metrics import metric_of

COLORS = {"confirmed": "--third", "refuted": "--second", "undetermined": "--first"}


class Figure(NamedTuple):
    """name: of a file. caption: in words. svg: an element for a page."""

    name: str
    caption: str
    svg: str


def figures_of(result: Mapping[str, Any]) -> list[Figure]:
    """For each metric that is claimed the arms, and the claims with their intervals, as far as runs are there."""
    metrics = list(dict.fromkeys(claim["metric"] for claim in result["claims"]))
    found = [figure for metric in metrics for figure in (_arms(result, metric), _effects(result, metric))]
    return [figure for figure in found if figure is not None]


def _arms(result: Mapping[str, Any], name: str) -> Figure | None:
    metric = metric_of(name)
    groups = []
    for arm in result["arms"]:
        scored = arm["scores"].get(name)
        if scored is None:
            continue
        spread = "" if scored["deviation"] is None else f" ± {metric.show(scored['deviation'])}"
        groups.append(Group(arm["name"], scored["values"], f"{metric.show(scored['mean'])}{spread}"))
    if not groups:
        return None
    values = [value for group in groups for value in group.values]
    better = f"{metric.title}, {'← less is better' if metric.lower else 'more is better →'}"
    svg = dot_plot(groups, metric.title, better, (metric.show(min(values)), metric.show(max(values))))
    return Figure(f"arms-{_file_name(name)}", f"{metric.title}: every run, and the mean of each arm", svg)


def _effects(result: Mapping[str, Any], name: str) -> Figure | None:
    metric = metric_of(name)
    intervals = []
    for claim in result["claims"]:
        if claim["metric"] != name or claim["effect"] is None:
            continue
        low, high = claim["interval"]
        shown = signed(claim["effect"], metric.show)
        if low is not None and high is not None:
            shown += f" ({signed(low, metric.show)} to {signed(high, metric.show)})"
        title = f"{claim['better']} against {claim['worse']}"
        intervals.append(Interval(title, claim["effect"], low, high, shown, COLORS[claim["verdict"]]))
    if not intervals:
        return None
    svg = interval_plot(intervals, metric.title, "the second is better", "the first is better")
    return Figure(f"effects-{_file_name(name)}", f"{metric.title}: effects with 95 % intervals", svg)


def _file_name(metric: str) -> str:
    return metric.replace(" ", "-")
