"""A tag for every word: the first piece of a word stands for it, and long texts are read in windows that overlap."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from bertsmith.data.labelled import LabelledExample
from bertsmith.data.sequences import single
from bertsmith.errors import UsageError
from bertsmith.tasks.examples import TaggedExample
from bertsmith.tasks.inputs import Inputs, Window, compact, overlap
from bertsmith.tasks.predictions import Tagged
from bertsmith.tokenizers.tokenizer import Tokenizer

SPECIALS = 2  # [CLS] and [SEP]


class WordSpan(NamedTuple):
    """Words shown together, from `first` to before `last`, of which those from `own` to before `end` are decided."""

    first: int
    last: int
    own: int
    end: int


class TagEncoder:
    """Words divided one by one. truncated: texts with a word longer than a whole sequence, whose rest is lost."""

    def __init__(self, tokenizer: Tokenizer, max_length: int, labels: Sequence[str], stride: int) -> None:
        self.tokenizer, self.room, self.stride = tokenizer, max_length - SPECIALS, stride
        self.ids = {label: number for number, label in enumerate(labels)}
        self.truncated = 0

    def encode(self, examples: Sequence[TaggedExample]) -> list[Inputs]:
        """See encoding.Encoder."""
        texts = [text for example in examples for text in self._texts(example)]
        encoding = self.tokenizer.encode_sentences(texts)
        stops = np.cumsum(encoding.lengths).tolist()
        pieces = [encoding.token_ids[stop - n : stop] for stop, n in zip(stops, encoding.lengths.tolist(), strict=True)]
        found, place = [], 0
        for example in examples:
            found.append(self._inputs(pieces[place : place + len(example.words)]))
            place += len(example.words)
        return found

    def _texts(self, example: TaggedExample) -> list[str]:
        """The words as they stand in a text: where a tokenizer takes the space before a word into it, with that."""
        if not example.spaced or self.tokenizer.kind == "wordpiece":
            return list(example.words)
        return [f" {word}" if number else word for number, word in enumerate(example.words)]

    def _inputs(self, words: list[npt.NDArray[Any]]) -> Inputs:
        unknown = np.array([self.tokenizer.special.unk])
        cut = [(ids if len(ids) else unknown)[: self.room] for ids in words]
        self.truncated += any(len(ids) > self.room for ids in words)
        places = [0, *accumulate(len(ids) for ids in cut)]
        token_ids = np.concatenate(cut) if cut else np.zeros(0, dtype=np.int64)
        sequences, windows = [], []
        for span in spans_of([len(ids) for ids in cut], self.room, self.stride):
            begin = places[span.first]
            sequence = single(token_ids[begin : places[span.last]], self.tokenizer.special)
            sequences.append(compact(sequence, self.tokenizer))
            rows = np.array(places[span.own : span.end], dtype=np.int64) - begin + 1
            windows.append(Window(rows, span.own))
        return Inputs(tuple(sequences), tuple(windows))

    def labelled(self, example: TaggedExample, inputs: Inputs) -> list[LabelledExample]:
        """See encoding.Encoder. A window is an example of its own."""
        assert example.tags is not None
        unknown = next((tag for tag in example.tags if tag not in self.ids), None)
        if unknown is not None:
            raise UsageError(f"{example.name}: tag {unknown[:60]!r} is not one of {', '.join(list(self.ids)[:12])}")
        labels = np.array([self.ids[tag] for tag in example.tags], dtype=np.int64)
        return [
            LabelledExample((sequence,), window.rows, labels[window.start : window.start + len(window.rows)])
            for sequence, window in zip(inputs.sequences, inputs.windows, strict=True)
            if len(window.rows)
        ]


def spans_of(lengths: Sequence[int], room: int, stride: int) -> list[WordSpan]:
    """Windows over words of these lengths in tokens (at most `room` each), each of at most `room` tokens.

    Neighbours share `stride` tokens at most; the words shared are decided half in one, half in the other, where each
    has more text around it.
    """
    ends = [0, *accumulate(lengths)]
    borders: list[tuple[int, int]] = []
    first = 0
    while True:
        last = first
        while last < len(lengths) and ends[last + 1] - ends[first] <= room:
            last += 1
        borders.append((first, last))
        if last == len(lengths):
            break
        shared = min(overlap(room, stride), room - lengths[last])
        start = last
        while start - 1 > first and ends[last] - ends[start - 1] <= shared:
            start -= 1
        first = start
    middles = [(start + last + 1) // 2 for (_, last), (start, _) in zip(borders, borders[1:], strict=False)]
    owned = zip([0, *middles], [*middles, len(lengths)], strict=True)
    return [WordSpan(*border, *own) for border, own in zip(borders, owned, strict=True)]


def tagged(example: TaggedExample, inputs: Inputs, logits: Sequence[npt.NDArray[Any]], labels: Sequence[str]) -> Tagged:
    """The likeliest tag of every word. logits: of each window, (tokens, labels)."""
    found = [scores[window.rows] for scores, window in zip(logits, inputs.windows, strict=True)]
    scores = np.concatenate(found).astype(np.float64) if found else np.zeros((0, len(labels)))
    best = scores.argmax(1) if len(scores) else np.zeros(0, dtype=np.int64)
    sums = np.exp(scores - scores.max(1, keepdims=True)).sum(1) if len(scores) else np.zeros(0)
    assert len(best) == len(example.words), "every word is decided in one window"
    return Tagged(tuple(labels[i] for i in best.tolist()), tuple((1 / sums).tolist()))
