"""README.md of a finished model: what it is, what it read, how it was trained, how well it does, how to load it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import bertsmith
from bertsmith import store
from bertsmith.data.corpus import Corpus
from bertsmith.models.families import FAMILIES
from bertsmith.report.pretraining import Table, constant_guess, corpus_tables, cost_table, verdict
from bertsmith.report.run import Run, read_run
from bertsmith.text.han import contains_han

CARD = "README.md"
MANY_HAN = 0.3  # share of the tokens from which a text is called Chinese


def write_card(run_folder: Path, *corpus_folders: Path) -> Path:
    """Put README.md into RUN/model and return its path; `corpus_folders` are those the run read.

    The folder is made anew with the card inside (its files are linked, not copied), so that its manifest names all of
    them. Raises UsageError or BertsmithError naming the file when a folder is incomplete or damaged.
    """
    run = read_run(run_folder)
    text = card(run, corpus_folders)
    folder = run_folder / "model"
    path = folder / CARD
    if path.is_file() and path.read_text("utf-8") == text:
        return path
    details = store.read_details(folder, "model")
    with store.writing(folder, "model", details) as partial:
        store.link_files(folder, partial, without=(store.MANIFEST, CARD))
        (partial / CARD).write_text(text, "utf-8")
    return path


def card(run: Run, corpus_folders: Sequence[Path]) -> str:
    """The card as Markdown with YAML front matter, as the Hugging Face hub reads it."""
    heads = run.plan.heads
    held_out = Corpus.open(corpus_folders[0], split="validation")
    front = {
        "language": "zh" if _is_chinese(Corpus.open(corpus_folders[0])) else "",
        "license": "unknown",
        "library_name": "transformers",
        "pipeline_tag": "fill-mask" if "masked_lm" in heads else "feature-extraction",
        "tags": f"[{run.record.resolved['model']['family']}, pretraining, bertsmith]",
        "metrics": "[perplexity, accuracy]",
    }
    origin = "Training went on from other weights," if run.initial else "Trained from scratch"
    yaml = "\n".join(f"{name}: {value}" for name, value in front.items() if value)
    blocks = [
        f"---\n{yaml}\n---",
        f"# {run.name}",
        f"{_description(run)} {origin} with bertsmith {bertsmith.__version__}.",
        f"{verdict(run, constant_guess(run, held_out))} Validation text was not trained on.",
        "## Use",
        _usage(heads, run),
        "## Limits",
        "It has read the text described below and nothing else, repeats what is wrong or unfair in it, and has not "
        "been trained to follow instructions. Whoever publishes it chooses the licence that this text allows.",
        *map(_markdown, corpus_tables(run, corpus_folders)),
        _markdown(cost_table(run)),
        f"## Recipe\n\n```toml\n{(run.folder / 'recipe.toml').read_text('utf-8').strip()}\n```",
    ]
    return "\n\n".join(blocks) + "\n"


def _description(run: Run) -> str:
    model = run.record.resolved["model"]
    return (
        f"An encoder of the {model['family'].upper()} family with {model['layers']} layers, width "
        f"{model['hidden_size']} and {model['heads']} heads over a vocabulary of {model['vocab_size']:,}."
    )


def _usage(heads: tuple[str, ...], run: Run) -> str:
    loaded_by = FAMILIES[run.record.resolved["model"]["family"]].classes
    names = tuple(head for head in heads if head in loaded_by)
    classes = [loaded_by[head] for head in names] or ["AutoModel"]
    lines = [f"from transformers import AutoTokenizer, {', '.join(classes)}", ""]
    lines.append('tokenizer = AutoTokenizer.from_pretrained("path/to/this/folder")')
    lines += [
        f'{name} = {kind}.from_pretrained("path/to/this/folder")'
        for name, kind in zip(names or ("model",), classes, strict=True)
    ]
    code = "\n".join(lines)
    note = f"It was trained on at most {run.plan.longest} tokens; the tokenizer truncates there."
    if "pair" in heads:
        note += " For pairs class 0 means that the second part is next."
        note += "" if "pair" in names else " transformers has no class with this head, bertsmith reads it."
    return f"```python\n{code}\n```\n\n{note}"


def _is_chinese(corpus: Corpus) -> bool:
    counts = corpus.token_counts()
    han = sum(int(counts[i]) for i, token in enumerate(corpus.tokenizer.tokens) if contains_han(token))
    return han > MANY_HAN * max(1, int(counts.sum()))


def _markdown(table: Table) -> str:
    rows = [f"| {name} | {value.replace('|', chr(92) + '|')} |" for name, value in table.rows]
    return "\n".join([f"## {table.title}", "", "| | |", "|---|---|", *rows])
