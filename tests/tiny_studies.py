"""A study of two arms so small that it takes seconds, and ways to change it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bertsmith import pipeline

TINY = """
question = "Is one layer enough? 一层够吗？"
base = "bert-tiny"
seeds = 2
[budget]
steps = 4
[set]
cut = { length = 64 }
model = { hidden_size = 32, heads = 2 }
training = { threads = 1, precision = "fp32", compile = "off", batch_size = 8, save_every = 2, validate_every = 2 }
[[arms]]
name = "two"
set = { model.layers = 2 }
[[arms]]
name = "one"
set = { model.layers = 1 }
note = "一层"
[[claims]]
better = "two"
worse = "one"
text = "More layers are better."
paper = "so they say"
"""


def write(folder: Path, text: str = TINY, name: str = "depth-of-mine") -> Path:
    path = folder / f"{name}.toml"
    path.write_text(text, "utf-8")
    return path


def carry_out(study: Path, corpus: Path, out: Path, **options: Any) -> dict[str, Any]:
    return pipeline.study_run(study, [str(corpus)], out, **options)
