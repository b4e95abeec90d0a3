"""Scores are sums over targets, so parts add up to the whole."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import pytest
import torch
import torch.nn.functional as F

from bertsmith.batch import Target
from bertsmith.models.heads import HEADS
from bertsmith.objectives.config import ObjectiveName, ObjectivesConfig
from bertsmith.objectives.distillation import DISTILLATION
from bertsmith.objectives.table import OBJECTIVES
from tests.tiny_models import random_batch, tiny_model

EACH = pytest.mark.parametrize("name", OBJECTIVES)


def test_the_table_and_the_config_agree() -> None:
    assert set(get_args(ObjectiveName)) == {*OBJECTIVES, DISTILLATION}
    assert set(OBJECTIVES) == set(ObjectivesConfig().use)
    assert all(objective.name == name for name, objective in OBJECTIVES.items())
    assert all(head in HEADS for objective in OBJECTIVES.values() for head in objective.heads)


@EACH
def test_against_the_plain_formula(name: str) -> None:
    model, batch = tiny_model().eval(), random_batch((5, 20, 9))
    encoded = model(batch)
    score = OBJECTIVES[name].score(model, encoded, batch)
    rows, labels = batch.targets[name]
    logits = model.masked_lm(encoded.hidden_states)[rows] if name == "masked_lm" else model.pair(encoded.pooled)[rows]
    assert score.count == OBJECTIVES[name].count(batch) == len(labels)
    assert score.loss.item() == pytest.approx(-F.log_softmax(logits, -1)[range(len(labels)), labels].sum().item())
    assert score.correct.item() == (logits.argmax(-1) == labels).sum().item()


@EACH
def test_two_halves_add_up(name: str) -> None:
    model = tiny_model().eval()
    batch = random_batch((5, 20, 9, 14))
    rows, labels = batch.targets[name]
    whole = OBJECTIVES[name].score(model, model(batch), batch)
    parts = []
    for part in (slice(0, 1), slice(1, None)):
        smaller = replace(batch, targets={name: Target(rows[part], labels[part])})
        parts.append(OBJECTIVES[name].score(model, model(smaller), smaller))
    assert sum(part.loss.item() for part in parts) == pytest.approx(whole.loss.item(), rel=1e-5)
    assert sum(part.count for part in parts) == whole.count
    assert sum(part.correct.item() for part in parts) == whole.correct.item()


@EACH
def test_nothing_to_predict_is_zero_and_not_nan(name: str) -> None:
    model = tiny_model().eval()
    batch = random_batch((5, 20))
    empty = torch.zeros(0, dtype=torch.int64)
    batch = replace(batch, targets={name: Target(empty, empty)})
    score = OBJECTIVES[name].score(model, model(batch), batch)
    score.loss.backward()
    assert (score.loss.item(), score.correct.item(), score.count) == (0.0, 0, 0)
    gradients = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
    assert gradients and all(not gradient.any() for gradient in gradients)


@EACH
def test_a_batch_without_the_target_counts_zero(name: str) -> None:
    assert OBJECTIVES[name].count(replace(random_batch((5,)), targets={})) == 0
