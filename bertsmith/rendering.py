"""Results as text for a terminal, where --json is not asked for."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from bertsmith.console import duration, render_table

FIRST = 6  # numbers of a vector that are shown


def values(result: Mapping[str, Any]) -> str:
    """A result as two columns, a line for each entry of a table in it."""
    rows: list[tuple[str, Any]] = []
    for key, value in result.items():
        if isinstance(value, dict):
            rows += [(f"{key}: {name}", inner) for name, inner in value.items()] or [(key, "none")]
        else:
            rows.append((key, value))
    return render_table("", rows, ["", ""])


def fillings(texts: Sequence[str]) -> Callable[[Sequence[Sequence[Sequence[Mapping[str, Any]]]]], str]:
    """Renders, per text and [MASK], the candidates with their probabilities."""

    def render(results: Sequence[Sequence[Sequence[Mapping[str, Any]]]]) -> str:
        blocks = []
        for text, masks in zip(texts, results, strict=True):
            for number, candidates in enumerate(masks, 1):
                title = text if len(masks) == 1 else f"{text}   [MASK] {number}"
                rows = [[f"{c['score']:.1%}", c["token"], c["text"]] for c in candidates]
                blocks.append(render_table(title, rows, ["", "", ""]))
        return "\n\n".join(blocks)

    return render


def judgements(pairs: Sequence[tuple[str, str]]) -> Callable[[Sequence[Mapping[str, float]]], str]:
    """Renders each pair with the probability that its second text follows the first."""

    def render(results: Sequence[Mapping[str, float]]) -> str:
        rows = [
            [f"{result['is_next']:.1%}", first, second] for (first, second), result in zip(pairs, results, strict=True)
        ]
        return render_table("", rows, ["is next", "first", "second"])

    return render


def minimal_pairs(result: Mapping[str, Any]) -> str:
    """Both scores of every phenomenon, and of all."""
    rows = [
        [name, result["pairs_by_phenomenon"][name], f"{share:.1%}", f"{result['by_phenomenon_word_l2r'][name]:.1%}"]
        for name, share in result["by_phenomenon"].items()
    ]
    rows.append(["all", result["pairs"], f"{result['accuracy']:.1%}", f"{result['accuracy_word_l2r']:.1%}"])
    return render_table("", rows, ["phenomenon", "pairs", "PLL", "PLL-word-l2r"])


def finetuning(result: Mapping[str, Any]) -> str:
    """The figures of a fine-tuning beside its baselines, and where the model and the report are."""
    metrics = list(result["validation"])
    rows = [["this model", *(f"{result['validation'][name]:.4f}" for name in metrics)]]
    if result["seeds"]["count"] > 1:
        found, title = result["seeds"], f"mean of {result['seeds']['count']} seeds"
        rows.append(
            [title, *(f"{found['mean'][name]:.4f} ± {found['standard_deviation'][name]:.4f}" for name in metrics)]
        )
    beside = {**({"teacher": result["teacher"]["validation"]} if "teacher" in result else {}), **result["baselines"]}
    rows += [
        [name.replace("_", " "), *(f"{values[metric]:.4f}" for metric in metrics)] for name, values in beside.items()
    ]
    plain = [
        ["standard error", f"{result['standard_error']:.4f} ({result['metric']})"],
        ["steps", f"{result['steps']:,} in {duration(result['seconds'])}"],
        *([key, result[key]] for key in ("model", "report")),
        *(["submission", path] for path in result.get("submission", [])),
    ]
    title = f"{result['task']}: validation"
    return "\n\n".join([render_table(title, rows, ["", *metrics]), render_table("", plain, ["", ""])])


def suite(result: Mapping[str, Any]) -> str:
    """One line for each task, and the average."""
    from bertsmith.tasks.suite import table

    headings, rows = table(result)
    blocks = [render_table("", rows, headings)]
    if "minimal_pairs" in result:
        blocks.append(minimal_pairs(result["minimal_pairs"]))
    blocks += [f"failed: {name}: {reason}" for name, reason in result["failed"].items()]
    return "\n\n".join(blocks)


def evaluation(result: Mapping[str, Any]) -> str:
    """The metrics of a model on a task, and how many examples they are of."""
    rows: list[list[Any]] = [[name, f"{value:.4f}"] for name, value in result["metrics"].items()]
    for part, values in list(result.get("parts", {}).items())[1:]:
        rows += [[f"{name}, {part}", f"{value:.4f}"] for name, value in values.items()]
    if "fp32" in result:
        rows += [[f"{name}, fp32", f"{value:.4f}"] for name, value in result["fp32"].items()]
        same = result.get("same_predictions")
        rows += [
            ["precision", result["precision"]],
            *([["same predictions", f"{same:.2%}"]] if same is not None else []),
        ]
    rows += [["standard error", f"{result['standard_error']:.4f}"], ["examples", f"{result['examples']:,}"]]
    rows += [[f"skipped: {reason}", f"{count:,}"] for reason, count in result["skipped"].items()]
    return render_table(result["task"], rows, ["", ""])


def export(result: Mapping[str, Any]) -> str:
    """What was written, how far it is from the model, and what 8 bits cost."""
    rows: list[list[Any]] = [
        [result["format"], result["folder"]],
        ["files", ", ".join(result["files"])],
        ["megabytes", f"{result['megabytes']:.1f}"],
        ["largest difference", f"{result['largest_difference']:.1e}"],
    ]
    if "int8" in result:
        found, loss = result["int8"], result["int8"]["loss"]
        rows.append([found["file"], f"{found['megabytes']:.1f} of {found['megabytes_before']:.1f} MB"])
        rows.append(["  largest difference", f"{found['largest_difference']:.1e}"])
        if found["agreement"] is not None:
            rows.append(["  same choices", f"{found['agreement']:.1%}"])
        if loss:
            told = f"{loss['before']:.4f}, in 8 bits {loss['after']:.4f} ({loss['examples']:,} examples)"
            rows.append([f"  {loss['metric']}", told])
    return render_table("", rows, ["", ""])


def answers(asked: Sequence[Any] | None) -> Callable[[Sequence[Any]], str]:
    """Renders what `predict` found for each text, a label, entities or a number; beside it the text, if given."""

    def render(results: Sequence[Any]) -> str:
        rows = [[*_shown(result), *([_joined(asked[i])] if asked else [])] for i, result in enumerate(results)]
        columns = [""] * max((len(row) for row in rows), default=0)
        return render_table("", [[*row, *[""] * (len(columns) - len(row))] for row in rows], columns)

    return render


def _joined(text: Any) -> str:
    return text if isinstance(text, str) else " | ".join(text)


def _shown(result: Any) -> list[str]:
    if isinstance(result, list):
        return [", ".join(f"{entity['word']} ({entity['label']})" for entity in result) or "(no entity)"]
    if "error" in result:
        return ["", f"error: {result['error']}"]
    if "answer" in result:
        return [f"{result['score']:.1%}", result["answer"] or "(no answer)"]
    if "label" in result:
        return [f"{result['score']:.4g}", result["label"]]
    if "embedding" in result:
        vector = result["embedding"]
        return [f"{', '.join(f'{value:.4f}' for value in vector[:FIRST])}, ... ({len(vector)} numbers)"]
    return [f"{result['score']:.4f}"]


def inspection(result: Mapping[str, Any]) -> str:
    """What `inspect` found: parameters by part, or a corpus with its masks drawn."""
    from bertsmith.report import inspection as report

    if "parameters" in result:
        return report.render_parameters(result["parameters"])
    return report.render_corpus(result, color=sys.stdout.isatty() and not os.environ.get("NO_COLOR"))


def comparison(result: Mapping[str, Any]) -> str:
    """Models, one a line, and below what each has and keeps of the first one."""
    from bertsmith.report.comparison_table import render

    return render(result)


def studies(found: Sequence[Mapping[str, Any]]) -> str:
    """The shipped studies, one a line."""
    rows = [[study["name"], str(len(study["arms"])), study["question"]] for study in found]
    return render_table("", rows, ["study", "arms", "question"])


def study_design(result: Mapping[str, Any]) -> str:
    """A study's arms with what they set, and its claims."""
    ((unit, amount),) = result["budget"].items()
    from bertsmith.studies.report import arm_shown

    rows = [[arm["name"], arm["recipe"] or result["base"], arm_shown(arm), arm["note"]] for arm in result["arms"]]
    claims = [[f"{claim['better']} > {claim['worse']}", claim["metric"], claim["paper"]] for claim in result["claims"]]
    blocks = [
        f"{result['name']}: {result['question']}",
        result["note"],
        f"recipe {result['base']}, {amount:,.10g} {unit} a run, {result['seeds']} seeds",
        render_table("", rows, ["arm", "recipe", "sets", ""]),
        render_table("", claims, ["claim", "metric", "published"]),
    ]
    return "\n\n".join(block for block in blocks if block)


def study_costs(result: Mapping[str, Any]) -> str:
    """What a study would cost, an arm a line."""
    rows = [
        [arm["name"], _runs(arm), f"{arm['parameters']:,}", f"{arm['steps']:,}", f"{arm['tokens']:,}"]
        + [duration(arm["seconds"]), f"{arm['memory'] / 1e9:.2f} GB"]
        for arm in result["arms"]
    ]
    rows.append(["all", _runs(result), "", "", "", duration(result["seconds"]), ""])
    return render_table(
        result["study"], rows, ["arm", "runs", "parameters", "steps", "tokens", "time of a run", "memory"]
    )


def _runs(cost: Mapping[str, Any]) -> str:
    return f"{cost['runs']}, {cost['finished']} finished" if cost["finished"] else str(cost["runs"])


def study(result: Mapping[str, Any]) -> str:
    """What a study found."""
    from bertsmith.studies.report import render

    return render(result)


def plans(result: Mapping[str, Any]) -> str:
    """Recipes side by side."""
    from bertsmith.report import planning

    return planning.render(result["recipes"])


def recipe_list(recipes: Sequence[Mapping[str, Any]]) -> str:
    """The shipped recipes, one a line."""
    rows = [[recipe[key] for key in ("name", "budget", "batch", "description")] for recipe in recipes]
    return render_table("", rows, ["recipe", "budget", "batch", ""])


def recipe_fields(result: Mapping[str, Any]) -> str:
    """Every field of a recipe with its value and meaning; the key is also the flag."""
    rows = [
        [row["key"].replace("_", "-"), json.dumps(row["value"], ensure_ascii=False), row["help"] or row["type"]]
        for row in result["fields"]
    ]
    return render_table(result["file"], rows, ["field (flag --...)", "value", "meaning"])
