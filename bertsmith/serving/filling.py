"""Hidden words: the likeliest tokens for every mask of a text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypedDict

import numpy as np
import torch

from bertsmith.console import warn_of
from bertsmith.errors import UsageError
from bertsmith.models.model import Model
from bertsmith.serving.texts import clean_text, which
from bertsmith.tasks.forward import TokenSequence, batches, device_of, read_ahead, require_head, single, starts_of
from bertsmith.tasks.trained import Trained
from bertsmith.tokenizers.tokenizer import Tokenizer

MASK = "[MASK]"
HEAD_ROWS = 512  # masks that meet the vocabulary at once: bounds memory for texts that are all masks


class Filling(TypedDict):
    """One candidate for a `[MASK]`: its token and id, its probability, and the text with it filled in."""

    token: str
    token_id: int
    score: float
    text: str


class _Hole(NamedTuple):
    """One `[MASK]`: its text and place there (characters), the sequence that asks for it and its row there."""

    text: int
    start: int
    sequence: int
    row: int


class _Asked(NamedTuple):
    """The sequences to read, all masks in them, and how many of the texts were longer than a sequence."""

    sequences: list[TokenSequence]
    holes: list[_Hole]
    long: int


def fill(trained: Trained, texts: Sequence[str], top_k: int) -> list[list[list[Filling]]]:
    """For each text one list of `top_k` Fillings for each of its masks. Errors and warnings as in Predictor."""
    tokenizer, room = trained.tokenizer, trained.max_length - 2
    if not 1 <= top_k <= tokenizer.vocab_size:
        raise UsageError(f"top_k must be between 1 and {tokenizer.vocab_size}, not {top_k}")
    require_head(trained.model, "masked_lm", "fill masks")
    asked = [_with_masks(tokenizer, text, index, len(texts)) for index, text in enumerate(texts)]
    found: list[list[list[Filling]]] = []
    long = 0
    for pool, questions in read_ahead(asked, lambda pool: _questions(tokenizer, room, pool)):
        answers: list[list[list[Filling]]] = [[] for _ in pool]
        best = _best_tokens(trained.model, tokenizer.vocab_size, questions, top_k)
        for hole, (scores, ids) in zip(questions.holes, best, strict=True):
            text = pool[hole.text]
            answers[hole.text].append([_filling(tokenizer, text, hole, *one) for one in zip(ids, scores, strict=True)])
        found += answers
        long += questions.long
    rest = f"each {MASK} there is answered from the {room} tokens around it"
    warn_of(long, len(texts), f"texts are longer than the {room} tokens this model reads: {rest}")
    return found


def _with_masks(tokenizer: Tokenizer, text: str, index: int, count: int) -> str:
    """The cleaned text with the tokenizer's own masks (RoBERTa's is <mask>); UsageError where it has none."""
    text = clean_text(text, index, count).replace(MASK, tokenizer.mask_token)
    if tokenizer.mask_token not in text:
        lowered = text.lower()
        hint = f" (write it as {MASK})" if "[mask]" in lowered or "<mask>" in lowered else ""
        raise UsageError(f"{which(index, count)} has no {MASK} to fill{hint}")
    return text


def _questions(tokenizer: Tokenizer, room: int, texts: Sequence[str]) -> _Asked:
    """One sequence for a text that fits, and one for each mask of a longer text."""
    sequences: list[TokenSequence] = []
    holes: list[_Hole] = []
    long = 0
    for index, text in enumerate(texts):
        ids, _, offsets = tokenizer.encode_with_offsets(text, specials=True)
        long += len(ids) > room
        for number, place in enumerate(np.flatnonzero(ids == tokenizer.special.mask).tolist()):
            start = max(0, min(place - room // 2, len(ids) - room))
            if number == 0 or len(ids) > room:
                sequences.append(single(ids[start : start + room], tokenizer.special))
            holes.append(_Hole(index, int(offsets[place, 0]), len(sequences) - 1, place - start + 1))
    return _Asked(sequences, holes, long)


def _best_tokens(model: Model, vocab_size: int, asked: _Asked, top_k: int) -> list[tuple[list[float], list[int]]]:
    """Per hole the best scores and token ids. Only the rows of masks meet the vocabulary, a batch at a time."""
    numbers_of: list[list[int]] = [[] for _ in asked.sequences]
    for number, hole in enumerate(asked.holes):
        numbers_of[hole.sequence].append(number)
    found: list[tuple[list[float], list[int]]] = [([], [])] * len(asked.holes)
    with torch.inference_mode():
        for chosen, batch in batches(asked.sequences, device_of(model)):
            numbers = [number for i in chosen for number in numbers_of[i]]
            starts = dict(zip(chosen, starts_of(batch).tolist(), strict=True))
            rows = torch.tensor([starts[asked.holes[n].sequence] + asked.holes[n].row for n in numbers])
            hidden = model(batch).hidden_states
            best: list[tuple[list[float], list[int]]] = []
            for part in hidden[rows.to(hidden.device)].split(HEAD_ROWS):
                logits = model.masked_lm(part)[:, :vocab_size]  # the rest is padding
                scores, ids = logits.float().softmax(-1).topk(top_k)
                best += zip(scores.tolist(), ids.tolist(), strict=True)
            for number, answer in zip(numbers, best, strict=True):
                found[number] = answer
    return found


def _filling(tokenizer: Tokenizer, text: str, hole: _Hole, token_id: int, score: float) -> Filling:
    written, apart = tokenizer.surface(token_id)
    before, after = text[: hole.start], text[hole.start + len(tokenizer.mask_token) :]
    if not apart:  # goes on with the word before it
        before = before.rstrip()
    token = tokenizer.id_to_token(token_id)
    return Filling(token=token, token_id=token_id, score=score, text=before + written + after)
