"""What `compare` finds: models of any vocabulary side by side, in size, speed and quality."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy as np
import torch

from bertsmith import console, interrupt, store
from bertsmith.errors import UsageError
from bertsmith.report.bars import Bar, bar_plot
from bertsmith.report.html import render as render_page
from bertsmith.tasks.forward import batches, single
from bertsmith.tasks.masked_lm import evaluate_masked_lm
from bertsmith.tasks.minimal_pairs import evaluate_minimal_pairs
from bertsmith.tasks.pair_files import MinimalPair
from bertsmith.tasks.trained import Trained, load_trained, model_folder
from bertsmith.text.skipped import Skipped

TIMED_SENTENCES = 100
TIMED_WORDS = 20  # of a made-up sentence, where no text is given
WARM_UP = 5  # sentences that are not counted: kernels are chosen on them

Texts = Mapping[str, Sequence[Sequence[str]]]
"""What a text is called -> its documents, each a list of clean lines."""


class Questions(NamedTuple):
    """What all models are asked: texts to restore, minimal pairs to judge, and the seed of what is drawn."""

    texts: Texts
    pairs: Sequence[MinimalPair]
    seed: int


def compare_models(models: Sequence[str], questions: Questions) -> dict[str, Any]:
    """{models: [...]}, one entry per model in the order given.

    Each has name, parameters, megabytes (its weights on disk), milliseconds (median time of a sentence at batch 1,
    tokenisation included), threads; with texts loss, accuracy, word_accuracy and bits_per_character of the first one
    and `texts` {name: those four}; with pairs minimal_pairs and minimal_pairs_word_l2r. Loss and accuracy are those of
    tokens, so they compare between models of one tokenizer only; bits per character compare between all.
    Models are read, asked and forgotten one after another.
    """
    if not models:
        raise UsageError("compare wants at least one model")
    names = _names(models)
    for model in models:
        model_folder(Path(model))
    compared = []
    for number, (name, path) in enumerate(zip(names, models, strict=True), 1):
        interrupt.check()
        console.say(f"{number} of {len(models)}: {name}")
        compared.append(_measure(name, load_trained(path), questions))
    return {"models": compared}


def _names(models: Sequence[str]) -> list[str]:
    """The models as they were typed, without a trailing slash; UsageError when one is given twice."""
    names = [str(Path(model)) for model in models]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise UsageError(f"{twice}: is given twice")
    return names


def _measure(name: str, trained: Trained, questions: Questions) -> dict[str, Any]:
    sentences = [line for lines in questions.texts.values() for document in lines for line in document]
    found: dict[str, Any] = {
        "name": name,
        "parameters": sum(parameter.numel() for parameter in trained.model.parameters()),
        "megabytes": (trained.folder / "model.safetensors").stat().st_size / 1e6,
        "milliseconds": milliseconds(trained, _timed(sentences)),
        "threads": torch.get_num_threads(),
    }
    if questions.texts:
        found["texts"] = {label: _quality(trained, lines, questions.seed) for label, lines in questions.texts.items()}
        found.update(next(iter(found["texts"].values())))
    if questions.pairs:
        judged = evaluate_minimal_pairs(
            trained.model, trained.tokenizer, questions.pairs, trained.max_length, Skipped()
        )
        found["minimal_pairs"] = judged["accuracy"]
        found["minimal_pairs_word_l2r"] = judged["accuracy_word_l2r"]
        found["pairs"] = judged["pairs"]
    return found


def _quality(trained: Trained, documents: Sequence[Sequence[str]], seed: int) -> dict[str, float]:
    found = evaluate_masked_lm(trained.model, trained.tokenizer, documents, seed, trained.max_length)
    return {key: found[key] for key in ("loss", "accuracy", "word_accuracy", "bits_per_character")}


def _timed(sentences: Sequence[str]) -> list[str]:
    """Up to TIMED_SENTENCES of the text, evenly spread; made-up ones where there is none."""
    if not sentences:
        return [" ".join(["time"] * TIMED_WORDS)] * TIMED_SENTENCES
    step = max(1, len(sentences) // TIMED_SENTENCES)
    return list(sentences[::step][:TIMED_SENTENCES])


def milliseconds(trained: Trained, sentences: Sequence[str]) -> float:
    """Median time from a sentence to its hidden states, one sentence at a time."""
    device = next(trained.model.parameters()).device
    seconds: list[float] = []
    with torch.inference_mode():
        for sentence in [*sentences[:WARM_UP], *sentences]:
            started = time.perf_counter()
            token_ids = trained.tokenizer.encode_with_offsets(sentence)[0][: trained.max_length - 2]
            for _, batch in batches([single(token_ids.astype(np.int64), trained.tokenizer.special)], device):
                trained.model(batch).hidden_states.cpu()
            seconds.append(time.perf_counter() - started)
    return 1000 * median(seconds[min(WARM_UP, len(sentences)) :])


# --- as text and as a page ---


COLUMNS: tuple[tuple[str, str, Callable[[Any], str]], ...] = (
    ("parameters", "parameters", lambda value: f"{value:,}"),
    ("megabytes", "MB", lambda value: f"{value:,.1f}"),
    ("milliseconds", "ms/sentence", lambda value: f"{value:,.2f}"),
    ("loss", "loss", lambda value: f"{value:.3f}"),
    ("accuracy", "accuracy", lambda value: f"{value:.1%}"),
    ("bits_per_character", "bits/character", lambda value: f"{value:.3f}"),
    ("minimal_pairs", "minimal pairs", lambda value: f"{value:.1%}"),
    ("minimal_pairs_word_l2r", "word-l2r", lambda value: f"{value:.1%}"),
)
PER_TEXT = ("loss", "accuracy", "bits_per_character")


def table(result: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Headings and rows; with several texts each has columns of its own."""
    models = result["models"]
    texts = list(models[0].get("texts", {}))
    headings, rows = ["model"], [[model["name"]] for model in models]
    for key, heading, show in COLUMNS:
        if key not in models[0]:
            continue
        several = key in PER_TEXT and len(texts) > 1
        for text in texts if several else [""]:
            headings.append(f"{heading}, {text}" if several else heading)
            for row, model in zip(rows, models, strict=True):
                row.append(show(model["texts"][text][key] if several else model[key]))
    return headings, rows


def render(result: Mapping[str, Any]) -> str:
    """The table for a terminal."""
    headings, rows = table(result)
    return console.render_table("", rows, headings)


def write_comparison(result: Mapping[str, Any], folder: Path) -> Path:
    """compare.html: the table and a plot of each column, in one file."""
    folder.mkdir(parents=True, exist_ok=True)
    headings, rows = table(result)
    plots = []
    for key, heading, show in COLUMNS:
        if key in result["models"][0]:
            bars = [Bar(model["name"], model[key], show(model[key])) for model in result["models"]]
            plots.append((heading, bar_plot(bars, heading)))
    page = render_page("comparison.html", headings=headings, rows=rows, plots=plots)
    path = folder / "compare.html"
    store.write_atomic(path, page.encode())
    return path
