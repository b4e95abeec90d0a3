"""Answers of a trained model against Hugging Face, sentence-transformers and ONNX Runtime, all in one run.

    python benchmarks/inference.py [--data FILE] [--sizes base distilbert mini] [--lines 96] [--rounds 3] [--threads 1]

Sequence classification with random weights (time does not depend on them) over lines of mixed lengths, tokenisation
included. Without --data they are paragraphs of Python's own documentation, evenly spread. Every side has a process of
its own on the same cores; they take turns, round by round. Per side: lines a second (median of the rounds),
milliseconds of a line alone (p50, p99), the peak of the process's memory, and the largest difference of its logits to
transformers' in fp32. Ratios are of the same round: against the pipeline at batch 1, and against the fastest peer of
the same precision. Last, DistilBERT against BERT at base size, one line at a time.
Prints one JSON object, and the tables on stderr. A side whose library is missing is left out, and named.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

import numpy as np
from inference_sides import SIDES, confine, logits_of
from pretraining import peak_megabytes

from bertsmith.console import render_table
from bertsmith.demo import gather
from bertsmith.models.config import EncoderConfig, TaskHead
from bertsmith.models.folder import save_model
from bertsmith.models.task_models import new_task_model
from bertsmith.text.cleaning import clean
from bertsmith.tokenizers.tokenizer import Tokenizer
from bertsmith.tokenizers.training import count_words, train_wordpiece

BASE = EncoderConfig()
SIZES = {
    "base": BASE,
    "distilbert": replace(BASE, family="distilbert", layers=6, token_types=0),
    "mini": replace(BASE, hidden_size=256, layers=4, heads=4),
}
HEAD = TaskHead("sequence", ("negative", "neutral", "positive"))
REFERENCE = "sorted fp32"
PIPELINE = "pipeline 1"
GOALS = {"ours fp32": 3.2, "ours bf16": 6.0, "ours int8": 9.0}  # times the pipeline
AHEAD = 1.15  # of the best peer of the same precision
HALF = 1.9  # DistilBERT against BERT
WARM_UP = 8  # lines
ALONE = 24  # lines of a round that are asked one by one


class Apart:
    """One side in a process of its own."""

    def __init__(self, name: str, folder: Path, threads: int) -> None:
        context = multiprocessing.get_context("spawn")
        self.name = name
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=serve, args=(theirs, name, folder, threads), daemon=True)
        self._process.start()
        self.missing = str(self._pipe.recv())

    def ask(self, what: str, lines: Sequence[str]) -> Any:
        """What the process answers to one of `serve`'s questions."""
        self._pipe.send((what, list(lines)))
        return self._pipe.recv()

    def close(self) -> None:
        """End the process."""
        if not self.missing:
            self._pipe.send(("end", []))
        self._process.join()


def serve(pipe: Connection, name: str, folder: Path, threads: int) -> None:
    """What the process of one side does: "all" = seconds for all lines together, "each" = for each alone, "logits",
    "memory" in megabytes, until "end". It says first why the side does not exist here, "" where it does."""
    confine(threads)
    try:
        side = SIDES[name][1](folder)
    except (ImportError, SystemExit) as error:
        pipe.send(str(error) or type(error).__name__)
        return
    pipe.send("")
    while True:
        what, lines = pipe.recv()
        if what == "end":
            return
        if what == "logits":
            pipe.send(logits_of(side, lines))
        elif what == "memory":
            pipe.send(peak_megabytes())
        else:
            pipe.send([seconds(side, part) for part in ([lines] if what == "all" else [[line] for line in lines])])


def seconds(side: Any, lines: Sequence[str]) -> float:
    """Of one answer."""
    started = time.perf_counter()
    side.answer(lines)
    return time.perf_counter() - started


# --- what is asked ---


def lines_of(data: Path | None, count: int, folder: Path) -> tuple[list[str], Tokenizer]:
    """Lines, evenly spread over the text, and a tokenizer trained on all of it."""
    text = (data or gather(folder).text).read_text(encoding="utf-8", errors="replace")
    every = [line for line in map(clean, text.splitlines()) if line]
    if len(every) < count:
        raise SystemExit(f"{data}: holds {len(every)} lines, fewer than the {count} of --lines")
    counts: Counter[str] = Counter()
    count_words(every, True, counts)
    return every[:: len(every) // count][:count], train_wordpiece(counts, "auto", True)


def write_model(size: str, tokenizer: Tokenizer, folder: Path) -> Path:
    """A classifier of this size with random weights, as a folder that every side reads."""
    folder.mkdir()
    model = new_task_model(replace(SIZES[size], vocab_size=tokenizer.vocab_size), HEAD, seed=0)
    save_model(model, folder, pad_token_id=tokenizer.special.pad)
    tokenizer.save(folder, SIZES[size].max_positions)
    return folder


# --- measuring ---


def measure(folder: Path, names: Sequence[str], lines: Sequence[str], rounds: int, threads: int) -> dict[str, Any]:
    """{side: {rates, alone, megabytes, difference}}: lines a second of each round, seconds of single lines."""
    sides, found = opened(names, folder, threads)
    for side in sides:
        logits = side.ask("logits", lines)
        found[side.name] = {"rates": [], "alone": [], "logits": logits}
        side.ask("each", lines[:WARM_UP])
    for number in range(rounds):
        for side in sides:
            found[side.name]["rates"].append(len(lines) / side.ask("all", lines)[0])
            found[side.name]["alone"] += side.ask("each", [*lines[number::rounds]][:ALONE])
    exact = found.get(REFERENCE, {}).get("logits")
    for side in sides:
        own = found[side.name]
        own["megabytes"] = side.ask("memory", [])
        logits = own.pop("logits")
        own["difference"] = None if logits is None or exact is None else float(np.abs(logits - exact).max())
        side.close()
    return found


def opened(names: Sequence[str], folder: Path, threads: int) -> tuple[list[Apart], dict[str, dict[str, Any]]]:
    """The sides that exist here; of the others why not."""
    sides, found = [], {}
    for name in names:
        side = Apart(name, folder, threads)
        if side.missing:
            print(f"{name} is left out: {side.missing}", file=sys.stderr)
            side.close()
        else:
            sides.append(side)
            found[name] = {}
    return sides, found


def halved(folders: dict[str, Path], lines: Sequence[str], rounds: int, threads: int) -> float:
    """How many times as long as DistilBERT BERT takes, one line at a time, both ours in fp32, in turns."""
    sides = {size: Apart("ours fp32", folders[size], threads) for size in ("base", "distilbert")}
    for side in sides.values():
        side.ask("each", lines[:WARM_UP])
    ratios = []
    for _ in range(rounds):
        taken = {size: sum(side.ask("each", lines[:ALONE])) for size, side in sides.items()}
        ratios.append(taken["base"] / taken["distilbert"])
    for side in sides.values():
        side.close()
    return statistics.median(ratios)


# --- what came out ---


def summary(found: dict[str, Any]) -> dict[str, Any]:
    """Medians, percentiles and ratios of each side."""
    medians = {name: statistics.median(own["rates"]) for name, own in found.items()}
    rows = {}
    for name, own in found.items():
        alone = 1000 * np.array(own["alone"])
        rows[name] = {
            "precision": SIDES[name][0],
            "lines_per_second": medians[name],
            "milliseconds_p50": float(np.percentile(alone, 50)),
            "milliseconds_p99": float(np.percentile(alone, 99)),
            "megabytes": own["megabytes"],
            "largest_difference": own["difference"],
            "times_pipeline": ratio(found, name, PIPELINE),
        }
        if name.startswith("ours"):
            peers = [n for n in found if not n.startswith("ours") and SIDES[n][0] == SIDES[name][0]]
            best = max(peers, key=medians.__getitem__, default=None)
            rows[name] |= {"best_peer": best, "times_best_peer": ratio(found, name, best), "goal": GOALS[name]}
    return rows


def ratio(found: dict[str, Any], name: str, other: str | None) -> float | None:
    """The median over the rounds of how many times as fast one side is as another."""
    if other is None or other not in found:
        return None
    pairs = zip(found[name]["rates"], found[other]["rates"], strict=True)
    return statistics.median(one / two for one, two in pairs)


def table(size: str, rows: dict[str, Any]) -> str:
    """The figures of one size as text."""

    def shown(value: float | None, form: str) -> str:
        return "" if value is None else format(value, form)

    cells = [
        [
            name,
            shown(row["lines_per_second"], ".1f"),
            shown(row["milliseconds_p50"], ".1f"),
            shown(row["milliseconds_p99"], ".1f"),
            str(row["megabytes"]),
            shown(row["largest_difference"], ".1e"),
            shown(row["times_pipeline"], ".2f") + (f" (goal {row['goal']:g})" if "goal" in row else ""),
            f"{shown(row.get('times_best_peer'), '.2f')} {row.get('best_peer') or ''}".strip(),
        ]
        for name, row in rows.items()
    ]
    headings = ["", "lines/s", "p50 ms", "p99 ms", "peak MB", "difference", "x pipeline", f"x best peer (goal {AHEAD})"]
    return render_table(size, cells, headings)


def arguments_of() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="a text file; Python's documentation without")
    parser.add_argument("--sizes", nargs="+", choices=list(SIZES), default=list(SIZES))
    parser.add_argument("--sides", nargs="+", choices=list(SIDES), default=list(SIDES))
    parser.add_argument("--lines", type=int, default=96)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    if min(arguments.lines, arguments.rounds, arguments.threads) < 1:
        parser.error("--lines, --rounds and --threads must be 1 or more")
    return arguments


def main() -> None:
    """Measure every size and print what came out."""
    arguments = arguments_of()
    confine(arguments.threads)
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as place:
        lines, tokenizer = lines_of(arguments.data, arguments.lines, Path(place))
        tokens = [int(n) + 2 for n in tokenizer.encode_sentences(lines).lengths]
        folders = {size: write_model(size, tokenizer, Path(place) / size) for size in arguments.sizes}
        for size, folder in folders.items():
            measured = measure(folder, arguments.sides, lines, arguments.rounds, arguments.threads)
            found[size] = summary(measured)
            print(table(size, found[size]) + "\n", file=sys.stderr)
        half = None
        if {"base", "distilbert"} <= set(folders):
            half = halved(folders, lines, arguments.rounds, arguments.threads)
            print(f"BERT-base / DistilBERT, one line at a time: {half:.2f} (goal {HALF})", file=sys.stderr)
    setting = {"lines": len(lines), "tokens": {"mean": statistics.mean(tokens), "max": max(tokens)}}
    setting |= {"vocabulary": tokenizer.vocab_size, "threads": arguments.threads, "rounds": arguments.rounds}
    print(json.dumps({**setting, "sizes": found, "bert_over_distilbert": half}))


if __name__ == "__main__":
    main()
