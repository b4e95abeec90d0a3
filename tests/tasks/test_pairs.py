"""evaluate pairs: pairs cut as a corpus is cut, judged, counted."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from bertsmith.data.config import CutConfig
from bertsmith.errors import UsageError
from bertsmith.models.model import Model
from bertsmith.tasks import pairs
from bertsmith.tasks.forward import TokenSequence
from bertsmith.tasks.pairs import cut_pairs, evaluate_pairs
from tests.stories import story, tiny_model, tiny_tokenizer

TOKENIZER = tiny_tokenizer()
CUT = CutConfig(length=32)


def answering(monkeypatch: pytest.MonkeyPatch, answers: torch.Tensor) -> None:
    monkeypatch.setattr(pairs, "pair_logits", lambda model, sequences: answers.clone())


def test_pairs_are_cut_as_published() -> None:
    documents = story(8)
    sequences, labels, places = cut_pairs(TOKENIZER, documents, CUT, seed=0)
    assert set(labels.tolist()) == {0, 1}
    special = TOKENIZER.special
    texts = [" ".join(document).split(" ") for document in documents]
    for sequence, label, place in zip(sequences, labels, places, strict=True):
        ids = sequence.token_ids
        assert len(ids) <= 32
        assert ids[0] == special.cls and ids[sequence.first - 1] == special.sep and ids[-1] == special.sep
        first = [TOKENIZER.id_to_token(int(i)) for i in ids[1 : sequence.first - 1]]
        second = [TOKENIZER.id_to_token(int(i)) for i in ids[sequence.first : -1]]
        homes = [{d for d, text in enumerate(texts) if holds(text, part)} for part in (first, second)]
        assert place in homes[0] and homes[1]
        if label == 0:
            assert homes[0] & homes[1]


@pytest.mark.parametrize("separators", [1, 2])
def test_swapped_pairs_with_the_separators_of_the_tokenizer(monkeypatch: pytest.MonkeyPatch, separators: int) -> None:
    monkeypatch.setattr(TOKENIZER, "separators", separators)
    documents = story(8)
    order = CutConfig(name="sentence_order", length=64, short_probability=0.0)
    sequences, labels, _ = cut_pairs(TOKENIZER, documents, order, seed=0)
    texts = [" ".join(document).split(" ") for document in documents]
    swapped = 0
    for sequence, label in zip(sequences, labels, strict=True):
        ids = sequence.token_ids
        assert (ids == TOKENIZER.special.sep).sum() == separators + 1
        first = [TOKENIZER.id_to_token(int(i)) for i in ids[1 : sequence.first - separators]]
        second = [TOKENIZER.id_to_token(int(i)) for i in ids[sequence.first : -1]]
        if label == 0:
            assert any(holds(text, first) and holds(text, second) for text in texts)
        swapped += label == 1 and any(holds(text, second + first) for text in texts)
    assert 0 < swapped < len(labels)


def holds(text: list[str], part: list[str]) -> bool:
    return any(text[i : i + len(part)] == part for i in range(len(text) - len(part) + 1))


def test_accuracy_and_loss_follow_the_logits(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_model(TOKENIZER)
    _, labels, _ = cut_pairs(TOKENIZER, story(6), CUT, seed=1)
    logits = torch.zeros(len(labels), 2)
    logits[:, 0] = 2.0  # always "is next"
    answering(monkeypatch, logits)
    result = evaluate_pairs(model, TOKENIZER, story(6), CUT, seed=1, max_length=32)
    share = float((labels == 0).mean())
    assert result["pairs"] == len(labels)
    assert result["accuracy"] == pytest.approx(share)
    assert result["constant_accuracy"] == pytest.approx(max(share, 1 - share))
    low = math.log1p(math.exp(-2.0))
    assert result["loss"] == pytest.approx(share * low + (1 - share) * (low + 2.0))


def test_logits_come_back_in_the_order_of_the_sequences() -> None:
    model: Model = tiny_model(TOKENIZER)
    sequences, *_ = cut_pairs(TOKENIZER, story(6), CUT, seed=0)
    together = pairs.pair_logits(model, sequences)
    alone = torch.cat([pairs.pair_logits(model, [sequence]) for sequence in sequences])
    assert torch.allclose(together, alone, atol=1e-5)
    assert together.std(dim=0).min() > 1e-3  # the order is visible: answers differ


def test_types_tell_the_parts_apart() -> None:
    model = tiny_model(TOKENIZER)
    ids = np.array([2, 6, 7, 3, 8, 9, 3])
    as_pair, as_one = (pairs.pair_logits(model, [TokenSequence(ids, first)]) for first in (4, 7))
    assert not torch.allclose(as_pair, as_one, atol=1e-4)


@pytest.mark.parametrize(
    ("documents", "message"),
    [
        ([], "no words"),
        ([["   "]], "no words"),
        ([["the cat sat .", "the dog ran ."]], "second document"),
    ],
)
def test_text_that_gives_no_pairs_is_one_clear_line(documents: list[list[str]], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        evaluate_pairs(tiny_model(TOKENIZER), TOKENIZER, documents, CUT, seed=0, max_length=32)


def test_a_cut_without_pairs_is_refused() -> None:
    with pytest.raises(UsageError, match="makes no pairs"):
        evaluate_pairs(tiny_model(TOKENIZER), TOKENIZER, story(3), CutConfig(name="full_sentences"), 0, 32)


def test_a_model_without_the_head_says_what_it_has() -> None:
    model = tiny_model(TOKENIZER, heads=("masked_lm",))
    with pytest.raises(UsageError, match=r"no trained pair head \(trained heads: masked_lm\)"):
        evaluate_pairs(model, TOKENIZER, story(3), CUT, seed=0, max_length=32)
