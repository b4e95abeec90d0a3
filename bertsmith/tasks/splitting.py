"""A validation part split off from the training part, by a hash of the text."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from bertsmith.errors import UsageError
from bertsmith.tasks.examples import Example, TaggedExample, TextExample, content
from bertsmith.tasks.readers.columns import OUTSIDE


def split_off(examples: Sequence[Any], seed: int, share: float) -> tuple[list[Any], list[Any]]:
    """(training, held out), each in its order; chosen by a hash of the seed and the text alone.

    Examples of one text (a context with its questions, a sentence with several partners) stay together. A label is
    never held out whole. UsageError where too little is there to be divided.
    """
    groups: dict[str, list[int]] = {}
    for index, example in enumerate(examples):
        groups.setdefault(_group(example, seed), []).append(index)
    left = _label_counts(examples)
    wanted = max(1, round(share * len(examples)))
    held_out: set[int] = set()
    for name in sorted(groups):
        if len(held_out) >= wanted:
            break
        taken = _label_counts([examples[index] for index in groups[name]])
        if len(groups[name]) < len(examples) - len(held_out) and all(taken[label] < left[label] for label in taken):
            held_out.update(groups[name])
            left = {label: count - taken.get(label, 0) for label, count in left.items()}
    if not held_out:
        raise UsageError(f"{len(examples)} examples are too few, or too alike, to hold some of them out for validation")
    train = [example for index, example in enumerate(examples) if index not in held_out]
    return train, [examples[index] for index in sorted(held_out)]


def _group(example: Example, seed: int) -> str:
    text = content(example)[0]
    joined = "\0".join(text) if isinstance(text, tuple) else text
    return hashlib.blake2b(f"{seed}\0{joined}".encode(errors="replace"), digest_size=16).hexdigest()


def _label_counts(examples: Sequence[Any]) -> dict[str, int]:
    """How many examples have a label or hold an entity of a kind; empty where labels are no classes."""
    counts: dict[str, int] = {}
    for example in examples:
        if isinstance(example, TaggedExample):
            names = {tag[2:] for tag in example.tags or () if tag != OUTSIDE}
        else:
            names = {example.label} if isinstance(example, TextExample) and isinstance(example.label, str) else set()
        for name in names:
            counts[name] = counts.get(name, 0) + 1
    return counts
