"""A comparison as tables for a terminal and as a page with bars."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from bertsmith import console, store
from bertsmith.report.bars import Bar, bar_plot
from bertsmith.report.html import render as render_page
from bertsmith.report.quality_kept import Kept

NONE = "–"  # what was not asked, or is not defined

Show = Callable[[float], str]
SIZES: tuple[tuple[str, str, Show, str], ...] = (
    ("parameters", "parameters", lambda value: f"{value:,.0f}", "parameters_share"),
    ("megabytes", "MB on disk", lambda value: f"{value:,.1f}", ""),
    ("memory_megabytes", "MB in memory", lambda value: f"{value:,.1f}", ""),
    ("forward_megabytes", "MB forward", lambda value: f"{value:,.1f}", ""),
    ("milliseconds", "ms/sentence", lambda value: f"{value:,.2f}", "time_share"),
)
OF_TEXTS: tuple[tuple[str, str, Show], ...] = (
    ("loss", "loss", lambda value: f"{value:.3f}"),
    ("accuracy", "accuracy", lambda value: f"{value:.1%}"),
    ("bits_per_character", "bits/character", lambda value: f"{value:.3f}"),
)
JUDGED = "accuracy"  # the figure of a text by which quality is kept


class Column(NamedTuple):
    """One figure of every model; None where it was not asked.

    kept: for every model the shares of the first one's that are told, None for none; quality: whether these are of
    quality, which has a baseline, or of size or time, which has a raw share alone.
    """

    heading: str
    values: list[float | None]
    show: Show
    kept: list[Kept | None]
    quality: bool = False
    baseline: float | None = None


def columns_of(result: Mapping[str, Any]) -> list[Column]:
    """The figures of a comparison; with several texts each has columns of its own."""
    models, baselines = result["models"], result["baselines"]
    nothing: list[Kept | None] = [None] * len(models)
    found = []
    for key, heading, show, share in SIZES:
        shares = [{"raw": model[share]} if share in model else None for model in models]
        found.append(Column(heading, [model[key] for model in models], show, shares))
    texts = list(dict.fromkeys(label for model in models for label in model.get("texts", {})))
    for key, heading, show in OF_TEXTS:
        for label in texts:
            values = [_at(model, "texts", label, key) for model in models]
            title = f"{heading}, {label}" if len(texts) > 1 else heading
            judged = key == JUDGED
            shares = [_at(model, "kept", "texts", label) for model in models] if judged else nothing
            found.append(Column(title, values, show, shares, judged, _at(baselines, "texts", label)))
    for key, heading in (("minimal_pairs", "minimal pairs"), ("minimal_pairs_word_l2r", "word-l2r")):
        if any(key in model for model in models):
            shares = [_at(model, "kept", key) for model in models]
            values = [model.get(key) for model in models]
            found.append(Column(heading, values, _percent, shares, key in baselines, baselines.get(key)))
    if tasks := [model["task"] for model in models if "task" in model]:
        heading = f"{tasks[0]['name']} {tasks[0]['metric']}"
        shares, values = ([_at(model, *path) for model in models] for path in (("kept", "task"), ("task", "value")))
        found.append(Column(heading, values, lambda value: f"{value:.4f}", shares, True, baselines.get("task")))
    return found


def _at(values: Mapping[str, Any], *path: str) -> Any:
    """What stands at the end of a path of keys, None where it breaks off."""
    found: Any = values
    for key in path:
        found = found.get(key) if found is not None else None
    return found


def _percent(value: float | None) -> str:
    return NONE if value is None else f"{value:.1%}"


def table(result: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Headings and rows of the figures, one model a row."""
    columns = columns_of(result)
    rows = [
        [model["name"], *(_shown(column, number) for column in columns)]
        for number, model in enumerate(result["models"])
    ]
    return ["model", *(column.heading for column in columns)], rows


def _shown(column: Column, number: int) -> str:
    value = column.values[number]
    return NONE if value is None else column.show(value)


def table_of_shares(result: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Headings and rows of what the models after the first have and keep of it; a quality also above its baseline."""
    headings, rows = ["model"], [[model["name"]] for model in result["models"][1:]]
    for column in columns_of(result):
        if not any(column.kept[1:]):
            continue
        headings.append(column.heading)
        if column.quality:
            headings.append(_above(column.baseline))
        for row, shares in zip(rows, column.kept[1:], strict=True):
            row.append(_percent((shares or {}).get("raw")))
            if column.quality:
                row.append(_percent((shares or {}).get("above_baseline")))
    return headings, rows


def _above(baseline: float | None) -> str:
    return "above the baseline" if baseline is None else f"above {baseline:.1%}"


def render(result: Mapping[str, Any]) -> str:
    """The tables for a terminal: all figures, then shares of the first model's, then what was left out."""
    headings, rows = table(result)
    parts = [console.render_table("", rows, headings)]
    if len(rows) > 1:
        headings, shares = table_of_shares(result)
        parts.append(console.render_table(f"shares of {rows[0][0]}", shares, headings))
    if result["notes"]:
        parts.append("\n".join(result["notes"]))
    return "\n\n".join(parts)


def write_comparison(result: Mapping[str, Any], folder: Path) -> Path:
    """compare.html: one table of the figures with what is kept of the first model's, and a plot of each."""
    folder.mkdir(parents=True, exist_ok=True)
    columns, names = columns_of(result), [model["name"] for model in result["models"]]
    plots = []
    for column in columns:
        asked = zip(names, column.values, strict=True)
        bars = [Bar(name, value, column.show(value)) for name, value in asked if value is not None]
        plots.append((column.heading, bar_plot(bars, column.heading)))
    page = render_page(
        "comparison.html",
        names=names,
        headings=[column.heading for column in columns],
        rows=[[_cell(column, number) for column in columns] for number in range(len(names))],
        baselines=[(c.heading, _percent(c.baseline)) for c in columns if c.quality and c.baseline is not None],
        notes=result["notes"],
        plots=plots,
    )
    path = folder / "compare.html"
    store.write_atomic(path, page.encode())
    return path


def _cell(column: Column, number: int) -> dict[str, Any]:
    """A figure as the page shows it: {value, share: percent that its bar is long, or None, kept: what that says}."""
    shares = column.kept[number]
    cell: dict[str, Any] = {"value": _shown(column, number), "share": None, "kept": ""}
    if shares is None:
        return cell
    raw = shares["raw"]
    if raw is not None:
        cell["share"] = round(100 * min(1.0, max(0.0, raw)), 1)
    cell["kept"] = f"{_percent(raw)} kept" if column.quality else _percent(raw)
    if column.quality:
        cell["kept"] += f"; {_above(column.baseline)}: {_percent(shares['above_baseline'])}"
    return cell
