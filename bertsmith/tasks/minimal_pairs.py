"""Minimal pairs: does a model find the grammatical one of two sentences more probable? (BLiMP, ZhoBLiMP)

A masked model gives a sentence its pseudo-log-likelihood: the sum over its tokens of the log probability of each one
while it is masked (Salazar et al. 2020). A piece of a word is easily guessed from the pieces after it, which favours
long rare words; so beside it stands PLL-word-l2r, for which the later pieces of its word are masked too (Kauf &
Ivanova 2023).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch

from bertsmith.console import Progress, warn
from bertsmith.errors import Diverged, UsageError
from bertsmith.models.model import Model
from bertsmith.tasks.forward import TokenSequence, batches, device_of, require_head, single, starts_of
from bertsmith.tasks.pair_files import MinimalPair
from bertsmith.tasks.vocabulary import asked_rows, restore
from bertsmith.text.skipped import Skipped
from bertsmith.tokenizers.tokenizer import Tokenizer

POOL = 512  # pairs whose masked copies are sorted by length together; bounds memory whatever the number of pairs
TIE = 1e-4  # nats: less is the rounding of fp32 over a sentence


class Encoded(NamedTuple):
    """A sentence as tokens: token_ids (tokens,) int64, word_starts (tokens,) bool."""

    token_ids: np.ndarray
    word_starts: np.ndarray


class Scores(NamedTuple):
    """Pseudo-log-likelihoods of a sentence, in nats: as published, and with the rest of the word masked too."""

    original: float
    word_l2r: float


class Copy(NamedTuple):
    """One masked copy of a sentence: its number, the token asked for, and the scores that take its answer."""

    sentence: int
    token: int
    original: bool
    word_l2r: bool


def evaluate_minimal_pairs(
    model: Model, tokenizer: Tokenizer, pairs: Sequence[MinimalPair], max_length: int, skipped: Skipped
) -> dict[str, Any]:
    """In how many pairs the good sentence is scored above the bad one; a tie is wrong.

    Returns accuracy (pseudo-log-likelihood) and accuracy_word_l2r, both also by_phenomenon, pairs_by_phenomenon, pairs,
    ties, and skipped {reason: pairs or lines left out}. Pairs with a sentence longer than `max_length` tokens, or
    without any, are left out and counted. Raises UsageError when none is left.
    """
    kept, margins = margins_of(model, tokenizer, pairs, max_length, skipped)
    right = margins > TIE
    names = np.array([pair.phenomenon for pair in kept])
    groups = {name: right[names == name] for name in sorted(set(names.tolist()))}
    return {
        "accuracy": float(right[:, 0].mean()),
        "accuracy_word_l2r": float(right[:, 1].mean()),
        "by_phenomenon": {name: float(group[:, 0].mean()) for name, group in groups.items()},
        "by_phenomenon_word_l2r": {name: float(group[:, 1].mean()) for name, group in groups.items()},
        "pairs_by_phenomenon": {name: len(group) for name, group in groups.items()},
        "pairs": len(kept),
        "ties": int((np.abs(margins[:, 0]) <= TIE).sum()),
        "skipped": dict(skipped.counts),
    }


def margins_of(
    model: Model, tokenizer: Tokenizer, pairs: Sequence[MinimalPair], max_length: int, skipped: Skipped
) -> tuple[list[MinimalPair], np.ndarray]:
    """The pairs that can be scored, and by how many nats their good sentence is above the bad one: (pairs, 2), as
    published and by PLL-word-l2r. Errors as in `evaluate_minimal_pairs`.
    """
    require_head(model, "masked_lm", "score sentences")
    kept, encoded = _encode(tokenizer, pairs, max_length - 2, skipped)
    if not kept:
        reasons = "; ".join(f"{n} times {reason}" for reason, n in skipped.counts.items())
        raise UsageError(f"no pair is left to score ({reasons})")
    scored = _score_pairs(model, tokenizer, encoded)
    margins = np.array([[good.original - bad.original, good.word_l2r - bad.word_l2r] for good, bad in scored])
    if not np.isfinite(margins).all():
        raise Diverged("a score is not a finite number: the weights of this model are damaged")
    unknown = np.mean([tokenizer.special.unk in s.token_ids for pair in encoded for s in pair])
    if unknown > 0.01:
        warn(f"{unknown:.1%} of the sentences hold [UNK] for this tokenizer: pairs that differ there only are ties")
    return kept, margins


def _encode(
    tokenizer: Tokenizer, pairs: Sequence[MinimalPair], room: int, skipped: Skipped
) -> tuple[list[MinimalPair], list[tuple[Encoded, Encoded]]]:
    """The pairs that can be scored, and their tokens."""
    kept: list[MinimalPair] = []
    encoded: list[tuple[Encoded, Encoded]] = []
    for pair in pairs:
        good, bad = (encode(tokenizer, text) for text in (pair.good, pair.bad))
        sizes = len(good.token_ids), len(bad.token_ids)
        if min(sizes) == 0:
            skipped.add("no token in a sentence", pair.place)
        elif max(sizes) > room:
            skipped.add(f"longer than the {room} tokens this model reads", pair.place)
        else:
            kept.append(pair)
            encoded.append((good, bad))
    return kept, encoded


def encode(tokenizer: Tokenizer, text: str) -> Encoded:
    """The tokens of a sentence and where its words start: Chinese words are those of the segmenter."""
    token_ids, word_starts, _ = tokenizer.encode_with_offsets(text)
    starts = word_starts.astype(bool)
    starts[:1] = True
    return Encoded(token_ids.astype(np.int64), starts)


def _score_pairs(
    model: Model, tokenizer: Tokenizer, encoded: Sequence[tuple[Encoded, Encoded]]
) -> list[tuple[Scores, Scores]]:
    """Both scores of every pair, in order."""
    model.eval()
    scores: list[Scores] = []
    with Progress(len(encoded), "pairs", "evaluate minimal-pairs") as progress, torch.inference_mode():
        for start in range(0, len(encoded), POOL):
            pool = [sentence for pair in encoded[start : start + POOL] for sentence in pair]
            scores += score_sentences(model, tokenizer, pool, lambda done, s=start: progress.update(s + done / 2))
    return list(zip(scores[::2], scores[1::2], strict=True))


def score_sentences(
    model: Model, tokenizer: Tokenizer, sentences: Sequence[Encoded], report: Callable[[float], None] = lambda _: None
) -> list[Scores]:
    """Both scores of every sentence, in order; `report` is told how many sentences' worth of work is done.

    Equal tokens are scored once: whatever a batch rounds, they tie, and published files repeat their sentences.
    """
    keys = [sentence.token_ids.tobytes() + sentence.word_starts.tobytes() for sentence in sentences]
    different = dict(zip(keys, sentences, strict=True))
    numbers = {key: number for number, key in enumerate(different)}
    chosen_sentences = list(different.values())
    copies = [copy for number, sentence in enumerate(chosen_sentences) for copy in masked_copies(number, sentence)]
    owners = np.array([copy.sentence for copy in copies])
    takes = np.array([[copy.original, copy.word_l2r] for copy in copies])
    totals = np.zeros((len(chosen_sentences), 2))
    done = 0
    for chosen, log_probabilities in _answers(model, tokenizer, chosen_sentences, copies):
        np.add.at(totals, owners[chosen], np.array(log_probabilities)[:, None] * takes[chosen])
        done += len(chosen)
        report(len(sentences) * done / len(copies))
    return [Scores(*totals[numbers[key]].tolist()) for key in keys]


def masked_copies(number: int, sentence: Encoded) -> Iterator[Copy]:
    """What has to be asked to score a sentence: every token by itself, and with the later pieces of its word.

    The last piece of a word has none after it, so that one copy answers for both scores.
    """
    last = np.append(sentence.word_starts[1:], True)
    for token, is_last in enumerate(last.tolist()):
        yield Copy(number, token, original=True, word_l2r=is_last)
        if not is_last:
            yield Copy(number, token, original=False, word_l2r=True)


def _masked(sentence: Encoded, copy: Copy, tokenizer: Tokenizer) -> TokenSequence:
    ids = sentence.token_ids.copy()
    stop = copy.token + 1
    if not copy.original:
        following = np.flatnonzero(sentence.word_starts[stop:])
        stop = stop + int(following[0]) if len(following) else len(ids)
    ids[copy.token : stop] = tokenizer.special.mask
    return single(ids, tokenizer.special)


def _answers(
    model: Model, tokenizer: Tokenizer, sentences: Sequence[Encoded], copies: Sequence[Copy]
) -> Iterator[tuple[list[int], list[float]]]:
    """Per batch the copies in it and the log probability of the token that each asks for."""
    sequences = [_masked(sentences[copy.sentence], copy, tokenizer) for copy in copies]
    for chosen, batch in batches(sequences, device_of(model)):
        rows = starts_of(batch) + np.array([copies[i].token + 1 for i in chosen])  # after [CLS]
        labels = np.array([sentences[copies[i].sentence].token_ids[copies[i].token] for i in chosen])
        found = restore(model, *asked_rows(model(batch).hidden_states, rows, labels), tokenizer.vocab_size)
        yield chosen, found.log_probabilities.tolist()
