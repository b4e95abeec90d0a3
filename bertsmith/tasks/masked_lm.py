"""How well a model restores words that were hidden in a text."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple

import numpy as np
import torch

from bertsmith.console import Progress, warn
from bertsmith.data.config import MaskingConfig
from bertsmith.data.cuts.examples import SPECIAL, STARTS, Examples
from bertsmith.data.masking import mask
from bertsmith.errors import BertsmithError, Diverged
from bertsmith.models.model import Model
from bertsmith.tasks.forward import TokenSequence, batches, device_of, require_head, single, starts_of
from bertsmith.tasks.vocabulary import asked_rows, restore
from bertsmith.tasks.words import WordChoice
from bertsmith.tokenizers.tokenizer import Tokenizer

POOL = 4096  # sequences that are sorted by length together; bounds memory whatever the size of the text
TOKENS, WORDS = "tokens", "words"  # what a question masks: single tokens as in training, or whole words
MASKING = MaskingConfig(budget="stochastic", copies=1)


class Question(NamedTuple):
    """One sequence with masked tokens.

    document: the number of the document it is from. rows: (masked,) int64, places in it that are asked for. labels:
    (masked,) int64, what stood there.
    """

    kind: str
    document: int
    sequence: TokenSequence
    rows: np.ndarray
    labels: np.ndarray


class TextScores(NamedTuple):
    """What a model made of a text, document by document.

    answers: by kind of mask, (documents, 3) float64: the loss (a sum, nats), tokens restored, tokens asked for.
    characters: (documents,) int64, those that the tokens of hidden words cover. tokens: of the whole text.
    unigram_loss: see `evaluate_masked_lm`.
    """

    answers: dict[str, np.ndarray]
    characters: np.ndarray
    tokens: int
    unigram_loss: float


def evaluate_masked_lm(
    model: Model, tokenizer: Tokenizer, documents: Iterable[Sequence[str]], seed: int, max_length: int
) -> dict[str, float | int]:
    """Mask 15 % of a text, once by tokens and once by words, and measure how well the model restores them.

    `documents` are lists of clean lines. The lines of one document are read together, as many as fit into
    `max_length` tokens; nothing is left out, a longer line goes on in the next sequence.

    Tokens are masked as in training (15 %, of these 80 % `[MASK]`, 10 % random, 10 % kept), which gives loss (nats per
    masked token), unigram_loss (the same of a guess that reads no context but knows how often every token occurs among
    the unmasked of this very text), perplexity and accuracy: the masked-LM loss of the field. Words are hidden whole,
    all their tokens `[MASK]`, chosen by (seed, character offset) alone, so that models with different tokenizers are
    asked the same: word_loss (nats) and word_accuracy (share restored), both per token of them, and
    bits_per_character (Σ −log2 p ÷ characters that these tokens cover). masked and tokens are counts (special tokens
    not among them). Raises BertsmithError when nothing was masked.
    """
    scores = score_text(model, tokenizer, documents, seed, max_length)
    (loss, correct, masked), (word_loss, words_correct, hidden) = (
        scores.answers[kind].sum(0).tolist() for kind in (TOKENS, WORDS)
    )
    return {
        "loss": loss / masked,
        "unigram_loss": scores.unigram_loss,
        "perplexity": math.exp(min(loss / masked, 700.0)),
        "accuracy": correct / masked,
        "word_loss": word_loss / hidden,
        "word_accuracy": words_correct / hidden,
        "bits_per_character": word_loss / math.log(2) / max(1, int(scores.characters.sum())),
        "masked": int(masked),
        "tokens": scores.tokens,
    }


def score_text(
    model: Model, tokenizer: Tokenizer, documents: Iterable[Sequence[str]], seed: int, max_length: int
) -> TextScores:
    """The same for each document. Errors and warnings as in `evaluate_masked_lm`."""
    require_head(model, "masked_lm", "restore words")
    reader = _Reader(tokenizer, WordChoice(seed), max_length)
    questions = (question for document in documents for question in reader.questions(document))
    answers = {kind: np.zeros((0, 3)) for kind in (TOKENS, WORDS)}
    model.eval()
    with Progress(0, "tokens", "evaluate mlm") as progress, torch.inference_mode():
        while pool := list(islice(questions, POOL)):
            for kind in answers:
                for places, found in _score(model, [q for q in pool if q.kind == kind], tokenizer.vocab_size):
                    answers[kind] = _grown(answers[kind], reader.documents)
                    np.add.at(answers[kind], places, found)
                    progress.update(reader.tokens)
    answers = {kind: _grown(found, reader.documents) for kind, found in answers.items()}
    _check(answers, reader)
    characters = np.array(reader.characters, dtype=np.int64)
    return TextScores(answers, characters, reader.tokens, unigram_loss(reader.masked, reader.seen))


def _grown(found: np.ndarray, documents: int) -> np.ndarray:
    return np.concatenate([found, np.zeros((documents - len(found), 3))])


def _check(answers: dict[str, np.ndarray], reader: _Reader) -> None:
    """BertsmithError where there is nothing to tell, a warning where it would flatter."""
    masked, hidden = (answers[kind][:, 2].sum() for kind in (TOKENS, WORDS))
    if not masked or not hidden:
        raise BertsmithError(
            f"the text is too short to evaluate: of its {reader.tokens} tokens {masked:.0f} were masked one by one and "
            f"{hidden:.0f} as words; give more text or another --seed"
        )
    if not all(np.isfinite(found).all() for found in answers.values()):
        raise Diverged("the loss is not a finite number: the weights of this model are damaged")
    unknown = reader.masked[reader.tokenizer.special.unk] / masked
    if unknown > 0.01:
        warn(f"{unknown:.1%} of the masked tokens are [UNK] to this tokenizer: the figures are better than the model")


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
        self.offset = self.tokens = self.sequences = 0
        self.characters: list[int] = []  # of each document, that hidden tokens cover
        self.seen = np.zeros(tokenizer.vocab_size, dtype=np.int64)
        self.masked = np.zeros(tokenizer.vocab_size, dtype=np.int64)

    @property
    def documents(self) -> int:
        """How many were read so far."""
        return len(self.characters)

    def questions(self, document: Sequence[str]) -> Iterator[Question]:
        """The sequences of one document that hide at least one word."""
        self.characters.append(0)
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
        self.characters[-1] += int((np.cumsum(covered) > 0).sum())
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
        if hidden.any():
            masked = np.where(hidden, self.tokenizer.special.mask, ids)
            whole = single(masked, self.tokenizer.special)
            yield Question(WORDS, self.documents - 1, whole, np.flatnonzero(hidden) + 1, ids[hidden])
        yield from self._masked_tokens(ids)

    def _masked_tokens(self, ids: np.ndarray) -> Iterator[Question]:
        """The sequence masked token by token, by (seed, its number)."""
        whole = single(ids, self.tokenizer.special)
        units = np.full(len(whole.token_ids), SPECIAL, dtype=np.uint8)
        units[1:-1] = STARTS
        lengths, label = np.array([len(units)]), np.array([-1])
        examples = Examples(whole.token_ids, np.zeros_like(whole.token_ids), units, lengths, label)
        number = np.array([self.sequences])
        self.sequences += 1
        masked = mask(examples, MASKING, self.tokenizer.special, self.tokenizer.vocab_size, self.choice.seed, 0, number)
        if len(masked.rows):
            np.add.at(self.masked, masked.labels, 1)
            sequence = whole._replace(token_ids=masked.token_ids)
            yield Question(TOKENS, self.documents - 1, sequence, masked.rows, masked.labels)


def _score(model: Model, questions: list[Question], vocab_size: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Per batch: the document of each masked token (tokens,); its loss, whether it was restored, and 1: (tokens, 3)."""
    for chosen, batch in batches([question.sequence for question in questions], device_of(model)):
        asked = [questions[i] for i in chosen]
        rows = np.concatenate([one.rows + start for one, start in zip(asked, starts_of(batch), strict=True)])
        labels = np.concatenate([one.labels for one in asked])
        found = restore(model, *asked_rows(model(batch).hidden_states, rows, labels), vocab_size)
        losses = -found.log_probabilities.double().cpu().numpy()
        places = np.repeat([one.document for one in asked], [len(one.rows) for one in asked])
        yield places, np.stack([losses, found.correct.double().cpu().numpy(), np.ones(len(losses))], axis=1)
