"""Answers as spans of a context: windows over what is too long for one sequence, and the best span of all of them.

As google-research/bert (run_squad.py) has it: the question first, then a window of the context; a window without the
answer is trained to point at [CLS]. Scores are log probabilities within a window, so that windows compare.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from bertsmith.data.labelled import LabelledExample
from bertsmith.data.sequences import pair
from bertsmith.tasks.examples import AnswerExample
from bertsmith.tasks.inputs import Inputs, Window, compact, overlap
from bertsmith.tasks.predictions import Answered
from bertsmith.tokenizers.tokenizer import Tokenizer

NO_ROWS = np.zeros(0, dtype=np.int64)
CONTEXTS = 64  # encoded contexts that are remembered: published files ask several questions on each
Floats = npt.NDArray[np.float64]


class AnswerEncoder:
    """Question and context in windows. truncated: questions that were cut, to half a sequence."""

    def __init__(self, tokenizer: Tokenizer, max_length: int, stride: int) -> None:
        self.tokenizer, self.stride = tokenizer, stride
        self.room = max_length - 2 - tokenizer.separators
        self.truncated = 0
        self._contexts: dict[str, tuple[npt.NDArray[Any], npt.NDArray[Any]]] = {}

    def encode(self, examples: Sequence[AnswerExample]) -> list[Inputs]:
        """See encoding.Encoder."""
        return [self._inputs(example) for example in examples]

    def _inputs(self, example: AnswerExample) -> Inputs:
        question = self.tokenizer.encode_sentences([example.question.strip()]).token_ids
        self.truncated += len(question) > self.room // 2
        question = question[: self.room // 2]
        context, offsets = self._context(example.context)
        sequences, windows = [], []
        for start, stop in windows_of(len(context), self.room - len(question), self.stride):
            sequence = pair(question, context[start:stop], self.tokenizer.special, self.tokenizer.separators)
            sequences.append(compact(sequence, self.tokenizer))
            windows.append(Window(sequence.first + np.arange(stop - start), start))
        return Inputs(tuple(sequences), tuple(windows), offsets)

    def _context(self, text: str) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        """Token ids and their offsets in characters."""
        if text not in self._contexts:
            while len(self._contexts) >= CONTEXTS:
                self._contexts.pop(next(iter(self._contexts)))
            ids, _, offsets = self.tokenizer.encode_with_offsets(text)
            self._contexts[text] = ids, offsets
        return self._contexts[text]

    def labelled(self, example: AnswerExample, inputs: Inputs) -> list[LabelledExample]:
        """See encoding.Encoder. A window is an example of its own; none where the context lacks the answer."""
        assert inputs.offsets is not None
        span = None if example.impossible else first_answer(example, inputs.offsets)
        if span is None and not example.impossible:
            return []
        found = []
        for sequence, window in zip(inputs.sequences, inputs.windows, strict=True):
            target = [0, 0]
            if span and window.start <= span[0] and span[1] < window.start + len(window.rows):
                target = [int(window.rows[token - window.start]) for token in span]
            found.append(LabelledExample((sequence,), NO_ROWS, np.array([target], dtype=np.int64)))
        return found


def first_answer(example: AnswerExample, offsets: npt.NDArray[Any]) -> tuple[int, int] | None:
    """First and last token of the first answer whose place is known, or None."""
    for answer in example.answers:
        start = answer.start
        stop = start + len(answer.text)
        if start < 0 or not answer.text.strip():
            continue
        touched = np.flatnonzero((offsets[:, 1] > start) & (offsets[:, 0] < stop) & (offsets[:, 1] > offsets[:, 0]))
        if len(touched):
            return int(touched[0]), int(touched[-1])
    return None


def windows_of(tokens: int, room: int, stride: int) -> list[tuple[int, int]]:
    """Windows of `room` tokens, of which two neighbours share `stride` at most."""
    shared = overlap(room, stride)
    found = [(0, min(room, tokens))]
    while found[-1][1] < tokens:
        start = found[-1][1] - shared
        found.append((start, min(start + room, tokens)))
    return found


def answered(
    example: AnswerExample, inputs: Inputs, logits: Sequence[npt.NDArray[Any]], longest: int, may_be_none: bool
) -> Answered:
    """The best answer of at most `longest` tokens. logits: of each window, (tokens, 2).

    None is chosen where every window finds its [CLS] likelier than the best answer of all windows, and only where
    questions `may_be_none`-answered at all.
    """
    assert inputs.offsets is not None
    best, span, null = -math.inf, (0, -1), math.inf
    for scores, window in zip(logits, inputs.windows, strict=True):
        starts, ends = _log_softmax(scores[:, 0]), _log_softmax(scores[:, 1])
        null = min(null, float(starts[0] + ends[0]))
        shown = inputs.offsets[window.start : window.start + len(window.rows)]
        blank = np.where(shown[:, 1] > shown[:, 0], 0.0, -math.inf)  # white space alone is no answer
        value, first, last = best_span(starts[window.rows] + blank, ends[window.rows] + blank, longest)
        if value > best:
            best, span = value, (window.start + first, window.start + last)
    if best == -math.inf:
        return Answered("", 0, 0, math.exp(null), 0.0)
    start, stop = int(inputs.offsets[span[0], 0]), int(inputs.offsets[span[1], 1])
    text = example.context[start:stop]
    if may_be_none and null > best:
        return Answered("", 0, 0, math.exp(null), null - best, text)
    return Answered(text, start, stop, math.exp(best), null - best, text)


def best_span(starts: Floats, ends: Floats, longest: int) -> tuple[float, int, int]:
    """The largest starts[i] + ends[j] with i <= j < i + longest, and i and j; -inf without any token."""
    if not len(starts):
        return -math.inf, 0, -1
    padded = np.concatenate([ends, np.full(longest - 1, -np.inf)])
    reachable = np.lib.stride_tricks.sliding_window_view(padded, longest)
    totals = starts + reachable.max(1)
    first = int(totals.argmax())
    return float(totals[first]), first, first + int(reachable[first].argmax())


def _log_softmax(scores: npt.NDArray[Any]) -> Floats:
    scores = scores.astype(np.float64)
    shifted = scores - scores.max()
    return shifted - np.log(np.exp(shifted).sum())
