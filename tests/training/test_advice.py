"""What is told of pairs whose answers are nearly all the same."""

from typing import Any, cast

import pytest

from bertsmith.data.batches import BatchSource
from bertsmith.data.config import CutConfig, MaskingConfig
from bertsmith.training.advice import advice_for_pairs
from tests.helpers import SPECIAL, memory_corpus, random_documents


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


def source(name: str, length: int) -> BatchSource:
    objectives = ("masked_lm",) if name == "full_sentences" else ("masked_lm", "pair")
    cut = CutConfig(name=cast(Any, name), length=length)
    corpus, special = memory_corpus(random_documents(300)), cast(Any, SPECIAL)
    return BatchSource(corpus, cut, MaskingConfig(), batch_size=8, seed=0, special=special, objectives=objectives)
