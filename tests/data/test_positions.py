"""Sequences that come again are known by their numbers, and no two others have the same ones."""

from __future__ import annotations

from typing import Any

import pytest

from bertsmith.data.batches import DISTILLATION, BatchSource
from bertsmith.data.config import CutConfig, MaskingConfig
from bertsmith.data.mixture import Mixture
from tests.helpers import SPECIAL, memory_corpus, random_documents

CASES: dict[str, tuple[CutConfig, int, int]] = {
    "packed": (CutConfig(name="full_sentences", length=32, copies=10), 1, 1),
    "packed, two masks": (CutConfig(name="full_sentences", length=32, copies=0), 2, 2),
    "pairs": (CutConfig(name="next_sentence", length=32, copies=2), 3, 6),
    "equal tokens": (CutConfig(name="doc_sentences", length=32, copies=1), 1, 1),
}


def source(cut: CutConfig, copies: int, seed: int = 0) -> BatchSource:
    corpus = memory_corpus(random_documents(30, seed), random_documents(20, seed + 1))
    return BatchSource(corpus, cut, MaskingConfig(copies=copies), 6, seed, special=SPECIAL, objectives=("masked_lm",))


@pytest.mark.parametrize("case", CASES)
def test_a_number_means_one_sequence_with_one_mask(case: str) -> None:
    cut, copies, period = CASES[case]
    of = source(cut, copies)
    assert of.period == period
    epochs = period + 1
    end = of.number_positions(epochs, first=1000)
    steps = sum(of.steps_per_epoch(epoch) for epoch in range(epochs))
    seen: dict[int, list[int]] = {}
    again = 0  # sequences met before
    for step in range(steps):
        batch = of.whole(step)
        rows, starts = batch.targets[DISTILLATION]
        assert rows.tolist() == list(range(batch.lengths.size))
        ids = batch.token_ids.tolist()
        for start, length in zip(starts.tolist(), batch.lengths.tolist(), strict=True):
            again += start in seen
            sequence, ids = ids[:length], ids[length:]
            assert seen.setdefault(start, sequence) == sequence
    taken = sorted((start, start + len(sequence)) for start, sequence in seen.items())
    assert again > 0.8 * len(seen) / period
    assert taken[0][0] >= 1000 and taken[-1][1] <= end
    assert all(stop <= following for (_, stop), (following, _) in zip(taken, taken[1:], strict=False))


def test_only_whole_periods_are_counted() -> None:
    cut, copies, _ = CASES["packed, two masks"]
    of = source(cut, copies)
    one, two, three = (of.number_positions(epochs, first=0) for epochs in (1, 2, 3))
    assert 2 * one == two == three


@pytest.mark.parametrize("values", [{"copies": 0}, {"name": "full_sentences", "copies": 1}])
def test_what_never_comes_again_has_no_period(values: dict[str, Any]) -> None:
    of = source(CutConfig(**{"length": 32, **values}), copies=0)
    assert of.period == 0
    assert DISTILLATION not in of.whole(0).targets


def test_several_corpora_have_numbers_of_their_own() -> None:
    cut, copies, _ = CASES["packed"]
    first, second = source(cut, copies), source(cut, copies, seed=7)
    middle = first.number_positions(2, first=0)
    end = second.number_positions(2, first=middle)
    starts = [Mixture([first, second], 0, 1, 0).whole(step).targets[DISTILLATION] for step in range(5)]
    for rows, numbers in starts:
        assert rows.tolist() == list(range(12))
        assert (numbers[:6] < middle).all() and ((numbers[6:] >= middle) & (numbers[6:] < end)).all()
