"""What a study found, to read: report.html and report.md, every number with the run it comes from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bertsmith import console, store
from bertsmith.report.html import render as render_page
from bertsmith.report.intervals import Interval, interval_plot
from bertsmith.studies.metrics import METRICS, metric_of

NONE = "–"
COLORS = {"confirmed": "--third", "refuted": "--second", "undetermined": "--first"}
Rows = list[list[str]]


def write_study(result: Mapping[str, Any], folder: Path) -> Path:
    """Both reports; the page."""
    store.write_atomic(folder / "report.md", markdown(result).encode())
    page = render_page(
        "study.html",
        study=result,
        budget=budget_shown(result),
        noise=noise_shown(result),
        tables=[("The arms", *arms_table(result)), ("The claims", *claims_table(result))],
        plots=_plots(result),
        runs=runs_table(result),
    )
    path = folder / "report.html"
    store.write_atomic(path, page.encode())
    return path


def render(result: Mapping[str, Any]) -> str:
    """The study for a terminal: noise first, then arms, then claims with their verdicts."""
    blocks = [f"{result['study']}: {result['question']}", budget_shown(result)]
    if noise := noise_shown(result):
        blocks.append(noise)
    headings, rows = arms_table(result)
    blocks.append(console.render_table("", rows, headings))
    blocks += [claim["name"] + "\n  " + claim["sentence"] + _paper(claim) for claim in result["claims"]]
    if "report" in result:
        blocks.append(f"report: {result['report']}")
    return "\n\n".join(blocks)


def _paper(claim: Mapping[str, Any]) -> str:
    return f"\n  published: {claim['paper']}" if claim["paper"] else ""


def budget_shown(result: Mapping[str, Any]) -> str:
    """What each run may use, how that was met, and how far the study is."""
    ((unit, amount),) = result["budget"].items()
    matched = result["matched"]
    told = f"Every run has {amount:,.10g} {unit}, by {matched['by']} (within {matched['largest_deviation']:.1%})"
    due = f"; {result['due']} runs are still to come" if result["due"] else ""
    return f"{told}; {result['seeds']} seeds, {result['finished']} runs{due}."


def noise_shown(result: Mapping[str, Any]) -> str:
    """What seeds alone do, and the smallest effects that can be seen, before any verdict."""
    parts = []
    for claim in result["claims"]:
        show = metric_of(claim["metric"]).show
        if claim["seed_deviation"] is not None:
            smallest = claim["smallest_visible_effect"]
            parts.append(
                f"{claim['better']} / {claim['worse']}: {show(smallest)} in {metric_of(claim['metric']).title}"
            )
    noises = [
        f"{metric_of(name).title} {metric_of(name).show(noise['deviation'])}"
        for name, noise in result["noise"].items()
        if noise["deviation"] is not None and not metric_of(name).cost
    ]
    if not parts:
        return ""
    return (
        f"From seed to seed a run differs by (standard deviation): {', '.join(noises)}. The smallest effects that this"
        f" budget can show: {'; '.join(dict.fromkeys(parts))}."
    )


def arms_table(result: Mapping[str, Any]) -> tuple[list[str], Rows]:
    """Headings and rows: mean and deviation of every metric, an arm a row."""
    asked = list(dict.fromkeys(name for arm in result["arms"] for name in arm["scores"]))
    metrics = [name for name in METRICS if name in asked] + [name for name in asked if name not in METRICS]
    rows = []
    for arm in result["arms"]:
        cells = [_cell(arm["scores"].get(name), name) for name in metrics]
        steps = NONE if arm["steps"] is None else f"{arm['steps']:,}"
        rows.append([arm["name"], str(arm["runs"]), steps, *cells])
    return ["arm", "runs", "steps", *(metric_of(name).title for name in metrics)], rows


def _cell(found: Mapping[str, Any] | None, name: str) -> str:
    if found is None or found["mean"] is None:
        return NONE
    metric = metric_of(name)
    shown = metric.show(found["mean"])
    return shown if metric.cost or found["deviation"] is None else f"{shown} ± {metric.show(found['deviation'])}"


def claims_table(result: Mapping[str, Any]) -> tuple[list[str], Rows]:
    """Headings and rows: each claim with its effect, interval, smallest visible effect and verdict."""
    rows = []
    for claim in result["claims"]:
        show = metric_of(claim["metric"]).show
        low, high = (NONE if end is None else _signed(end, show) for end in claim["interval"])
        smallest = claim["smallest_visible_effect"]
        rows.append(
            [
                claim["name"],
                metric_of(claim["metric"]).title,
                _signed(claim["effect"], show),
                f"{low} to {high}",
                NONE if smallest is None else show(smallest),
                claim["verdict"],
                claim["paper"] or NONE,
            ]
        )
    return ["claim", "metric", "effect (+ as claimed)", "95 %", "smallest visible", "verdict", "published"], rows


def _signed(value: float, show: Any) -> str:
    return f"{'+' if value >= 0 else '-'}{show(abs(value))}"


def runs_table(result: Mapping[str, Any]) -> tuple[list[str], Rows]:
    """Headings and rows: every run with its folder."""
    rows = [
        [run["arm"], str(run["seed"]), NONE if run["rate"] is None else f"{run['rate']:g}", f"{run['steps']:,}"]
        + [f"{run['tokens']:,}", console.duration(run["seconds"]), f"{run['scores']['loss']:.4f}", run["folder"]]
        for run in result["runs"]
    ]
    return ["arm", "seed", "rate", "steps", "tokens", "time", "loss", "folder"], rows


def _plots(result: Mapping[str, Any]) -> list[tuple[str, str]]:
    """For each metric its claims with their intervals."""
    by_metric: dict[str, list[Interval]] = {}
    for claim in result["claims"]:
        show = metric_of(claim["metric"]).show
        low, high = claim["interval"]
        shown = _signed(claim["effect"], show)
        if low is not None and high is not None:
            shown += f" [{_signed(low, show)}, {_signed(high, show)}]"
        title = f"{claim['better']} against {claim['worse']}"
        color = COLORS[claim["verdict"]]
        by_metric.setdefault(claim["metric"], []).append(Interval(title, claim["effect"], low, high, shown, color))
    sides = "the second is better", "the first is better"
    return [
        (metric_of(name).title, interval_plot(found, metric_of(name).title, *sides))
        for name, found in by_metric.items()
    ]


def markdown(result: Mapping[str, Any]) -> str:
    """The same as a page of Markdown."""
    parts = [f"# {result['study']}: {result['question']}", result["note"], budget_shown(result), noise_shown(result)]
    parts += [f"- **{claim['name']}** {claim['sentence']}{_published(claim)}" for claim in result["claims"]]
    for title, (headings, rows) in (("Arms", arms_table(result)), ("Runs", runs_table(result))):
        parts.append(f"## {title}\n\n{_table(headings, rows)}")
    return "\n\n".join(part for part in parts if part) + "\n"


def _published(claim: Mapping[str, Any]) -> str:
    return f" Published: {claim['paper']}." if claim["paper"] else ""


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines)
