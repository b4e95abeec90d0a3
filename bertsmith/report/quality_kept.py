"""How much of one model's quality another one keeps: as it is, and above what knowing nothing reaches.

A student of 45 % where its teacher has 50 % keeps 90 % of the accuracy; but where the commonest answer alone is right
in 40 % of the cases, it keeps half of what the teacher has learned. So both shares are given.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from bertsmith.tokenizers.tokenizer import Tokenizer

CLEARLY = 2.0  # standard errors above the baseline, below which a share of the difference is a share of noise

Kept = dict[str, float | None]
"""{raw, above_baseline}: shares of another model's quality; None where they are not defined."""


class Quality(NamedTuple):
    """A figure of which more is better, its standard error over the examples, and what knowing nothing reaches.

    baseline: None where it is not known.
    """

    value: float
    error: float
    baseline: float | None


def share_of_examples(value: float, count: int, baseline: float | None) -> Quality:
    """An accuracy over `count` examples; their standard error is that of independent ones."""
    return Quality(value, math.sqrt(max(0.0, value * (1 - value)) / max(1, count)), baseline)


def kept(quality: Quality, first: Quality) -> Kept:
    """What a model keeps of the first one's quality; both are judged against the baseline of the first.

    raw: quality / first, None unless the first is above 0. above_baseline: (quality - baseline) / (first - baseline),
    None without a baseline, and where the first is not above it by two standard errors: what it has learned cannot then
    be told from chance, nor can a share of it.
    """
    baseline = first.baseline
    raw = quality.value / first.value if first.value > 0 else None
    if baseline is None or first.value <= baseline or first.value - baseline < CLEARLY * first.error:
        return {"raw": raw, "above_baseline": None}
    return {"raw": raw, "above_baseline": (quality.value - baseline) / (first.value - baseline)}


def commonest_token_share(tokenizer: Tokenizer, documents: Sequence[Sequence[str]]) -> float:
    """The share of a text's tokens that are its commonest one: how often guessing it is right; 0 without any."""
    counts = np.zeros(tokenizer.vocab_size, dtype=np.int64)
    for document in documents:
        for line in document:
            counts += np.bincount(tokenizer.encode_with_offsets(line)[0], minlength=tokenizer.vocab_size)
    return float(counts.max() / max(1, counts.sum()))
