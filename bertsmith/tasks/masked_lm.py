"""How well a model restores words that were hidden in a text."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import NamedTuple

import numpy as np
import torch

from bertsmith.batch import Target
from bertsmith.console import Progress, warn
from bertsmith.errors import BertsmithError
from bertsmith.models.model import Model
from bertsmith.objectives.masked_lm import MaskedLM
from bertsmith.tasks.forward import TokenSequence, batches, device_of, require_head, single, starts_of
from bertsmith.tasks.words import WordChoice
from bertsmith.tokenizers.tokenizer import Tokenizer

POOL = 4096  # sequences that are sorted by length together; bounds memory whatever the size of the text


class Question(NamedTuple):
    """One sequence with hidden words.

    rows: (masked,) int64, places of `[MASK]` in it. labels: (masked,) int64, what stood there.
    """

    sequence: TokenSequence
    rows: np.ndarray
    labels: np.ndarray


def evaluate_masked_lm(
    model: Model, tokenizer: Tokenizer, documents: Iterable[Sequence[str]], seed: int, max_length: int
) -> dict[str, float | int]:
    """Hide 15 % of the words of a text and measure how well the model restores them.

    `documents` are lists of clean lines. The lines of one document are read together, as many as fit into
    `max_length` tokens; nothing is left out, a longer line goes on in the next sequence. A word is hidden whole
    (all its tokens become `[MASK]`), and which words are hidden depends on (seed, character offset) alone, so models
    with different tokenizers are asked the same.

    Returns loss (nats per hidden token), unigram_loss (the same of a guess that reads no context but knows how often
    every token occurs in the rest of this very text), perplexity, accuracy, bits_per_character (Σ −log2 p ÷ characters
    that the hidden tokens cover), masked and tokens (counts; special tokens not among them). Raises BertsmithError when
    no word was hidden.
    """
    require_head(model, "masked_lm", "restore words")
    reader = _Reader(tokenizer, WordChoice(seed), max_length)
    questions = (question for document in documents for question in reader.questions(document))
    loss, correct = 0.0, 0
    model.eval()
    with Progress(0, "tokens", "evaluate mlm") as progress, torch.inference_mode():
        while pool := list(islice(questions, POOL)):
            for pool_loss, pool_correct in _score(model, pool):
                loss += pool_loss
                correct += pool_correct
                progress.update(reader.tokens)
    masked = int(reader.hidden.sum())
    if masked == 0:
        raise BertsmithError(
            f"the text is too short to evaluate: none of its {reader.tokens} tokens was hidden; "
            "give more text or another --seed"
        )
    if not math.isfinite(loss):
        raise BertsmithError("the loss is not a finite number: the weights of this model are damaged")
    unknown = reader.hidden[tokenizer.special.unk] / masked
    if unknown > 0.01:
        warn(f"{unknown:.1%} of the hidden tokens are [UNK] to this tokenizer: the figures are better than the model")
    return {
        "loss": loss / masked,
        "unigram_loss": unigram_loss(reader.hidden, reader.seen),
        "perplexity": math.exp(min(loss / masked, 700.0)),
        "accuracy": correct / masked,
        "bits_per_character": loss / math.log(2) / max(1, reader.characters),
        "masked": masked,
        "tokens": reader.tokens,
    }


def unigram_loss(hidden: np.ndarray, seen: np.ndarray) -> float:
    """Nats per hidden token of a guess by the frequencies of the tokens that are not hidden, each counted once more.

    hidden, seen: (vocabulary,) counts of the hidden tokens and of all. Counting the hidden ones in would tell the guess
    part of the answers: 0.3 nats on a text of 17,000 tokens.
    """
    visible = seen - hidden + 1
    return float(-(hidden * np.log(visible / visible.sum())).sum() / hidden.sum())


class _Reader:
    """Turns documents into questions and keeps the counts."""

    def __init__(self, tokenizer: Tokenizer, choice: WordChoice, max_length: int) -> None:
        self.tokenizer, self.choice = tokenizer, choice
        self.room = max_length - 2  # [CLS] and [SEP]
        self.offset = self.tokens = self.characters = 0
        self.seen = np.zeros(tokenizer.vocab_size, dtype=np.int64)
        self.hidden = np.zeros(tokenizer.vocab_size, dtype=np.int64)

    def questions(self, document: Sequence[str]) -> Iterator[Question]:
        """The sequences of one document that hide at least one word."""
        waiting: list[tuple[np.ndarray, np.ndarray]] = []
        length = 0
        for line in document:
            for ids, hidden in self._pieces(line):
                if length + len(ids) > self.room:
                    yield from self._question(waiting)
                    waiting, length = [], 0
                waiting.append((ids, hidden))
                length += len(ids)
        yield from self._question(waiting)

    def _pieces(self, line: str) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """A line as (token ids, which are hidden), cut before a word where it is longer than a sequence."""
        ids, word_starts, offsets = self.tokenizer.encode_with_offsets(line)
        chosen = self.choice.chosen_characters(line, self.offset)
        self.offset += len(line) + 1
        before = np.concatenate(([0], np.cumsum(chosen)))
        hidden = before[offsets[:, 1]] > before[offsets[:, 0]]
        covered = np.zeros(len(line) + 1, dtype=np.int64)  # characters that hidden tokens cover, each once
        np.add.at(covered, offsets[hidden, 0], 1)
        np.add.at(covered, offsets[hidden, 1], -1)
        self.characters += int((np.cumsum(covered) > 0).sum())
        start = 0
        while start < len(ids):
            stop = min(start + self.room, len(ids))
            if stop < len(ids):
                words = np.flatnonzero(word_starts[start + 1 : stop + 1])
                stop = start + 1 + int(words[-1]) if len(words) else stop
            yield ids[start:stop], hidden[start:stop]
            start = stop

    def _question(self, pieces: list[tuple[np.ndarray, np.ndarray]]) -> Iterator[Question]:
        if not pieces:
            return
        ids = np.concatenate([piece for piece, _ in pieces]).astype(np.int64)
        hidden = np.concatenate([flags for _, flags in pieces])
        self.tokens += len(ids)
        np.add.at(self.seen, ids, 1)
        if not hidden.any():
            return
        labels = ids[hidden]
        np.add.at(self.hidden, labels, 1)
        masked = np.where(hidden, self.tokenizer.special.mask, ids)
        yield Question(single(masked, self.tokenizer.special), np.flatnonzero(hidden) + 1, labels)


def _score(model: Model, questions: list[Question]) -> Iterator[tuple[float, int]]:
    """Per batch: the loss (a sum, nats) and how many hidden tokens were restored."""
    device, objective = device_of(model), MaskedLM()
    for chosen, batch in batches([question.sequence for question in questions], device):
        starts = starts_of(batch)
        rows = np.concatenate([questions[i].rows + start for i, start in zip(chosen, starts, strict=True)])
        labels = np.concatenate([questions[i].labels for i in chosen])
        target = Target(torch.from_numpy(rows).to(device), torch.from_numpy(labels).to(device))
        batch = replace(batch, targets={objective.name: target})
        score = objective.score(model, model(batch), batch)
        yield float(score.loss), int(score.correct)
