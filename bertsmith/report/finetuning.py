"""report.html of a fine-tuning: the result beside baselines and noise, curves, confusions, sureness, mistakes."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import bertsmith
from bertsmith.console import duration
from bertsmith.report.confusion import MOST, confusion_plot
from bertsmith.report.curves import Plot
from bertsmith.report.html import render
from bertsmith.report.mistakes import (
    ClassFigures,
    Mistake,
    calibration,
    class_figures,
    confusion,
    outcomes,
    worst_mistakes,
)
from bertsmith.report.plots import FIRST, MUTED, SECOND, THIRD, Level, Line, line_plot
from bertsmith.report.pretraining import Table, Tile, recipe_tables
from bertsmith.store import write_atomic
from bertsmith.tasks.baselines import DESCRIPTIONS, TITLES
from bertsmith.tasks.predictions import Prediction
from bertsmith.tasks.task import Task
from bertsmith.training.logs import read_metrics

CLASSES_SHOWN = 40
CLEAR = 2.0  # standard errors from which on a difference is called one


class Judged(NamedTuple):
    """The validation part and what the best model says of it."""

    task: Task
    labels: Sequence[str]
    examples: Sequence[Any]
    predictions: Sequence[Prediction]


@dataclass(frozen=True)
class FinetuningReport:
    """What the template shows."""

    name: str
    version: str
    verdict: str
    tiles: Sequence[Tile]
    metrics: Sequence[str]
    figures: Sequence[tuple[str, Sequence[str]]]
    runs: Sequence[tuple[str, Sequence[str]]]
    plots: Sequence[Plot]
    matrix: str
    classes: Sequence[ClassFigures]
    more_classes: int
    mistakes: Sequence[Mistake]
    wrong: int
    total: int
    recipe: Sequence[Table]


def write_report(out: Path, result: Mapping[str, Any], judged: Judged) -> Path:
    """Write `report.html` into the folder of a fine-tuning and return its path. result: as `finetune` returns it."""
    pairs = outcomes(judged.examples, judged.predictions)
    labels = list(judged.labels) if pairs else []
    counts = confusion(pairs, labels)
    classes = class_figures(counts, labels)
    mistakes = worst_mistakes(judged.examples, judged.predictions, len(judged.examples))
    report = FinetuningReport(
        name=title(judged.task),
        version=bertsmith.__version__,
        verdict=verdict(result, judged.task),
        tiles=_tiles(result),
        metrics=list(result["validation"]),
        figures=_figures(result),
        runs=_runs(result),
        plots=_plots(out, result, judged),
        matrix=confusion_plot(counts, labels) if 1 < len(labels) <= MOST else "",
        classes=classes[:CLASSES_SHOWN],
        more_classes=max(0, len(classes) - CLASSES_SHOWN),
        mistakes=mistakes[:25],
        wrong=len(mistakes),
        total=len(judged.examples),
        recipe=recipe_tables(_recipe(out)),
    )
    path = out / "report.html"
    write_atomic(path, render("finetuning.html", report=report).encode("utf-8", "replace"))
    return path


def title(task: Task) -> str:
    """What a task is called where people read: "SST-2", or the file of a table."""
    return task.description.partition(":")[0] or task.name


def verdict(result: Mapping[str, Any], task: Task) -> str:
    """The result in two or three sentences, beside the baselines and the noise."""
    metric, error = result["metric"], result["standard_error"]
    value = result["validation"][metric]
    count = next(number for name, number in result["examples"].items() if name != "train")
    text = (
        f"{task.description.rstrip('.')}. On {count:,} validation examples the model reaches {_named(metric)} "
        f"{value:.3f}; with another draw of as many examples that would vary by {error:.3f} (standard error)."
    )
    if "teacher" in result:
        text += _beside_teacher(value, result["teacher"]["validation"][metric])
    known = {name: values[metric] for name, values in result["baselines"].items()}
    if not known:
        return text
    best = max(known, key=lambda name: known[name])
    gap = value - known[best]
    beside = f" The best baseline, {DESCRIPTIONS[best]}, reaches {known[best]:.3f}"
    if error and abs(gap) < CLEAR * error:
        return text + f"{beside}: the difference of {abs(gap):.3f} may be chance."
    return text + f"{beside}: {abs(gap):.3f} {'less' if gap > 0 else 'more, so this model is not worth its cost here'}."


def _beside_teacher(value: float, teacher: float) -> str:
    kept = f", of which it keeps {value / teacher:.1%}" if teacher > 0 else ""
    return f" It learnt from a teacher that reaches {teacher:.3f}{kept}."


def _named(metric: str) -> str:
    return metric.replace("_", " ")


def _tiles(result: Mapping[str, Any]) -> list[Tile]:
    metric = result["metric"]
    tiles = [Tile(_named(metric), f"{result['validation'][metric]:.3f}", f"± {result['standard_error']:.3f} (noise)")]
    seeds = result["seeds"]
    if seeds["count"] > 1:
        mean, deviation = seeds["mean"][metric], seeds["standard_deviation"][metric]
        tiles.append(Tile(f"mean of {seeds['count']} seeds", f"{mean:.3f}", f"± {deviation:.3f} (standard deviation)"))
    if "test" in result:
        tiles.append(Tile("test part", f"{result['test'][metric]:.3f}", f"{result['test_examples']:,} examples"))
    if "teacher" in result:
        tiles.append(Tile("teacher", f"{result['teacher']['validation'][metric]:.3f}", "that this model learnt from"))
    tiles += [
        Tile(TITLES[name], f"{values[metric]:.3f}", DESCRIPTIONS[name]) for name, values in result["baselines"].items()
    ]
    tiles.append(Tile("training time", duration(result["seconds"]), f"{result['steps']:,} steps"))
    return tiles


def _figures(result: Mapping[str, Any]) -> list[tuple[str, list[str]]]:
    """Every metric of the model and of the baselines."""
    names = list(result["validation"])
    rows = [("this model", result["validation"])]
    rows += [(f"this model, {part}", values) for part, values in result.get("parts", {}).items()][1:]
    rows += [("this model, test", result["test"])] if "test" in result else []
    if result["seeds"]["count"] > 1:
        rows += [(f"{_named(key)} of the seeds", result["seeds"][key]) for key in ("mean", "standard_deviation")]
    rows += [("its teacher", result["teacher"]["validation"])] if "teacher" in result else []
    rows += [(DESCRIPTIONS[name], values) for name, values in result["baselines"].items()]
    return [(name, [_number(values.get(metric)) for metric in names]) for name, values in rows]


def _runs(result: Mapping[str, Any]) -> list[tuple[str, list[str]]]:
    rows = []
    for run in result["runs"]:
        if run.get("failed"):
            rows.append((run["name"], [f"failed: {run['failed']}", "", ""]))
        else:
            value = run["validation"][result["metric"]]
            best = " (kept)" if run["name"] == result["best"] else ""
            rows.append((run["name"], [_number(value) + best, f"{run['best_step']:,}", duration(run["seconds"])]))
    return rows


def _number(value: Any) -> str:
    return f"{value:.4f}" if isinstance(value, int | float) else ""


def _recipe(out: Path) -> dict[str, Any]:
    try:
        return tomllib.loads((out / "recipe.toml").read_text("utf-8"))
    except (OSError, ValueError):
        return {}


# --- plots ---


def _plots(out: Path, result: Mapping[str, Any], judged: Judged) -> list[Plot]:
    """Validation figures and training loss of every run, the kept one strong; then sureness against truth."""
    metric = result["metric"]
    values: list[Line] = []
    losses: list[Line] = []
    names = [run["name"] for run in result["runs"] if not run.get("failed")]
    for name in sorted(names, key=lambda name: name == result["best"]):
        lines = list(read_metrics(out / "runs" / name / "metrics.jsonl"))
        best = name == result["best"]
        label = ("kept" if len(names) > 1 else "") if best else ""
        scored = [(line["step"], line["validation"][metric]) for line in lines if metric in line.get("validation", {})]
        values += _line(scored, label, SECOND, not best)
        losses += _line([(line["step"], line["loss"]) for line in lines if "loss" in line], label, FIRST, not best)
    plots = []
    if values:
        levels = [
            Level(f"{TITLES[name]} {found[metric]:.2f}", found[metric]) for name, found in result["baselines"].items()
        ]
        if "teacher" in result:
            reached = result["teacher"]["validation"][metric]
            levels.append(Level(f"teacher {reached:.2f}", reached))
        plots.append(Plot(f"Validation {_named(metric)}", line_plot(values, levels, y_label=_named(metric))))
    if losses:
        plots.append(Plot("Training loss", line_plot(losses, y_label="loss")))
    sureness = calibration(judged.examples, judged.predictions)
    if sureness:
        drawn = [
            Line("as sure as right", [0, 100], [0.0, 1.0], MUTED, faint=True),
            Line("", [100 * sure for sure in sureness.sure], sureness.right, THIRD),
        ]
        svg = line_plot(drawn, y_label="share that is right", x_label="how sure the model is, in %", percent=True)
        caption = f"Sureness against truth; on the diagonal both are equal. Mean gap {sureness.error:.3f}"
        plots.append(Plot(caption, svg))
    return plots


def _line(points: list[tuple[float, float]], label: str, color: str, faint: bool) -> list[Line]:
    return [Line(label, [x for x, _ in points], [y for _, y in points], color, faint)] if points else []
