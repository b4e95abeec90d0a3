"""Pretraining speed and loss against Hugging Face's Trainer as run_mlm.py uses it, both sides in one run.

    python benchmarks/pretraining.py            speed and peak memory at every size, precision by precision
    python benchmarks/pretraining.py --curves   losses of both over the same batches, step by step
    python benchmarks/pretraining.py --seeds 3  validation loss of both with dropout

Same model, same weights at the start, same rows of 128 tokens (masked_lm), same batch, dropout 0.1. Each side has a
process of its own; they take turns; medians over all steps but the first two of each turn. Without --text it uses
Python's own documentation.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import statistics
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

import torch
from sides import LENGTH, MODELS, Ours, Setting, Theirs, batches_of, full_batches, padded, validation_loss

from bertsmith.data.corpus import Corpus
from bertsmith.data.preparation import prepare_corpus
from bertsmith.demo import gather
from bertsmith.models.model import build_model
from bertsmith.objectives.table import OBJECTIVES
from bertsmith.text.config import TextConfig
from bertsmith.tokenizers.config import TokenizerConfig
from bertsmith.training.device import set_up_cpu

WARM = 2  # steps of a turn that are not counted
GOALS = {
    ("mini", "bf16"): 5.0,
    ("small", "bf16"): 3.5,
    ("base", "bf16"): 1.8,
    ("mini", "fp32"): 3.0,
    ("albert-mini", "bf16"): 4.0,
    ("roberta-mini", "bf16"): 4.5,
}


def corpus_of(text: list[str], folder: Path) -> Path:
    """A corpus of the given files, or of the documentation that every Python carries."""
    if not text:
        text = [str(gather(folder).text)]
    out = folder / "corpus"
    prepare_corpus(text, out, TokenizerConfig(), TextConfig(), seed=0, workers=0, tokenizer=None, recipe_text="")
    return out


def same_function(corpus: Corpus, setting: Setting) -> float:
    """Largest difference of the two sides' losses on one batch, same weights, fp32, no dropout."""
    plain = replace(setting, dropout=0.0, precision="fp32")
    (batch,) = batches_of(corpus, plain).step(0)
    objective = OBJECTIVES["masked_lm"]
    with torch.inference_mode():
        model = build_model(plain.encoder(), ("masked_lm",), seed=plain.seed)
        score = objective.score(model, model(batch), batch)
        theirs = Theirs(corpus, plain).model.eval()(**padded(batch, plain.encoder().position_offset)).loss
    return abs(float(score.loss) / score.count - float(theirs))


class Apart:
    """One side in a process of its own, so that neither side's settings reach the other."""

    def __init__(self, side: str, corpus: Path, setting: Setting, compiled: bool = False) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=serve, args=(theirs, side, corpus, setting, compiled), daemon=True)
        self._process.start()

    def run(self, count: int) -> tuple[list[float], int]:
        """Seconds of each of the next `count` steps, and the process's peak resident megabytes so far."""
        self._pipe.send(count)
        return self._pipe.recv()

    def close(self) -> None:
        """End the process."""
        self._pipe.send(0)
        self._process.join()


def serve(pipe: Connection, side: str, path: Path, setting: Setting, compiled: bool) -> None:
    """What the process of one side does: steps, until it is told to make none."""
    corpus = Corpus.open(path)
    if side == "ours":
        set_up_cpu(0, 1)
        runner = Ours(corpus, setting, compiled=compiled, batches=full_batches(corpus, setting))
    else:
        runner = Theirs(corpus, setting)
    while count := pipe.recv():
        seconds = runner.run(count)[0]
        pipe.send((seconds, peak_megabytes()))


def peak_megabytes() -> int:
    """The most memory this process held; the system's usage counter would begin with that of the parent."""
    status = Path("/proc/self/status").read_text()
    return round(int(status.split("VmHWM:")[1].split()[0]) / 1024)


def speed(path: Path, setting: Setting, turns: int, count: int, compiled: bool) -> dict[str, object]:
    """Tokens per second of both sides, turn by turn, and the peak memory of each."""
    sides = {name: Apart(name, path, setting, compiled) for name in ("ours", "theirs")}
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    peaks: dict[str, int] = {}
    ratios = []
    for _ in range(turns):
        turn = {}
        for name, side in sides.items():
            times, peaks[name] = side.run(count + WARM)
            seconds[name] += times[WARM:]
            turn[name] = statistics.median(times[WARM:])
        ratios.append(turn["theirs"] / turn["ours"])
    for side in sides.values():
        side.close()
    tokens = setting.batch_size * LENGTH
    return {
        "size": setting.size,
        "precision": setting.precision,
        "compiled": compiled,
        "tokens_per_second": {name: round(tokens / statistics.median(times)) for name, times in seconds.items()},
        "ratio": round(statistics.median(ratios), 2),
        "ratios": [round(ratio, 2) for ratio in ratios],
        "goal": GOALS.get((setting.size, setting.precision)),
        "peak_megabytes": peaks,
    }


def curves(corpus: Corpus, setting: Setting, count: int) -> dict[str, object]:
    """Losses of both sides over the same batches from the same weights, without dropout."""
    setting = replace(setting, dropout=0.0, steps=count, learning_rate=1e-3)
    ours = Ours(corpus, setting).run(count)[1]
    theirs = Theirs(corpus, setting).run(count, batches_of(corpus, setting))[1]
    gaps = [abs(a - b) for a, b in zip(ours, theirs, strict=True)]
    shown = range(0, count, max(1, count // 10))
    return {
        "precision": setting.precision,
        "steps": count,
        "ours": [round(ours[i], 4) for i in shown],
        "theirs": [round(theirs[i], 4) for i in shown],
        "largest_gap": round(max(gaps), 5),
        "mean_gap": round(statistics.mean(gaps), 5),
    }


def over_seeds(corpora: tuple[Corpus, Corpus], setting: Setting, seeds: int, count: int) -> dict[str, object]:
    """Validation losses of both sides after training with dropout, over several seeds."""
    train, held_out = corpora
    losses: dict[str, list[float]] = {"ours": [], "theirs": []}
    setting = replace(setting, steps=count, learning_rate=1e-3)

    def validation() -> Iterator:
        source = batches_of(held_out, replace(setting, seed=0))
        return (source.step(i)[0] for i in range(source.steps_per_epoch(0)))

    offset = setting.encoder().position_offset
    for seed in range(seeds):
        chosen = replace(setting, seed=seed)
        ours, theirs = Ours(train, chosen), Theirs(train, chosen)
        ours.run(count)
        theirs.run(count, batches_of(train, chosen))
        with ours.state.optimizer.masters_in_model():
            losses["ours"].append(validation_loss(ours.state.model, validation(), ours=True))
        losses["theirs"].append(validation_loss(theirs.model, validation(), ours=False, position_offset=offset))
    means = {name: statistics.mean(values) for name, values in losses.items()}
    return {
        "precision": setting.precision,
        "steps": count,
        "validation_loss": {name: [round(value, 4) for value in values] for name, values in losses.items()},
        "mean": {name: round(value, 4) for name, value in means.items()},
        "relative_difference": round(means["ours"] / means["theirs"] - 1, 5),
    }


def arguments_of() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--text", nargs="*", default=[], help="text files; Python's documentation when none")
    parser.add_argument("--corpus", default="", help="a prepared corpus instead of text")
    parser.add_argument("--sizes", nargs="+", choices=list(MODELS), default=["mini", "small", "base"])
    parser.add_argument("--precisions", nargs="+", choices=["bf16", "fp32"], default=["bf16"])
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--steps", type=int, default=8, help="counted steps of a turn; of a curve: all of them")
    parser.add_argument("--compile", action="store_true", help="bertsmith's layers compiled")
    parser.add_argument("--curves", action="store_true")
    parser.add_argument("--seeds", type=int, default=0)
    return parser.parse_args()


def main() -> None:
    """Runs what was asked for and prints one JSON object per line."""
    arguments = arguments_of()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(arguments.corpus) if arguments.corpus else corpus_of(arguments.text, Path(folder))
        corpus = Corpus.open(path)
        for size in arguments.sizes:
            for precision in arguments.precisions:
                setting = Setting(size, precision)
                if arguments.curves:
                    result = curves(corpus, setting, arguments.steps)
                elif arguments.seeds:
                    held_out = Corpus.open(path, "validation")
                    result = over_seeds((corpus, held_out), setting, arguments.seeds, arguments.steps)
                else:
                    gap = same_function(corpus, setting)
                    result = speed(path, setting, arguments.turns, arguments.steps, arguments.compile)
                    result["loss_difference_at_start"] = gap
                print(json.dumps({"size": size, **result, "threads": torch.get_num_threads()}), flush=True)


if __name__ == "__main__":
    main()
