"""What is told of rows that are long for a short run, and of pairs whose answers are nearly all the same."""

import re
from dataclasses import replace
from typing import Any, cast

import pytest

from bertsmith.data.batches import BatchSource
from bertsmith.data.config import CutConfig, MaskingConfig
from bertsmith.pretraining import plan_of
from bertsmith.recipe import load_recipe
from bertsmith.training.advice import advice_for_pairs, advice_for_rows
from bertsmith.training.config import LongPhaseConfig
from tests.helpers import SPECIAL, memory_corpus, random_documents
from tests.tiny_runs import tiny_plan


@pytest.mark.parametrize(("name", "told"), [("next_sentence", True), ("sentence_pair", False)])
def test_pieces_of_one_sentence_are_told(name: str, told: bool) -> None:
    line = advice_for_pairs(source(name, 12), 12)
    assert ("of 12 tokens are a single sentence" in line) == told and bool(line) == told


def test_longer_pieces_have_both_answers() -> None:
    assert advice_for_pairs(source("next_sentence", 128), 128) == ""


def test_packed_sentences_have_no_pairs() -> None:
    assert advice_for_pairs(source("full_sentences", 12), 12) == ""


def test_labels_are_those_of_the_built_pairs() -> None:
    pairs = source("next_sentence", 64)
    for step in range(3):
        assert pairs.pair_labels(step).tolist() == pairs.whole(step).targets["pair"][1].tolist()


def test_long_rows_are_told_to_a_short_run_of_a_new_model() -> None:
    plan = tiny_plan(batch_size=16)
    plan = replace(plan, cut=replace(plan.cut, length=128))
    told = advice_for_rows(plan, 10_000)
    assert "about 20M tokens in rows of 128" in told and "--training.batch-size 64" in told
    assert advice_for_rows(plan, 300) == "" and advice_for_rows(plan, 100_000) == ""
    assert advice_for_rows(replace(plan, cut=replace(plan.cut, length=32)), 20_000) == ""
    assert advice_for_rows(replace(plan, long_phase=LongPhaseConfig(share=0.2)), 10_000) == ""


def test_what_is_told_of_rows_can_be_typed() -> None:
    plan = plan_of(load_recipe("roberta-mini"))
    flags = re.findall(r"--(\S+) (\S+)", advice_for_rows(plan, 10_000))
    followed = plan_of(load_recipe("roberta-mini", dict(flags)))
    assert [(p.cut.length, p.training.batch_size) for p in followed.phases] == [(32, 64), (128, 16)]
    assert advice_for_rows(followed, 10_000) == ""


def source(name: str, length: int) -> BatchSource:
    objectives = ("masked_lm",) if name == "full_sentences" else ("masked_lm", "pair")
    cut = CutConfig(name=cast(Any, name), length=length)
    corpus, special = memory_corpus(random_documents(300)), cast(Any, SPECIAL)
    return BatchSource(corpus, cut, MaskingConfig(), batch_size=8, seed=0, special=special, objectives=objectives)
