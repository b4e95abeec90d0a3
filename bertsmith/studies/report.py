"""What a study found, to read: report.html and report.md, every number with the runs it comes from."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bertsmith import config, console, store
from bertsmith.report.html import picture
from bertsmith.report.html import render as render_page
from bertsmith.studies.figures import Figure, figures_of
from bertsmith.studies.findings import signed
from bertsmith.studies.metrics import METRICS, metric_of

NONE = "–"
FOOTNOTE = (
    "An effect is paired by seed and by document. Verdicts hold for all claims of the study together (Holm); an"
    " interval is that of its claim alone."
)
FIGURES = "figures"
Rows = list[list[str]]
Table = tuple[str, list[str], Rows]


def write_study(result: Mapping[str, Any], folder: Path) -> Path:
    """Both reports, and the drawings that the Markdown shows as files of their own; returns the path of the page."""
    figures = figures_of(result)
    (folder / FIGURES).mkdir(exist_ok=True)
    for figure in figures:
        store.write_atomic(folder / FIGURES / f"{figure.name}.svg", picture(figure.svg).encode())
    store.write_atomic(folder / "report.md", markdown(result, figures).encode())
    page = render_page(
        "study.html",
        study=result,
        budget=budget_shown(result),
        noise=noise_shown(result),
        footnote=FOOTNOTE,
        figures=figures,
        tables=tables(result),
    )
    path = folder / "report.html"
    store.write_atomic(path, page.encode())
    return path


def render(result: Mapping[str, Any]) -> str:
    """The study for a terminal: noise first, then arms, then claims with their verdicts."""
    blocks = [f"{result['study']}: {result['question']}", budget_shown(result), noise_shown(result)]
    _, headings, rows = _arms(result)
    blocks.append(console.render_table("", rows, headings))
    blocks += [f"{claim['name']}\n  {claim['sentence']}{_paper(claim, chr(10) + '  ')}" for claim in result["claims"]]
    blocks += [FOOTNOTE] if result["claims"] else []
    blocks += [f"failed: {name}: {why}" for name, why in result["failed"].items()]
    blocks.append(f"report: {result['report']}" if "report" in result else "")
    return "\n\n".join(block for block in blocks if block)


def markdown(result: Mapping[str, Any], figures: Sequence[Figure] = ()) -> str:
    """The same as a page of Markdown, which shows the figures from their folder."""
    parts = [f"# {result['study']}: {result['question']}", result["note"], budget_shown(result), noise_shown(result)]
    parts.append(
        "\n".join(f"- **{claim['name']}** {claim['sentence']}{_paper(claim, ' ')}" for claim in result["claims"])
    )
    parts += [FOOTNOTE] if result["claims"] else []
    parts += [f"![{figure.caption}]({FIGURES}/{figure.name}.svg)" for figure in figures]
    parts += [f"## {title}\n\n{_table(headings, rows)}" for title, headings, rows in tables(result)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _paper(claim: Mapping[str, Any], before: str) -> str:
    return f"{before}Published: {claim['paper']}." if claim["paper"] else ""


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def budget_shown(result: Mapping[str, Any]) -> str:
    """What each run may use, how that was met, and how far the study is."""
    ((unit, amount),) = result["budget"].items()
    matched = result["matched"]
    told = f"{amount:,.10g} {unit} for each run, met by {matched['by']}"
    if matched["largest_deviation"] is not None:
        told += f", by {matched['largest_deviation']:.1%} at most" if matched["within"] else ""
        told += (
            "" if matched["within"] else f"; a run is off by {matched['largest_deviation']:.1%}, more than it should"
        )
    due = f"; {result['due']} runs are still to come" if result["due"] else ""
    failed = f"; {len(result['failed'])} diverged" if result["failed"] else ""
    time = console.duration(result["seconds"])
    return f"{told}. {result['seeds']} seeds, {result['finished']} runs in {time} of training{due}{failed}."


def noise_shown(result: Mapping[str, Any]) -> str:
    """What chance alone does, and the smallest effects that can be seen, before any verdict."""
    asked = list(dict.fromkeys(claim["metric"] for claim in result["claims"]))
    noises = [
        f"{metric_of(name).title} {metric_of(name).show(result['noise'][name]['deviation'])}"
        for name in asked
        if name in result["noise"] and result["noise"][name]["deviation"] is not None
    ]
    smallest = [_visible(claim) for claim in result["claims"] if claim["smallest_visible_effect"] is not None]
    if not noises or not smallest:
        return ""
    two = " With two seeds an interval is too narrow where one arm scatters more than others."
    return (
        f"Standard deviation of a run, beyond what its arm and its seed explain: {', '.join(noises)}. Effects that"
        f" this budget would show in four of five studies: {'; '.join(smallest)}.{two if result['seeds'] == 2 else ''}"
    )


def _visible(claim: Mapping[str, Any]) -> str:
    metric = metric_of(claim["metric"])
    return (
        f"{metric.show(claim['smallest_visible_effect'])} ({claim['better']} against {claim['worse']}, {metric.title},"
        f" of which their runs deviate by {metric.show(claim['seed_deviation'])})"
    )


def tables(result: Mapping[str, Any]) -> list[Table]:
    """Title, headings and rows of all that a report shows as a table."""
    return [_arms(result), _claims(result), _design(result), _runs(result)]


def _metrics(result: Mapping[str, Any]) -> list[str]:
    asked = list(dict.fromkeys(name for arm in result["arms"] for name in arm["scores"]))
    return [name for name in METRICS if name in asked] + [name for name in asked if name not in METRICS]


def _arms(result: Mapping[str, Any]) -> Table:
    """Mean and deviation over seeds of every metric."""
    metrics = _metrics(result)
    rows = [
        [
            arm["name"],
            str(arm["runs"]),
            _count(arm["steps"]),
            *(_cell(arm["scores"].get(name), name) for name in metrics),
        ]
        for arm in result["arms"]
    ]
    return "The arms", ["arm", "runs", "steps", *(metric_of(name).title for name in metrics)], rows


def _cell(found: Mapping[str, Any] | None, name: str) -> str:
    if found is None:
        return NONE
    metric = metric_of(name)
    shown = metric.show(found["mean"])
    return shown if metric.cost or found["deviation"] is None else f"{shown} ± {metric.show(found['deviation'])}"


def _claims(result: Mapping[str, Any]) -> Table:
    """Each claim with its effect, interval, smallest visible effect and verdict."""
    rows = []
    for claim in result["claims"]:
        show = metric_of(claim["metric"]).show
        low, high = (NONE if end is None else signed(end, show) for end in claim["interval"])
        effect = NONE if claim["effect"] is None else signed(claim["effect"], show)
        smallest = claim["smallest_visible_effect"]
        shown = NONE if smallest is None else show(smallest)
        compared = f"{claim['better']} > {claim['worse']}"
        rows.append(
            [claim["name"], compared, metric_of(claim["metric"]).title, effect, f"{low} to {high}", shown]
            + [str(claim["seeds"]), claim["verdict"], claim["paper"] or NONE]
        )
    headings = ["claim", "arms", "metric", "effect (+ as claimed)", "95 %", "would be seen", "seeds", "verdict"]
    return "The claims", [*headings, "published"], rows


def _design(result: Mapping[str, Any]) -> Table:
    """What each arm is made of."""
    common = settings_shown(result["set"])
    rows = [["all", result["base"], common or NONE, "", ""]]
    for arm in result["arms"]:
        if arm["name"] == arm["arm"]:
            rows.append([arm["name"], arm["recipe"], arm_shown(arm) or NONE, arm["corpus"], arm["note"]])
    return "The design", ["arm", "recipe", "sets", "corpus", ""], rows


def arm_shown(arm: Mapping[str, Any]) -> str:
    """What an arm sets, who teaches it, and which rates are tried."""
    told = [settings_shown(arm["set"])]
    if arm["teacher"]:
        share = f" for {arm['teacher_share']:.0%} of the budget" if arm["teacher_share"] else ""
        told.append(f"taught by {arm['teacher']}{share}")
    if arm["rates"]:
        told.append(f"rates {', '.join(f'{rate:g}' for rate in arm['rates'])}")
    return "; ".join(part for part in told if part)


def settings_shown(values: Mapping[str, Any]) -> str:
    """Fields of a recipe with their values."""
    return ", ".join(f"{key} {json.dumps(value)}" for key, value in config.flat_values(dict(values)).items())


def _runs(result: Mapping[str, Any]) -> Table:
    """Every run with all that it scored and its folder: what each number above comes from."""
    metrics = [name for name in _metrics(result) if name != "seconds"]
    rows = [
        [run["arm"], str(run["seed"]), NONE if run["rate"] is None else f"{run['rate']:g}", _count(run["steps"])]
        + [_count(run["tokens"]), console.duration(run["seconds"])]
        + [metric_of(name).show(run["scores"][name]) if name in run["scores"] else NONE for name in metrics]
        + [run["folder"]]
        for run in result["runs"]
    ]
    titles = [metric_of(name).title for name in metrics]
    return "Every run", ["arm", "seed", "rate", "steps", "tokens", "time", *titles, "folder"], rows


def _count(value: float | None) -> str:
    return NONE if value is None else f"{value:,.0f}"
