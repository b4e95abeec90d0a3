"""Speed of preparing, planning and masking, beside what run_mlm.py uses, both sides in one run.

    python benchmarks/data.py                                       on Python's own documentation
    python benchmarks/data.py --text train.txt [--vocabulary vocab.txt]
    python benchmarks/data.py --text zh.txt --vocabulary bert-base-chinese-vocab.txt --recipe roberta-wwm-mini-chinese

Every figure is a median over turns in which the sides alternate. MB are 10^6 bytes of text as read; "cold" starts new
processes and an empty cache of words each time, as `bertsmith prepare` does. A text given should hold one sentence
a line; the documentation holds one paragraph a line, so that it is split either way. Chinese text is always prepared
with its word boundaries.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

import numpy as np
import torch

from bertsmith.data.config import CutConfig, CutName, MaskingConfig
from bertsmith.data.corpus import Corpus
from bertsmith.data.cuts import CUTS, cut_for
from bertsmith.data.masking import mask
from bertsmith.demo import gather

ROWS, LENGTH = 256, 128


def medians(sides: dict[str, Callable[[], float]], turns: int) -> dict[str, float]:
    """Each side's median rate; a side returns units done per second."""
    rates: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(turns):
        for name, side in sides.items():
            rates[name].append(side())
    return {name: round(statistics.median(values), 2) for name, values in rates.items()}


def preparation(text: Path, vocabulary: str, recipe: str, folder: Path, turns: int) -> dict[str, object]:
    """MB/s of `bertsmith prepare`, whole command, beside `tokenizers` on the same lines."""
    joined = folder / "paragraphs.txt"
    documents = text.read_text(encoding="utf-8").split("\n\n")
    joined.write_text("\n\n".join(" ".join(d.split("\n")) for d in documents), encoding="utf-8")
    megabytes = text.stat().st_size / 1e6
    lines = text.read_text(encoding="utf-8").splitlines()
    reference = fast_tokenizer(vocabulary or str(prepared(text, vocabulary, recipe, folder, 1)[0] / "tokenizer"))

    def ours(source: Path, workers: int) -> Callable[[], float]:
        return lambda: megabytes / prepared(source, vocabulary, recipe, folder, workers)[1]

    def theirs() -> float:
        started = time.perf_counter()
        for start in range(0, len(lines), 1000):
            reference(lines[start : start + 1000], add_special_tokens=False, return_special_tokens_mask=True)
        return megabytes / (time.perf_counter() - started)

    rates = medians(
        {
            "prepare, 1 process": ours(text, 1),
            "prepare, 2 processes": ours(text, 2),
            "prepare with sentence splitting, 1 process": ours(joined, 1),
            "tokenizers alone, ids only, 1 thread": theirs,
        },
        turns,
    )
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    return {
        "what": "preparation, MB/s",
        "trained_vocabulary": not vocabulary,
        **rates,
        "largest_process_megabytes": round(peak),
    }


def prepared(text: Path, vocabulary: str, recipe: str, folder: Path, workers: int) -> tuple[Path, float]:
    """A corpus made by the command line, and the seconds that it reports (the start of Python not counted)."""
    with tempfile.TemporaryDirectory(dir=folder) as place:
        out = Path(place) / "corpus"
        command = [sys.executable, "-m", "bertsmith", "prepare", recipe, "--text", str(text), "--out", str(out)]
        extra = ["--tokenizer", vocabulary] if vocabulary else []
        done = subprocess.run(
            [*command, *extra, "--workers", str(workers), "--json"], check=True, capture_output=True, text=True
        )
        kept = folder / "corpus"
        if not kept.exists():
            out.rename(kept)
        return kept, json.loads(done.stdout)["seconds"]


def fast_tokenizer(path: str):
    """transformers' tokenizer of a vocabulary file or folder."""
    from transformers import AutoTokenizer, BertTokenizer

    return BertTokenizer(path) if path.endswith(".txt") else AutoTokenizer.from_pretrained(path)


def planning(corpus: Corpus, turns: int) -> dict[str, object]:
    """Million sentences per second of planning an epoch with each cut."""
    epochs = iter(range(10**9))

    def ours(name: CutName) -> Callable[[], float]:
        cut = cut_for(CutConfig(name=name, copies=0), corpus.tokenizer.special, 0)

        def plan() -> float:
            started = time.perf_counter()
            cut.plan(corpus, next(epochs))
            return corpus.sentence_count / (time.perf_counter() - started) / 1e6

        plan()
        return plan

    return {"what": "planning, million sentences/s", **medians({name: ours(name) for name in CUTS}, 5 * turns)}


def masking(corpus: Corpus, turns: int) -> dict[str, object]:
    """Million tokens per second of masking 256 x 128 tokens, by each unit, and Hugging Face's collator."""
    from transformers import DataCollatorForLanguageModeling

    special, size = corpus.tokenizer.special, corpus.vocab_size
    cut = cut_for(CutConfig(name="full_sentences", length=LENGTH), special, 0)
    rows = cut.plan(corpus, 0)
    chosen = np.arange(min(ROWS, len(rows)))
    examples = cut.build(corpus, rows[chosen])
    assert corpus.folder is not None, "a corpus on disk"
    collator = DataCollatorForLanguageModeling(fast_tokenizer(str(corpus.folder / "tokenizer")))
    pieces = torch.from_numpy(examples.token_ids[: ROWS * LENGTH // 2]).view(-1, LENGTH).tolist() * 2
    features = [{"input_ids": piece} for piece in pieces]
    epochs = iter(range(10**9))

    def ours(unit: str, budget: str) -> Callable[[], float]:
        config = MaskingConfig(unit=unit, budget=budget, copies=0)  # type: ignore[arg-type]

        def run() -> float:
            started = time.perf_counter()
            mask(examples, config, special, size, 0, next(epochs), chosen)
            return len(examples.token_ids) / (time.perf_counter() - started) / 1e6

        run()
        return run

    def theirs() -> float:
        started = time.perf_counter()
        collator(features)
        return len(features) * LENGTH / (time.perf_counter() - started) / 1e6

    sides = {
        "token, rounded": ours("token", "rounded"),
        "token, stochastic": ours("token", "stochastic"),
        "word, rounded": ours("word", "rounded"),
        "word, stochastic": ours("word", "stochastic"),
        "ngram, rounded": ours("ngram", "rounded"),
        "ngram, stochastic": ours("ngram", "stochastic"),
        "Hugging Face collator": theirs,
    }
    return {"what": "masking, million tokens/s", **medians(sides, 20 * turns)}


def main() -> None:
    """Prints one JSON object per line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--text", default="", help="a text file, one sentence per line")
    parser.add_argument("--vocabulary", default="", help="a published vocab.txt; else one is trained each time")
    parser.add_argument("--recipe", default="bert-mini", help="what `prepare` is asked for")
    parser.add_argument("--turns", type=int, default=3)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        text = Path(arguments.text) if arguments.text else gather(folder).text
        print(
            json.dumps(preparation(text, arguments.vocabulary, arguments.recipe, folder, arguments.turns)), flush=True
        )
        corpus = Corpus.open(folder / "corpus")
        print(json.dumps(planning(corpus, arguments.turns)), flush=True)
        print(json.dumps(masking(corpus, arguments.turns)), flush=True)


if __name__ == "__main__":
    main()
