"""What sharing weights and a small embedding buy, and what they do not: ALBERT's grid, measured.

    python benchmarks/sharing.py --corpus CORPUS [--recipe albert-mini] [--widths 64 128 256] [--steps 40] [--rounds 3]

Every cell of (sharing, embedding width) is a real short run in a process of its own, eager, bf16; the cells take turns.
Printed: parameters, tokens a second (median over the rounds), the highest memory above the bare process (lowest over
the rounds: other programs only add to it), and what the optimiser and one exchange of gradients between two machines
would carry.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

from real_steps import train

SHARING = ("all", "attention", "ffn", "none")


def flags_of(sharing: str, width: int, steps: int, threads: int) -> dict[str, Any]:
    """The flags of one cell."""
    training = {"steps": steps, "threads": threads, "precision": "bf16", "compile": "off", "warmup": 0.1}
    training |= {"validation_sequences": 16, "validate_every": 10**6, "save_every": 0}
    model = {"model.sharing": sharing, "model.embedding_size": width}
    return {**{f"training.{name}": value for name, value in training.items()}, **model}


def in_a_process(cell: tuple[str, int], arguments: argparse.Namespace) -> dict[str, float]:
    """One run of one cell."""
    line = [sys.executable, __file__, "--corpus", str(arguments.corpus), "--recipe", arguments.recipe]
    line += ["--steps", str(arguments.steps), "--threads", str(arguments.threads), "--only", cell[0], str(cell[1])]
    done = subprocess.run(line, stdout=subprocess.PIPE, check=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def run_cell(arguments: argparse.Namespace) -> dict[str, float]:
    """Parameters, bytes and tokens a second of the cell asked for."""
    from bertsmith import pipeline
    from bertsmith.data.corpus import Corpus

    sharing, width = arguments.only
    flags = flags_of(sharing, int(width), arguments.steps, arguments.threads)
    sized = {**flags, "model.vocab_size": Corpus.open(arguments.corpus).vocab_size}
    parameters = pipeline.inspect(arguments.recipe, flags=sized)["parameters"]["total"]
    return {"parameters": parameters, **train(arguments.recipe, arguments.corpus, flags)}


def main() -> None:
    """Run the grid and print a line per cell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--recipe", default="albert-mini")
    parser.add_argument("--widths", nargs="+", type=int, default=[64, 128, 256])
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--only", nargs=2, default=None, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.only:
        print(json.dumps(run_cell(arguments)))
        return
    cells = [(sharing, width) for width in arguments.widths for sharing in SHARING]
    found: dict[tuple[str, int], list[dict[str, float]]] = {cell: [] for cell in cells}
    for _ in range(arguments.rounds):
        for cell in cells:
            found[cell].append(in_a_process(cell, arguments))
    print("| E | sharing | parameters | tokens/s | memory | optimiser | gradients |\n|---|---|---|---|---|---|---|")
    for (sharing, width), runs in found.items():
        parameters = int(runs[0]["parameters"])
        speed = statistics.median(run["tokens"] / run["seconds"] for run in runs)
        memory = min(run["bytes"] for run in runs) / 1e6
        carried = f"{8 * parameters / 1e6:.1f} MB | {4 * parameters / 1e6:.1f} MB"
        print(f"| {width} | {sharing} | {parameters:,} | {speed:,.0f} | {memory:.0f} MB | {carried} |")


if __name__ == "__main__":
    main()
