"""What a real short run of a recipe takes: its memory and the time of its steps. Used by the benchmarks beside it."""

from __future__ import annotations

import json
import re
import statistics
import tempfile
import threading
from pathlib import Path
from typing import Any

NEARLY_EMPTY = {"model.hidden_size": 16, "model.heads": 1, "model.layers": 1, "training.steps": 2}
PAUSE = 0.005  # seconds between two looks at the memory


class Memory:
    """The most memory of this process' own while it is open, in bytes; pages of mapped files can be given back."""

    def __enter__(self) -> Memory:
        self.highest = 0
        self._over = threading.Event()
        self._watch = threading.Thread(target=self._look, daemon=True)
        self._watch.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._watch.join()

    def _look(self) -> None:
        while not self._over.wait(PAUSE):
            self.highest = max(self.highest, own_memory())


def own_memory() -> int:
    """Resident bytes of this process that belong to no file."""
    found = re.search(r"^RssAnon:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
    assert found is not None
    return 1024 * int(found.group(1))


def train(recipe: str, corpus: Path, flags: dict[str, Any], teacher: Path | None = None) -> dict[str, float]:
    """bytes above the bare process; seconds and tokens of the median step of a real run."""
    from bertsmith import pipeline
    from bertsmith.training.logs import read_metrics

    flags = {**flags, "training.log_every": 1}
    with tempfile.TemporaryDirectory() as folder:
        pipeline.pretrain("bert-tiny", [str(corpus)], Path(folder, "empty"), flags={**flags, **NEARLY_EMPTY})
        before = own_memory()
        with Memory() as memory:
            pipeline.pretrain(recipe, [str(corpus)], Path(folder, "run"), flags=flags, teacher=teacher)
        lines = [line for line in read_metrics(Path(folder, "run", "metrics.jsonl")) if "loss" in line]
        tokens = json.loads(Path(folder, "run", "result.json").read_text())["tokens"] / len(lines)
    return {
        "bytes": memory.highest - before,
        "seconds": statistics.median(line["seconds"] for line in lines),
        "tokens": tokens,
    }
