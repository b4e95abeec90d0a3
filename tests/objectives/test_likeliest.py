"""A teacher's likeliest words: against the whole distribution, and against the plain formula."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from bertsmith.objectives import likeliest as module
from bertsmith.objectives import vocabulary_loss
from bertsmith.objectives.config import DistillationConfig
from bertsmith.objectives.distillation import Distillation
from bertsmith.objectives.likeliest import (
    Likeliest,
    from_records,
    likeliest,
    likeliest_kl,
    record_type,
    to_records,
)
from bertsmith.objectives.vocabulary_kl import vocabulary_kl
from tests.tiny_models import DISTILBERT, gradient, random_batch, tiny_model

WORDS = 50
CPU = torch.device("cpu")


def three(width: int, seed: int) -> list[Tensor]:
    """Features, word embedding and bias of a made-up head."""
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=generator) for shape in ((37, width), (WORDS, width), (WORDS,))]


def asked(count: int, temperature: float) -> tuple[Tensor, Likeliest]:
    """A teacher's whole distribution, and its likeliest words without any rounding."""
    features, weight, bias = three(12, 1)
    ids, shares, rest = likeliest(features, weight, bias, count, temperature)
    return ((features @ weight.t() + bias) / temperature).softmax(-1), Likeliest(ids, shares.exp(), rest.exp())


@pytest.fixture(autouse=True)
def _small_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vocabulary_loss, "BLOCK", 16)
    monkeypatch.setattr(vocabulary_loss, "CACHED", 6)
    monkeypatch.setattr(module, "CACHED", 5)


@pytest.mark.parametrize("temperature", [1.0, 2.0])
def test_all_words_are_the_whole_distance(temperature: float) -> None:
    own = [tensor.requires_grad_() for tensor in three(8, 0)]
    teacher = three(12, 1)
    whole = vocabulary_kl(own[0], own[1], own[2], (teacher[0], teacher[1], teacher[2]), temperature, len(own[0]))
    whole.loss.backward()
    gradients = [gradient(tensor).clone() for tensor in own]
    for tensor in own:
        tensor.grad = None
    found = likeliest_kl(own[0], own[1], own[2], asked(WORDS, temperature)[1], temperature)
    found.loss.backward()
    assert found.loss.item() == pytest.approx(whole.loss.item(), rel=1e-6)
    assert found.correct.item() == whole.correct.item()
    for one, other in zip(gradients, own, strict=True):
        torch.testing.assert_close(one, gradient(other), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("temperature", [1.0, 2.0])
def test_a_few_words_and_the_rest_are_the_plain_formula(temperature: float) -> None:
    distribution, taught = asked(7, temperature)
    best = distribution.topk(7, 1)
    assert torch.equal(best.indices, taught.ids)
    torch.testing.assert_close(taught.shares, best.values)
    torch.testing.assert_close(taught.rest, 1 - best.values.sum(1))
    own = [tensor.requires_grad_() for tensor in three(8, 0)]
    found = likeliest_kl(own[0], own[1], own[2], taught, temperature)
    found.loss.backward()
    gradients = [gradient(tensor).clone() for tensor in own]
    for tensor in own:
        tensor.grad = None
    given = ((own[0] @ own[1].t() + own[2]) / temperature).softmax(-1)
    of_words = given.gather(1, best.indices)
    outcomes = torch.cat([of_words, 1 - of_words.sum(1, keepdim=True)], 1)
    wanted = torch.cat([best.values, 1 - best.values.sum(1, keepdim=True)], 1)
    plain = F.kl_div(outcomes.log(), wanted, reduction="sum") * temperature**2
    plain.backward()
    assert found.loss.item() == pytest.approx(plain.item(), rel=1e-5)
    for one, other in zip(gradients, own, strict=True):
        torch.testing.assert_close(one, gradient(other), atol=1e-5, rtol=1e-4)


def test_fewer_words_are_less_to_learn_but_never_nothing_to_unlearn() -> None:
    own = three(8, 0)
    losses = [likeliest_kl(own[0], own[1], own[2], asked(count, 1.0)[1], 1.0).loss.item() for count in (1, 5, 20, 50)]
    assert losses == sorted(losses) and losses[0] > 0


def test_a_student_that_is_sure_of_itself_has_a_finite_loss() -> None:
    features, weight, bias = three(8, 0)
    features = (1000 * features).requires_grad_()
    found = likeliest_kl(features, weight, bias, asked(3, 1.0)[1], 1.0)
    found.loss.backward()
    assert found.loss.isfinite() and gradient(features).isfinite().all()


def test_records_are_rounded_once() -> None:
    _, taught = asked(7, 2.0)
    records = to_records(taught.ids, taught.shares.log(), taught.rest.log(), WORDS)
    back = from_records(records, CPU)
    assert torch.equal(back.ids, taught.ids)
    torch.testing.assert_close(back.shares, taught.shares, atol=0, rtol=4e-3)
    torch.testing.assert_close(back.shares.sum(1) + back.rest, torch.ones(37))
    assert records.itemsize == 7 * 4 + 8 and record_type(7, 2**16 + 1).itemsize == 7 * 6 + 8
    large = to_records(torch.tensor([[2**16 + 3]]), torch.zeros(1, 1), torch.full((1,), -torch.inf), 2**17)
    assert from_records(large, CPU).ids.tolist() == [[2**16 + 3]]
    assert from_records(large, CPU).rest.tolist() == [0.0] and np.isneginf(large["rest"][0])


@pytest.mark.parametrize("positions", ["all", "masked"])
def test_a_distillation_of_all_words_is_the_whole_one_but_for_rounding(positions: Any) -> None:
    student = tiny_model(("masked_lm",), replace(DISTILBERT, layers=1), seed=1).eval()
    batch = random_batch((5, 20, 9))
    config = DistillationConfig(cosine=0.0, positions=positions)
    scores = [
        Distillation(replace(config, cache_top_k=count), student, tiny_model(seed=2)).score(
            student, student(batch), batch
        )
        for count in (0, 97)
    ]
    assert scores[1].loss.item() == pytest.approx(scores[0].loss.item(), rel=2e-3)
    assert scores[1].correct.item() == scores[0].correct.item() and scores[1].count == scores[0].count
