"""Losses of vectors of texts: by hand, with what is left out as a candidate, gradients, and two views of a text."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from bertsmith.batch import Batch, Target
from bertsmith.models.pooling import Pooling, pool
from bertsmith.objectives.contrastive import Contrastive, CosineRegression, unit_vectors
from bertsmith.objectives.labelled import LABELLED
from bertsmith.training.device import seed_dropout
from tests.tiny_models import TINY, gradient, random_batch, tiny_model

LENGTHS = (5, 7, 3, 9, 4, 4)
APART = torch.tensor([[1, 2, 1], [3, 4, 1], [5, 6, 1]])


def pairs_with(labels: Tensor, lengths: tuple[int, ...] = LENGTHS) -> Batch:
    """Two sequences side by side for each pair."""
    groups = torch.arange(len(lengths)) // 2
    target = Target(torch.arange(len(lengths) // 2), labels)
    return replace(random_batch(lengths), groups=groups, targets={LABELLED: target})


def vectors(count: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(count, 6, generator=generator), dim=1)


def by_hand(first: Tensor, second: Tensor, candidates: list[list[int]], extra: list[float]) -> float:
    """The mean of both directions, a pair at a time. candidates: beside the partner; extra: cosines beside them."""
    total = 0.0
    for ones, others in ((first, second), (second, first)):
        for index, allowed in enumerate(candidates):
            cosines = [float(ones[index] @ others[other]) for other in [index, *allowed]] + extra
            total -= math.log(math.exp(cosines[0] / 0.1) / sum(math.exp(cosine / 0.1) for cosine in cosines))
    return total / 2


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_texts_are_pooled_a_sequence_at_a_time(pooling: Pooling) -> None:
    states = torch.randn(9, 4, generator=torch.Generator().manual_seed(0))
    parts = states.split([2, 3, 4])
    wanted = torch.stack([part.mean(0) if pooling == "mean" else part[0] for part in parts])
    torch.testing.assert_close(pool(states, torch.tensor([2, 3, 4]), pooling), wanted, rtol=0, atol=1e-6)
    assert pool(states.bfloat16(), torch.tensor([2, 3, 4]), pooling).dtype == torch.float32


def test_every_other_pair_is_a_candidate() -> None:
    first, second = vectors(3), vectors(3, 1)
    found = Contrastive(0.1, "mean").compare(first, second, APART)
    assert float(found.loss) == pytest.approx(by_hand(first, second, [[1, 2], [0, 2], [0, 1]], []), rel=1e-6)
    assert found.count == 3
    assert int(found.correct) == int(((first @ second.T).argmax(1) == torch.arange(3)).sum())


@pytest.mark.parametrize(
    ("labels", "candidates"),
    [
        ([[1, 2, 1], [1, 4, 1], [5, 6, 1]], [[2], [2], [0, 1]]),  # two partners of one text
        ([[1, 2, 1], [3, 2, 1], [5, 6, 1]], [[2], [2], [0, 1]]),  # one partner of two texts
        ([[1, 1, 1], [1, 1, 1], [5, 6, 1]], [[2], [2], [0, 1]]),  # one sentence twice in a batch
    ],
)
def test_what_is_right_as_well_is_no_candidate(labels: list[list[int]], candidates: list[list[int]]) -> None:
    first, second = vectors(3), vectors(3, 1)
    found = Contrastive(0.1, "mean").compare(first, second, torch.tensor(labels))
    assert float(found.loss) == pytest.approx(by_hand(first, second, candidates, []), rel=1e-6)


def test_a_text_is_no_candidate_of_itself() -> None:
    """The second text of one pair is the first of another: neither direction may take it for a wrong answer."""
    labels = torch.tensor([[1, 2, 1], [3, 1, 1]])
    first, second = vectors(2), vectors(2, 1)
    forth = by_hand(first, second, [[], [0]], [])
    found = Contrastive(0.1, "mean").compare(first, second, labels)
    one_way = -math.log(
        math.exp(float(first[1] @ second[1]) / 0.1) / sum(math.exp(float(first[1] @ second[i]) / 0.1) for i in (0, 1))
    )
    other_way = -math.log(
        math.exp(float(second[0] @ first[0]) / 0.1) / sum(math.exp(float(second[0] @ first[i]) / 0.1) for i in (0, 1))
    )
    assert forth > 0 and float(found.loss) == pytest.approx((one_way + other_way) / 2, rel=1e-6)


def test_pairs_that_do_not_belong_together_are_exceeded_and_no_targets() -> None:
    labels = torch.tensor([[1, 2, 1], [3, 4, 1], [1, 6, 0]])
    first, second = vectors(3), vectors(3, 1)
    own = float(first[2] @ second[2])
    found = Contrastive(0.1, "mean").compare(first, second, labels)
    forth = [[1, 2], [0, 2]]  # what is said not to belong to a text is a candidate of it
    total = 0.0
    for ones, others in ((first, second), (second, first)):
        for index, allowed in enumerate(forth):
            cosines = [float(ones[index] @ others[other]) for other in [index, *allowed]] + [own]
            if ones is second and index == 0:
                del cosines[2]  # the first text of the third pair is that of the first one
            total -= math.log(math.exp(cosines[0] / 0.1) / sum(math.exp(cosine / 0.1) for cosine in cosines))
    assert float(found.loss) == pytest.approx(total / 2, rel=1e-6)
    assert found.count == 2
    batch = pairs_with(labels)
    assert Contrastive(0.1, "mean").count(batch) == 2
    assert Contrastive(0.1, "mean").count(replace(batch, targets={})) == 0


def test_a_batch_without_any_pair_that_belongs_together_costs_nothing() -> None:
    labels = torch.tensor([[1, 2, 0], [3, 4, 0]])
    found = Contrastive(0.1, "mean").compare(vectors(2), vectors(2, 1), labels)
    assert float(found.loss) == 0.0 and found.count == 0 and int(found.correct) == 0


def test_cosines_come_close_to_scores() -> None:
    model = tiny_model(()).eval()
    scores = torch.tensor([5.0, 0.0, 2.5])
    batch = pairs_with(scores)
    encoded = model(batch)
    first, second = (side.detach() for side in unit_vectors(encoded, batch, "mean"))
    wanted = sum((float(a @ b) - score / 5) ** 2 for a, b, score in zip(first, second, scores.tolist(), strict=True))
    found = CosineRegression(5.0, "mean").score(model, encoded, batch)
    assert float(found.loss.detach()) == pytest.approx(wanted, rel=1e-6) and found.count == 3
    near = [abs(float(a @ b) - s / 5) <= 0.1 for a, b, s in zip(first, second, scores.tolist(), strict=True)]
    assert int(found.correct) == sum(near)


@pytest.mark.parametrize("name", ["contrastive", "cosine"])
def test_gradients_reach_the_first_weights(name: str) -> None:
    model = tiny_model(()).train()
    objective = Contrastive(0.05, "mean") if name == "contrastive" else CosineRegression(5.0, "cls")
    batch = pairs_with(APART if name == "contrastive" else torch.tensor([5.0, 0.0, 2.5]))
    objective.score(model, model(batch), batch).loss.backward()
    for parameter in model.parameters():
        assert bool(torch.isfinite(gradient(parameter)).all())
    assert float(gradient(model.encoder.embeddings.words.weight).abs().sum()) > 0


def test_a_step_down_the_gradient_makes_it_better() -> None:
    model = tiny_model((), replace(TINY, dropout=0.0, attention_dropout=0.0)).train()
    batch, objective = pairs_with(APART), Contrastive(0.05, "mean")

    def loss() -> Tensor:
        return objective.score(model, model(batch), batch).loss

    before = loss()
    before.backward()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter -= 1e-3 * gradient(parameter)
    assert float(loss().detach()) < float(before.detach())


def test_two_views_of_a_sentence_differ_under_dropout_alone() -> None:
    """Both stand in one flat batch, so that one key gives each a mask of its own, and the same key the same masks."""
    ids = random_batch((6,)).token_ids
    twice = replace(random_batch((6, 6)), token_ids=torch.cat([ids, ids]), type_ids=torch.zeros(12, dtype=torch.int64))

    def views(probability: float) -> tuple[Tensor, Tensor]:
        config = replace(TINY, dropout=probability, attention_dropout=probability)
        model = tiny_model((), config).train()
        seed_dropout(np.uint64(3))
        return unit_vectors(model(twice), twice, "mean")

    first, second = views(0.1)
    assert float((first * second).sum().detach()) < 0.999
    torch.testing.assert_close(views(0.1), (first, second), rtol=0, atol=0)
    same, again = views(0.0)
    torch.testing.assert_close(same, again, rtol=0, atol=1e-6)
