"""report.html of a finished run: the result beside guesses, curves, cost, corpus, recipe, and examples."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import bertsmith
from bertsmith.console import count, duration, size
from bertsmith.data.corpus import Corpus
from bertsmith.data.cuts import cut_for
from bertsmith.report.curves import Plot, plots_of
from bertsmith.report.examples import JudgedPair, SeenLine, draw_sequences, judged_pairs, part_seed, seen_lines
from bertsmith.report.html import render
from bertsmith.report.run import Run, read_run
from bertsmith.store import write_atomic
from bertsmith.tasks.trained import Trained, load_trained

EXAMPLES = 10


class Tile(NamedTuple):
    """One figure, large, with what to compare it with."""

    label: str
    value: str
    beside: str


class Table(NamedTuple):
    """Rows of (name, value)."""

    title: str
    rows: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class PretrainingReport:
    """What the template shows."""

    name: str
    version: str
    corpus_name: str
    verdict: str
    tiles: Sequence[Tile]
    plots: Sequence[Plot]
    summary: Sequence[Table]
    recipe: Sequence[Table]
    lines: Sequence[SeenLine]
    pairs: Sequence[JudgedPair]


def write_report(run_folder: Path, *corpus_folders: Path) -> Path:
    """Write `report.html` into the folder of a finished run and return its path.

    `corpus_folders`: those the run read, as they were given to it; examples come from the first. Everything is read
    from the folders, so it can be written again at any time. Raises UsageError or BertsmithError naming the file when a
    folder is incomplete or damaged.
    """
    run = read_run(run_folder)
    corpus = Corpus.open(corpus_folders[0])
    held_out = Corpus.open(corpus_folders[0], split="validation")
    constant = constant_guess(run, held_out)
    trained = load_trained(run_folder)
    lines, pairs = _examples(run, trained, held_out)
    report = PretrainingReport(
        name=run.name,
        version=bertsmith.__version__,
        corpus_name=" and ".join(folder.resolve().name for folder in corpus_folders),
        verdict=verdict(run, constant),
        tiles=_tiles(run, constant),
        plots=plots_of(run, constant),
        summary=[cost_table(run), *corpus_tables(run, corpus_folders)],
        recipe=recipe_tables({**run.recipe, **prepared_with(corpus)}),
        lines=lines,
        pairs=pairs,
    )
    path = run_folder / "report.html"
    write_atomic(path, render("pretraining.html", report=report).encode("utf-8", "replace"))
    return path


def constant_guess(run: Run, held_out: Corpus) -> float:
    """Accuracy of one and the same answer for every validation pair; 0 where the cut makes no pairs."""
    if not held_out.tokens:
        return 0.0
    seed = part_seed(run.plan.seed, "validation")
    cut = cut_for(run.last_phase.cut, held_out.tokenizer.special, seed, held_out.tokenizer.separators)
    rows = cut.plan(held_out, epoch=0) if cut.has_pairs else np.empty((0, 6))
    random = float((rows[:, -1] == 1).mean()) if len(rows) else 0.0
    return max(random, 1 - random) if len(rows) else 0.0


def _examples(run: Run, trained: Trained, held_out: Corpus) -> tuple[list[SeenLine], list[JudgedPair]]:
    if not held_out.tokens:
        return [], []
    seed = part_seed(run.plan.seed, "validation")
    drawn = draw_sequences(held_out, trained.tokenizer, run.last_phase.cut, run.last_phase.masking, seed, EXAMPLES)
    heads = trained.model.trained_heads
    lines = seen_lines(trained.model, trained.tokenizer, drawn) if "masked_lm" in heads else []
    pairs = judged_pairs(trained.model, trained.tokenizer, drawn.examples) if "pair" in heads else []
    return lines, pairs


def verdict(run: Run, constant: float) -> str:
    """The result in a sentence or two, beside what guesses reach."""
    values = run.validation[-1] if run.validation else {}
    start = f"After {run.result['steps']:,} steps ({duration(run.result['seconds'])})"
    if "masked_lm_loss" not in values:
        return f"{start} there is no validation figure: the corpus has no validation part."
    loss, unigram, uniform = values["masked_lm_loss"], values["unigram_loss"], values["uniform_loss"]
    gained = unigram - loss
    beside = f"{abs(gained):.2f} {'below' if gained >= 0 else 'above'} a unigram guess ({unigram:.2f})"
    text = (
        f"{start} the validation loss is {loss:.2f} nats per hidden token: {beside}, {uniform - loss:.2f} below a "
        f"uniform one ({uniform:.2f}). {values['masked_lm_accuracy']:.1%} of the hidden tokens are restored "
        "at first guess"
    )
    if "pair_accuracy" in values:
        text += (
            f", and {values['pair_accuracy']:.1%} of the pairs are judged rightly (a constant answer: {constant:.1%})"
        )
    if gained < 0.1:
        text += (
            ". So far the model knows little more than how frequent tokens are; it needs more steps or a larger rate"
        )
    return text + "."


def _tiles(run: Run, constant: float) -> list[Tile]:
    values = run.validation[-1] if run.validation else {}
    result = run.result
    tiles = []
    if "masked_lm_loss" in values:
        beside = f"nats; unigram {values['unigram_loss']:.2f}, uniform {values['uniform_loss']:.2f}"
        tiles.append(Tile("Validation loss", f"{values['masked_lm_loss']:.3f}", beside))
        tiles.append(Tile("Hidden tokens restored", f"{values['masked_lm_accuracy']:.1%}", "at first guess"))
    if "pair_accuracy" in values:
        tiles.append(Tile("Pairs judged rightly", f"{values['pair_accuracy']:.1%}", f"constant answer {constant:.1%}"))
    speed = count(result["tokens"] / max(result["seconds"], 1e-9))
    tiles.append(Tile("Training time", duration(result["seconds"]), f"{result['steps']:,} steps"))
    tiles.append(Tile("Tokens per second", speed, f"{count(result['tokens'])} tokens read"))
    return tiles


def cost_table(run: Run) -> Table:
    """Time, tokens, memory and the machine they were spent on."""
    result, settings = run.result, run.record.settings
    spent = sum(line["seconds"] for line in run.training)
    waited = sum(line["data_wait"] * line["seconds"] for line in run.training) / max(spent, 1e-9)
    rows = [
        ("training time", duration(result["seconds"])),
        ("steps", f"{result['steps']:,}"),
        ("tokens read", f"{result['tokens']:,}"),
        ("tokens per second", f"{result['tokens'] / max(result['seconds'], 1e-9):,.0f}"),
        ("waited for data", f"{waited:.1%} of the time"),
        ("peak memory", size(result["peak_memory"])),
        ("precision", f"{settings.precision}{', compiled' if settings.compiled else ''}"),
        ("ranks × threads", f"{settings.world} × {settings.threads}"),
        *((name, str(value)) for name, value in run.record.machine.items()),
    ]
    return Table("Cost", rows)


def corpus_tables(run: Run, folders: Sequence[Path]) -> list[Table]:
    """A table for each corpus the run read; of several, with its name and its share of every step."""
    titles = ["Corpus"]
    if run.shares:
        names = (folder.resolve().name for folder in folders)
        titles = [f"Corpus {name}, {share:.0%} of every step" for name, share in zip(names, run.shares, strict=True)]
    return [
        _corpus_table(title, Corpus.open(folder), Corpus.open(folder, split="validation"))
        for title, folder in zip(titles, folders, strict=True)
    ]


def _corpus_table(title: str, corpus: Corpus, held_out: Corpus) -> Table:
    """Counts of a corpus, its validation part, and what preparation skipped."""
    details = corpus.details
    rows = [
        (f"{name}", f"{getattr(corpus, attribute):,} + {getattr(held_out, attribute):,} for validation")
        for name, attribute in (
            ("documents", "document_count"),
            ("sentences", "sentence_count"),
            ("tokens", "tokens"),
        )
    ]
    rows.append(("vocabulary", f"{corpus.vocab_size:,}"))
    if "unk_rate" in details:
        rows.append(("[UNK]", f"{details['unk_rate']:.3%} of the tokens"))
    if "tokens_per_word" in details:
        rows.append(("tokens per word", f"{details['tokens_per_word']:.3f}"))
    if "bytes" in details:
        rows.append(("text read", size(details["bytes"])))
    skipped = details.get("skipped") or {}
    rows += [(f"skipped: {reason}", f"{amount:,}") for reason, amount in skipped.items()]
    return Table(title, rows if skipped else [*rows, ("skipped", "nothing")])


def prepared_with(corpus: Corpus) -> dict[str, Any]:
    """How the corpus was really prepared: the recipe of a run may say otherwise where only `prepare` got a flag."""
    recipe = tomllib.loads(str(corpus.details.get("recipe", "")))
    return {name: recipe[name] for name in ("tokenizer", "text") if name in recipe}


def recipe_tables(recipe: Mapping[str, Any]) -> list[Table]:
    """The resolved recipe, a table for each of its own."""
    plain = [(name, _value(value)) for name, value in recipe.items() if not isinstance(value, Mapping)]
    tables = [Table("Recipe", plain)]
    for name, values in recipe.items():
        if isinstance(values, Mapping):
            tables.append(Table(f"Recipe: {name}", [(key, _value(value)) for key, value in values.items()]))
    return tables


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
