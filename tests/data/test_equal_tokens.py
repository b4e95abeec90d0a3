"""Steps of equal tokens: how many sequences each takes, and that an epoch is what it is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bertsmith.data.batches import BatchSource
from bertsmith.data.config import CutConfig, CutName, MaskingConfig
from bertsmith.errors import BertsmithError
from tests.helpers import SPECIAL, memory_corpus, random_documents

CORPUS = memory_corpus(random_documents(120), random_documents(80, seed=1))
BATCH, LENGTH = 4, 64


def source(name: CutName = "doc_sentences", batch_size: int = BATCH, plans: Path | None = None, **cut) -> BatchSource:
    config = CutConfig(name=name, length=LENGTH, **cut)
    objectives = ("masked_lm",)
    return BatchSource(
        CORPUS, config, MaskingConfig(), batch_size, seed=3, special=SPECIAL, objectives=objectives, plans=plans
    )


def tokens(of: BatchSource, step: int) -> int:
    return of.make(*of.indices(step)).token_ids.size


def test_which_cuts_count_tokens():
    by_default = {"sentence_pair": True, "doc_sentences": True}
    for name in ("next_sentence", "sentence_order", "sentence_pair", "full_sentences", "doc_sentences"):
        assert CutConfig(name=name).equal_tokens == by_default.get(name, False)
        assert CutConfig(name=name, batch="tokens").equal_tokens
        assert not CutConfig(name=name, batch="sequences").equal_tokens


@pytest.mark.parametrize("name", ["doc_sentences", "sentence_pair"])
def test_every_step_has_the_tokens_of_full_sequences(name: CutName):
    of = source(name)
    found = np.array([tokens(of, step) for step in range(of.steps_per_epoch(0))])
    assert (abs(found - BATCH * LENGTH) < LENGTH).all()  # a step begins and ends less than a row off
    ends = np.cumsum(found) - np.arange(1, found.size + 1) * BATCH * LENGTH
    assert (ends >= 0).all() and (ends < LENGTH).all()  # and the differences do not add up
    assert of.indices(0)[1].size > BATCH


def test_full_rows_make_the_same_steps_either_way():
    """Where every sequence is full, tokens and sequences are the same count."""
    corpus = memory_corpus([[list(range(10, 10 + 62))] * 3 for _ in range(20)])
    steps = []
    for batch in ("tokens", "sequences"):
        config = CutConfig(name="doc_sentences", length=64, batch=batch)
        of = BatchSource(corpus, config, MaskingConfig(), BATCH, seed=1, special=SPECIAL, objectives=("masked_lm",))
        steps.append([of.indices(step)[1].tolist() for step in range(of.steps_per_epoch(0))])
    assert steps[0] == steps[1] and len(steps[0]) == 15


def test_an_epoch_is_every_row_once_but_for_a_rest_smaller_than_a_step():
    of = source()
    steps = of.steps_per_epoch(0)
    seen = np.concatenate([of.indices(step)[1] for step in range(steps)])
    assert len(set(seen.tolist())) == seen.size
    left = np.setdiff1d(np.arange(of.rows_per_epoch(0)), seen)
    assert of.make(0, left).token_ids.size < BATCH * LENGTH
    assert of.place(steps - 1) == (0, steps - 1) and of.place(steps) == (1, 0)
    assert sorted(of.indices(steps)[1].tolist()) != sorted(of.indices(0)[1].tolist())


def test_plans_left_behind_still_tell_their_steps(tmp_path: Path):
    """With a new cut every epoch only counts of past plans are kept: a late start must not plan them again."""
    first = source("sentence_pair", copies=0, plans=tmp_path)
    wanted = [first.steps_per_epoch(epoch) for epoch in range(5)]
    again = source("sentence_pair", copies=0, plans=tmp_path)
    assert [again.steps_per_epoch(epoch) for epoch in range(5)] == wanted
    assert not again._plans._open
    assert wanted == [source("sentence_pair", copies=0).steps_per_epoch(epoch) for epoch in range(5)]


def test_too_few_tokens_are_one_line():
    with pytest.raises(BertsmithError, match=r"has \d+ tokens, fewer than one batch of 639936"):
        source(batch_size=9999).step(0)
