"""What a real short run of a recipe takes: its memory and the time of its steps. Used by the benchmarks beside it."""

from __future__ import annotations

import json
import re
import tempfile
from pathlib import Path
from typing import Any

NEARLY_EMPTY = {"model.hidden_size": 16, "model.heads": 1, "model.layers": 1, "training.steps": 2}


def resident(field: str) -> int:
    """VmRSS (now) or VmHWM (the highest) of this process, in bytes."""
    status = Path("/proc/self/status").read_text()
    found = re.search(rf"^{field}:\s+(\d+) kB", status, re.MULTILINE)
    assert found is not None
    return 1024 * int(found.group(1))


def train(recipe: str, corpus: Path, flags: dict[str, Any]) -> dict[str, float]:
    """bytes above the bare process, seconds of a step and tokens of a step, on average, of a real run."""
    from bertsmith import pipeline

    with tempfile.TemporaryDirectory() as folder:
        empty = {**flags, **NEARLY_EMPTY}
        pipeline.pretrain(recipe, [str(corpus)], Path(folder, "empty"), flags=empty)
        Path("/proc/self/clear_refs").write_text("5")  # the highest size counts from here
        before = resident("VmRSS")
        pipeline.pretrain(recipe, [str(corpus)], Path(folder, "run"), flags=flags)
        result = json.loads(Path(folder, "run", "result.json").read_text())
    steps = int(flags["training.steps"])
    return {
        "bytes": resident("VmHWM") - before,
        "seconds": result["seconds"] / steps,
        "tokens": result["tokens"] / steps,
    }
