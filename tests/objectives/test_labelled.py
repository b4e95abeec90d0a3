"""Losses of task heads: by hand, without padding, in parts that add up, and with weights for rare labels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from bertsmith.batch import Batch, Target
from bertsmith.errors import UsageError
from bertsmith.models.config import TaskHead
from bertsmith.models.encoder import Encoded
from bertsmith.models.model import Model
from bertsmith.objectives.labelled import LABELLED, Labelled, in_groups, in_sequences
from bertsmith.objectives.objective import Objective, Score
from tests.tiny_models import FAMILIES, HEADS_OF_TASKS, gradient, random_batch, tiny_model

LENGTHS = (5, 20, 9, 14, 3)
GROUPS = torch.tensor([7, 7, 2, 2, 2])
TARGETS = {
    "labels": Target(torch.tensor([0, 2, 3, 4]), torch.tensor([0, 2, 2, 1])),
    "number": Target(torch.tensor([0, 2, 3, 4]), torch.tensor([0.0, 2.5, -1.0, 0.25])),
    "tags": Target(torch.arange(0, 51, 4), torch.arange(13) % 3),
    "span": Target(torch.tensor([1, 2, 4]), torch.tensor([[0, 0], [3, 8], [1, 2]])),
    "choice": Target(torch.tensor([0, 1]), torch.tensor([1, 2])),
}
EACH = pytest.mark.parametrize("name", HEADS_OF_TASKS)


def batch_with(target: Target, lengths: Sequence[int] = LENGTHS) -> Batch:
    batch = random_batch(lengths)
    return replace(batch, groups=GROUPS if lengths == LENGTHS else batch.groups, targets={LABELLED: target})


def scored(name: str, target: Target, model: Model | None = None) -> Score:
    batch = batch_with(target)
    model = model or tiny_model((), task=HEADS_OF_TASKS[name]).eval()
    return Labelled(HEADS_OF_TASKS[name]).score(model, model(batch), batch)


def by_hand(name: str, model: Model, batch: Batch) -> tuple[float, int]:
    """Loss and correct answers, a target at a time."""
    logits = model.task_logits(model(batch), batch)
    starts = [0, 5, 25, 34, 48]
    loss, correct = 0.0, 0
    for row, label in zip(*batch.targets[LABELLED], strict=True):
        if name == "number":
            error = float(logits[row, 0] - label)
            loss, correct = loss + error**2, correct + (abs(error) <= 0.5)
        elif name == "span":
            mine = logits[starts[row] : starts[row] + LENGTHS[row]]
            loss -= sum(float(mine[:, end].log_softmax(0)[label[end]]) for end in (0, 1)) / 2
            correct += [int(mine[:, end].argmax()) for end in (0, 1)] == label.tolist()
        else:
            mine = logits[:2] if row == 0 else logits[2:]
            mine = mine if name == "choice" else logits[row]
            loss -= float(mine.log_softmax(0)[label])
            correct += int(mine.argmax()) == label
    return loss, int(correct)


@EACH
def test_against_the_plain_formula(name: str) -> None:
    model, batch = tiny_model((), task=HEADS_OF_TASKS[name]).eval(), batch_with(TARGETS[name])
    objective: Objective = Labelled(HEADS_OF_TASKS[name])
    score = objective.score(model, model(batch), batch)
    loss, correct = by_hand(name, model, batch)
    assert score.loss.item() == pytest.approx(loss, rel=1e-5)
    assert score.correct.item() == correct
    assert score.count == objective.count(batch) == len(TARGETS[name].rows)
    assert score.loss.dtype == torch.float32 and score.correct.dtype == torch.int64
    assert objective.heads == (HEADS_OF_TASKS[name].kind,)


@EACH
def test_parts_add_up(name: str) -> None:
    rows, labels = TARGETS[name]
    whole = scored(name, TARGETS[name])
    parts = [scored(name, Target(rows[part], labels[part])) for part in (slice(0, 1), slice(1, None))]
    assert sum(part.loss.item() for part in parts) == pytest.approx(whole.loss.item(), rel=1e-5)
    assert sum(part.correct.item() for part in parts) == whole.correct.item()
    assert sum(part.count for part in parts) == whole.count


@EACH
def test_nothing_to_predict_is_zero_and_not_nan(name: str) -> None:
    model = tiny_model((), task=HEADS_OF_TASKS[name]).eval()
    score = scored(name, Target(TARGETS[name].rows[:0], TARGETS[name].labels[:0]), model)
    score.loss.backward()
    assert (score.loss.item(), score.correct.item(), score.count) == (0.0, 0, 0)
    gradients = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
    assert gradients and all(not gradient.any() for gradient in gradients)


@EACH
@pytest.mark.parametrize("family", ["bert", "roberta", "distilbert"])
def test_gradients_reach_every_weight(name: str, family: str) -> None:
    model = tiny_model((), FAMILIES[family], task=HEADS_OF_TASKS[name]).eval()
    scored(name, TARGETS[name], model).loss.backward()
    still = [name for name, parameter in model.named_parameters() if not gradient(parameter).abs().sum() > 0]
    shift = f"heads.{HEADS_OF_TASKS[name].kind}.output.bias" if name == "choice" else None
    assert set(still) <= {shift}, "only the bias of one score for each choice changes nothing"


@EACH
def test_a_bf16_model_is_scored_in_fp32(name: str) -> None:
    model = tiny_model((), task=HEADS_OF_TASKS[name]).eval()
    exact = scored(name, TARGETS[name], model).loss.item()
    rounded = scored(name, TARGETS[name], model.to(torch.bfloat16)).loss
    assert rounded.dtype == torch.float32
    assert rounded.item() == pytest.approx(exact, rel=0.1)


def test_a_sequence_is_scored_alike_alone_and_beside_a_longer_one() -> None:
    """The softmax of a span is over the tokens of its own sequence, however long the others are."""
    head = HEADS_OF_TASKS["span"]
    model = tiny_model((), task=head).eval()
    alone, beside = random_batch((5,)), random_batch((5, 24))
    target = {LABELLED: Target(torch.tensor([0]), torch.tensor([[1, 4]]))}
    beside = replace(beside, targets=target)
    alone = replace(alone, token_ids=beside.token_ids[:5], type_ids=beside.type_ids[:5], targets=target)
    losses = [Labelled(head).score(model, model(batch), batch).loss.item() for batch in (alone, beside)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_scores_of_tokens_and_of_choices_stand_by_sequence_and_group() -> None:
    batch = random_batch((2, 3))
    grid = in_sequences(torch.arange(10.0).view(5, 2), batch)
    assert grid[:, :, 0].tolist() == [[0, 2, -math.inf], [4, 6, 8]]
    assert in_groups(torch.arange(5.0), GROUPS).tolist() == [[0, 1, -math.inf], [2, 3, 4]]
    assert in_groups(torch.arange(3.0), torch.arange(3)).tolist() == [[0], [1], [2]]


def test_a_head_of_numbers_counts_those_within_a_half() -> None:
    class Fixed(Model):
        def task_logits(self, encoded: Encoded, batch: Batch) -> torch.Tensor:
            return torch.tensor([[1.0], [1.0], [1.0], [1.0], [1.0]])

    model = tiny_model((), task=HEADS_OF_TASKS["number"])
    model.__class__ = Fixed
    score = scored("number", Target(torch.arange(4), torch.tensor([1.5, 0.5, 1.51, -3.0])), model)
    assert score.correct.item() == 2
    assert score.loss.item() == pytest.approx(0.25 + 0.25 + 0.51**2 + 16)


@pytest.mark.parametrize("name", ["labels", "tags"])
def test_class_weights_scale_the_loss_of_their_label(name: str) -> None:
    model, batch = tiny_model((), task=HEADS_OF_TASKS[name]).eval(), batch_with(TARGETS[name])
    weights = (0.5, 2.0, 0.0)
    score = Labelled(HEADS_OF_TASKS[name], weights).score(model, model(batch), batch)
    rows, labels = TARGETS[name]
    each = F.cross_entropy(model.task_logits(model(batch), batch)[rows], labels, reduction="none")
    assert score.loss.item() == pytest.approx((each * torch.tensor(weights)[labels]).sum().item(), rel=1e-5)
    assert score.count == len(labels)
    same = Labelled(HEADS_OF_TASKS[name], (1.0, 1.0, 1.0)).score(model, model(batch), batch)
    assert same.loss.item() == pytest.approx(each.sum().item(), rel=1e-5)


@pytest.mark.parametrize("name", ["number", "span", "choice"])
def test_class_weights_need_labels(name: str) -> None:
    with pytest.raises(UsageError, match="class weights: 1 given"):
        Labelled(HEADS_OF_TASKS[name], (1.0,))
    with pytest.raises(UsageError, match="class weights: 2 given for 3 labels"):
        Labelled(HEADS_OF_TASKS["tags"], (1.0, 2.0))


def test_a_batch_without_the_target_counts_zero() -> None:
    assert Labelled(TaskHead("span")).count(replace(random_batch((5,)), targets={})) == 0
