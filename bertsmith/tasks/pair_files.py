"""Files of minimal pairs, as BLiMP and ZhoBLiMP are published: JSON lines with a good and a bad sentence."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from bertsmith import randomness
from bertsmith.errors import UsageError
from bertsmith.text.cleaning import clean
from bertsmith.text.lines import text_lines
from bertsmith.text.skipped import Skipped
from bertsmith.text.sources import Source, UnusableFile, find, open_source

GOOD, BAD = "sentence_good", "sentence_bad"
PHENOMENON = ("phenomenon", "linguistics_term", "UID")  # ZhoBLiMP's field, BLiMP's, and the name of a paradigm


class MinimalPair(NamedTuple):
    """Two sentences that differ in one place: the first is right, the second is not. place: "file:line"."""

    good: str
    bad: str
    phenomenon: str
    place: str


def read_pairs(paths: Sequence[str], skipped: Skipped, limit: int = 0, seed: int = 0) -> list[MinimalPair]:
    """The pairs of .jsonl files (also .gz), of folders and patterns; lines that hold none are counted in `skipped`.

    The phenomenon is what `PHENOMENON` names first, or else the file's name. With a `limit`, at most so many pairs
    of each file, drawn by the seed, in their order. Raises UsageError when there is no pair at all.
    """
    if limit < 0:
        raise UsageError(f"--limit: must be 0 (all) or more, not {limit}")
    sources = [source for source in find(paths) if source.kind == "jsonl"]
    if not sources:
        raise UsageError(f"{paths[0]}: holds no .jsonl file; minimal pairs are JSON lines with {GOOD} and {BAD}")
    found: list[MinimalPair] = []
    for source in sources:
        pairs = list(_pairs_of(source, skipped))
        found += _drawn(pairs, limit, seed)
    if not found:
        reasons = "; ".join(f"{count} times {reason}" for reason, count in skipped.counts.items())
        raise UsageError(f"{paths[0]}: holds no minimal pair{f' ({reasons})' if reasons else ''}")
    return found


def _pairs_of(source: Source, skipped: Skipped) -> Iterator[MinimalPair]:
    name = str(source.path)
    try:
        with open_source(source) as stream:
            for number, line in text_lines(stream, name, skipped):
                if line.strip():
                    pair = _parse(line, source, f"{name}:{number}")
                    if isinstance(pair, MinimalPair):
                        yield pair
                    else:
                        skipped.add(pair, f"{name}:{number}")
    except UnusableFile as error:
        skipped.add(str(error), name)


def _parse(line: str, source: Source, place: str) -> MinimalPair | str:
    """The pair of a line, or why it holds none."""
    try:
        record: Any = json.loads(line)
    except (ValueError, RecursionError):
        return "not JSON"
    if not isinstance(record, dict):
        return "not a JSON object"
    sentences = []
    for field in (GOOD, BAD):
        text = record.get(field)
        if not isinstance(text, str):
            return f"no text in field {field!r}"
        if not (cleaned := clean(text)):
            return f"field {field!r} is empty"
        sentences.append(cleaned)
    named = (record.get(field) for field in PHENOMENON)
    phenomenon = next((name for name in named if isinstance(name, str) and name), source.path.name.split(".")[0])
    return MinimalPair(sentences[0], sentences[1], phenomenon, place)


def _drawn(pairs: list[MinimalPair], limit: int, seed: int) -> list[MinimalPair]:
    """At most `limit` of them (0 = all), the same for every tokenizer and model."""
    if not limit or len(pairs) <= limit:
        return pairs
    draws = randomness.uniform(randomness.key(seed, "minimal pairs"), np.arange(len(pairs)))
    return [pairs[i] for i in sorted(np.argsort(draws, kind="stable")[:limit].tolist())]
