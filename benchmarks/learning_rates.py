"""The sweep behind the learning rates of the tiny, mini and small recipes.

    python benchmarks/learning_rates.py --corpus CORPUS --out DIR [--family bert] [--sizes tiny mini small]
        [--threads 1] [--batch-size 16]

Every run is `bertsmith pretrain FAMILY-SIZE` with another rate, the rest as in the recipe, for a fixed number of steps;
run it again to go on where it was stopped. One JSON object per line: size, rate, validation losses and accuracies.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

RATES = {"tiny": (5e-4, 1e-3, 2e-3, 4e-3), "mini": (2.5e-4, 5e-4, 1e-3, 2e-3), "small": (2.5e-4, 5e-4, 1e-3)}
STEPS = {"tiny": 600, "mini": 300, "small": 200}


def run(size: str, rate: float, arguments: argparse.Namespace) -> dict[str, object]:
    """One pretraining run; its validation figures."""
    fields = {
        "steps": STEPS[size],
        "batch-size": arguments.batch_size,
        "learning-rate": rate,
        "threads": arguments.threads,
        "precision": "bf16",
        "compile": "off",
        "save-every": 0,
    }
    flags = [part for name, value in fields.items() for part in (f"--training.{name}", str(value))]
    out = Path(arguments.out) / f"{arguments.family}-{size}-{rate:g}"
    recipe = f"{arguments.family}-{size}"
    command = [sys.executable, "-m", "bertsmith", "pretrain", recipe, "--corpus", arguments.corpus, "--json"]
    done = subprocess.run([*command, "--out", str(out), *flags], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr.strip().splitlines()[-1])
    return {"size": size, "learning_rate": rate, "steps": STEPS[size], **json.loads(done.stdout)["validation"]}


def main() -> None:
    """Runs the sweep and prints its lines."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", required=True)
    parser.add_argument("--out", required=True)
    parser.add_argument("--family", default="bert", help="recipes FAMILY-SIZE; the corpus must be prepared for them")
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--sizes", nargs="+", choices=list(RATES), default=list(RATES))
    parser.add_argument("--threads", type=int, default=1, help="threads of a run")
    parser.add_argument("--jobs", type=int, default=2, help="runs at a time")
    arguments = parser.parse_args()
    chosen = [(size, rate) for size in arguments.sizes for rate in RATES[size]]
    with ThreadPoolExecutor(arguments.jobs) as pool:
        for result in pool.map(lambda pair: run(pair[0], pair[1], arguments), chosen):
            print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
