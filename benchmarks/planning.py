"""Whether `plan` tells the truth: its memory and time against a real short run of the same recipe on the same corpus.

    python benchmarks/planning.py --corpus CORPUS [--recipes bert-tiny bert-mini] [--steps 30] [--threads 0]
    python benchmarks/planning.py --corpus CORPUS --recipes distilbert-mini --teacher RUN

For each recipe one process plans and another one trains. Memory is the most that the process holds during the run
(without pages of mapped files) above what it held before, after a run of a nearly empty model has loaded every library
and the corpus; time is that of the median step. Both are printed with their ratios: planned / measured.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from real_steps import train


def planned(recipe: str, corpus: Path, flags: dict[str, Any], teacher: Path | None) -> dict[str, float]:
    """What `plan` says of the same."""
    from bertsmith import pipeline

    found = pipeline.plan([recipe], corpus, flags, teacher)["recipes"][0]
    return {"bytes": found["memory"]["total"], "seconds": found["step_milliseconds"] / 1000}


def in_a_process(kind: str, recipe: str, arguments: argparse.Namespace) -> dict[str, float]:
    """The result of `train` or `planned` in a process of its own."""
    line = [sys.executable, __file__, "--corpus", str(arguments.corpus), "--steps", str(arguments.steps)]
    line += ["--threads", str(arguments.threads), "--precision", arguments.precision, "--only", kind, recipe]
    line += ["--teacher", str(arguments.teacher)] if arguments.teacher else []
    done = subprocess.run(line, stdout=subprocess.PIPE, check=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Print one line per recipe."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--recipes", nargs="+", default=["bert-tiny", "bert-mini", "albert-mini"])
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--precision", default="bf16")
    parser.add_argument("--teacher", type=Path, default=None, help="for recipes that distil")
    parser.add_argument("--only", nargs=2, default=None, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.only:
        kind, recipe = arguments.only
        flags = {"training.steps": arguments.steps, "training.compile": "off", "training.threads": arguments.threads}
        flags |= {"training.precision": arguments.precision, "training.warmup": 0.1}
        flags |= {"training.validation_sequences": 16, "training.validate_every": 10**6}
        print(json.dumps((train if kind == "train" else planned)(recipe, arguments.corpus, flags, arguments.teacher)))
        return
    print(f"{'recipe':16} {'memory':>9} {'measured':>9} {'ratio':>6} {'a step':>9} {'measured':>9} {'ratio':>6}")
    for recipe in arguments.recipes:
        said = in_a_process("plan", recipe, arguments)
        was = in_a_process("train", recipe, arguments)
        memory = f"{said['bytes'] / 1e6:6.0f} MB {was['bytes'] / 1e6:6.0f} MB {said['bytes'] / was['bytes']:6.2f}"
        passed = f"{said['seconds']:7.3f} s {was['seconds']:7.3f} s {said['seconds'] / was['seconds']:6.2f}"
        print(f"{recipe:16} {memory} {passed}", flush=True)


if __name__ == "__main__":
    main()
