"""Models that answer any verb at once, and files to ask them about."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as parquet

from bertsmith.models.folder import save_model
from bertsmith.prediction_files.job import Request
from bertsmith.serving.predictor import Predictor
from tests.stories import WORDS, tiny_tokenizer
from tests.tiny_models import BOTH_HEADS, HEADS_OF_TASKS, TINY, tiny_model

VERBS = {
    "fill-mask": "none",
    "next-sentence": "none",
    "classify": "labels",
    "tag": "tags",
    "answer": "span",
    "similarity": "none",
    "embed": "none",
}
"""Which model each verb is asked of."""

PAIRED = ("next-sentence", "answer", "similarity")

METHODS: dict[str, Callable[[Predictor, list[Any]], Any]] = {
    "fill-mask": lambda predictor, texts: predictor.fill_mask(texts, 2),
    "next-sentence": lambda predictor, texts: predictor.next_sentence(texts),
    "classify": lambda predictor, texts: predictor.classify(texts),
    "tag": lambda predictor, texts: predictor.tag(texts),
    "answer": lambda predictor, texts: predictor.answer(texts),
    "similarity": lambda predictor, texts: predictor.similarity(texts),
    "embed": lambda predictor, texts: [{"embedding": vector} for vector in predictor.embed(texts)],
}


def write_model(folder: Path, head: str, **shape: Any) -> Path:
    """A random model with a task head, or with the heads of pretraining. shape: fields of its config."""
    tokenizer = tiny_tokenizer()
    config = replace(TINY, vocab_size=tokenizer.vocab_size, dropout=0.0, attention_dropout=0.0, **shape)
    task = HEADS_OF_TASKS.get(head)
    model = tiny_model(() if task else BOTH_HEADS, config, task=task)
    folder.mkdir(parents=True, exist_ok=True)
    save_model(model, folder, pad_token_id=tokenizer.special.pad)
    tokenizer.save(folder, 24)
    return folder


def texts(count: int, verb: str = "embed") -> list[Any]:
    """Texts of different lengths, or pairs of them, as the verb wants them."""
    found = [" ".join(WORDS[(7 * i + 3 * j) % len(WORDS)] for j in range(1 + i % 9)) for i in range(count)]
    if verb == "fill-mask":
        return [f"{text} [MASK]" for text in found]
    return [(text, found[-1 - i]) for i, text in enumerate(found)] if verb in PAIRED else found


def write_input(path: Path, rows: Sequence[Any]) -> Path:
    """Texts or pairs (None: no value) as a file of the kind that its name says."""
    cells = [row if isinstance(row, tuple) else (row,) for row in rows]
    names = ("sentence1", "sentence2") if len(cells[0]) == 2 else ("text",)
    if path.suffix == ".parquet":
        columns = {name: [row[i] for row in cells] for i, name in enumerate(names)}
        parquet.write_table(pa.table(columns), path, row_group_size=50)
        return path
    if path.suffix == ".jsonl":
        lines = [json.dumps(dict(zip(names, row, strict=True))) for row in cells]
    else:
        lines = [("," if path.suffix == ".csv" else "\t").join(row) for row in cells]
        lines = ([] if path.suffix == ".txt" else [("," if path.suffix == ".csv" else "\t").join(names)]) + lines
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def request(model: Path, source: Path, verb: str = "embed", workers: int = 1, **options: Any) -> Request:
    """What a line would ask; two candidates for every mask."""
    given = {"top_k": 2} if verb == "fill-mask" else {}
    return Request(verb, model, source, workers=workers, options=given, **options)
