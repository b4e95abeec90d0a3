"""Soft labels: against the plain formula for every kind of head, in parts that add up, with a teacher left alone."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from bertsmith.batch import Batch, Target
from bertsmith.models.config import TaskHead
from bertsmith.models.model import Model
from bertsmith.objectives.labelled import LABELLED, Labelled
from bertsmith.objectives.objective import Objective, Score
from bertsmith.objectives.soft_labels import SoftLabels, summed_kl
from tests.objectives.test_labelled import EACH, LENGTHS, TARGETS, batch_with
from tests.tiny_models import FAMILIES, HEADS_OF_TASKS, TINY, gradient, random_batch, tiny_model

STARTS = (0, 5, 25, 34, 48)


def student_of(name: str, family: str = "bert") -> Model:
    return tiny_model((), FAMILIES[family], task=HEADS_OF_TASKS[name]).eval()


def teacher_of(name: str) -> Model:
    """Larger than the student, and without anything to train."""
    return tiny_model((), replace(TINY, layers=3), 1, HEADS_OF_TASKS[name]).eval().requires_grad_(False)


def soft(name: str, temperature: float = 2.0, share: float = 0.5) -> SoftLabels:
    return SoftLabels(Labelled(HEADS_OF_TASKS[name]), teacher_of(name), temperature, share)


def scored(objective: Objective, model: Model, target: Target) -> Score:
    batch = batch_with(target)
    return objective.score(model, model(batch), batch)


def kl(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """The formula as it stands in the paper, in fp64."""
    p, q = ((logits.double() / temperature).softmax(0) for logits in (teacher, student))
    return temperature**2 * (p * (p / q).log()).sum()


def by_hand(name: str, student: Model, batch: Batch, temperature: float) -> Tensor:
    """The distance to the teacher, a target at a time."""
    teacher = teacher_of(name)
    mine, theirs = (model.task_logits(model(batch), batch) for model in (student, teacher))
    total = torch.zeros((), dtype=torch.float64)
    for row in batch.targets[LABELLED].rows.tolist():
        if name == "number":
            total = total + (mine[row, 0] - theirs[row, 0]).double() ** 2
        elif name == "span":
            places = slice(STARTS[row], STARTS[row] + LENGTHS[row])
            total = total + sum(kl(mine[places, end], theirs[places, end], temperature) for end in (0, 1)) / 2
        else:
            rows = (slice(0, 2), slice(2, 5))[row] if name == "choice" else row
            total = total + kl(mine[rows], theirs[rows], temperature)
    return total


@EACH
@pytest.mark.parametrize(("temperature", "share"), [(1.0, 1.0), (2.0, 0.5), (8.0, 0.25), (2.0, 0.0)])
def test_against_the_plain_formula(name: str, temperature: float, share: float) -> None:
    """To a millionth; a high temperature leaves small differences of large numbers, and so fewer digits."""
    student, target = student_of(name), TARGETS[name]
    score = scored(soft(name, temperature, share), student, target)
    hard = scored(Labelled(HEADS_OF_TASKS[name]), student, target)
    wanted = (1 - share) * hard.loss.double() + share * by_hand(name, student, batch_with(target), temperature)
    assert score.loss.item() == pytest.approx(wanted.item(), rel=1e-6 * max(1.0, temperature))
    assert (score.correct.item(), score.count) == (hard.correct.item(), hard.count)
    assert score.loss.dtype == torch.float32
    weights = list(student.parameters())
    gradients = (torch.autograd.grad(loss, weights) for loss in (score.loss, wanted))
    for found, expected in zip(*gradients, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6 * max(1.0, wanted.item()))


@EACH
def test_the_teacher_itself_is_at_no_distance(name: str) -> None:
    student = teacher_of(name).requires_grad_(True)
    score = scored(soft(name, share=1.0), student, TARGETS[name])
    assert score.loss.item() == pytest.approx(0, abs=1e-6)
    assert all(not g.abs().max() > 1e-6 for g in torch.autograd.grad(score.loss, list(student.parameters())))


@EACH
def test_parts_add_up(name: str) -> None:
    (rows, labels), objective, student = TARGETS[name], soft(name), student_of(name)
    whole = scored(objective, student, TARGETS[name])
    parts = [scored(objective, student, Target(rows[part], labels[part])) for part in (slice(1), slice(1, None))]
    assert sum(part.loss.item() for part in parts) == pytest.approx(whole.loss.item(), rel=1e-5)
    assert sum(part.count for part in parts) == whole.count == objective.count(batch_with(TARGETS[name]))
    nothing = scored(objective, student, Target(rows[:0], labels[:0]))
    assert (nothing.loss.item(), nothing.count) == (0.0, 0)


@EACH
def test_only_the_student_learns(name: str) -> None:
    """Also one of another family; neither the teacher nor the random numbers of dropout are touched."""
    objective, student = soft(name), student_of(name, "distilbert")
    before, state = objective.teacher.state_dict(), torch.get_rng_state()
    before = {key: value.clone() for key, value in before.items()}
    scored(objective, student, TARGETS[name]).loss.backward()
    still = [key for key, parameter in student.named_parameters() if not gradient(parameter).abs().sum() > 0]
    assert set(still) <= {"heads.choice.output.bias"}, "only the bias of one score for each choice changes nothing"
    assert all(parameter.grad is None for parameter in objective.teacher.parameters())
    assert all(torch.equal(value, before[key]) for key, value in objective.teacher.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)


@EACH
def test_bf16_models_are_compared_in_fp32(name: str) -> None:
    exact = scored(soft(name), student_of(name), TARGETS[name]).loss.item()
    objective = soft(name)
    objective.teacher.to(torch.bfloat16)
    rounded = scored(objective, student_of(name).to(torch.bfloat16), TARGETS[name]).loss
    assert rounded.dtype == torch.float32 and rounded.item() == pytest.approx(exact, rel=0.1)


def test_gradients_are_as_large_at_any_high_temperature() -> None:
    student, target = student_of("labels"), TARGETS["labels"]
    norms = []
    for temperature in (20.0, 200.0):
        loss = scored(soft("labels", temperature, 1.0), student, target).loss
        norms.append(torch.autograd.grad(loss, student.heads["sequence"].get_parameter("output.weight"))[0].norm())
    assert norms[0].item() == pytest.approx(norms[1].item(), rel=0.1)


def test_class_weights_count_for_the_labels_alone() -> None:
    head, student = HEADS_OF_TASKS["labels"], student_of("labels")
    weighted = Labelled(head, (0.5, 2.0, 1.0))
    losses = [
        scored(SoftLabels(hard, teacher_of("labels"), 2.0, share), student, TARGETS["labels"]).loss.item()
        for hard in (Labelled(head), weighted)
        for share in (1.0, 0.0)
    ]
    assert losses[0] == losses[2] and losses[1] != losses[3]


def test_places_that_are_none_count_for_nothing() -> None:
    student = torch.tensor([[1.0, 2.0, float("-inf")]], requires_grad=True)
    teacher = torch.tensor([[0.5, 0.5, float("-inf")]])
    loss = summed_kl(student, teacher)
    assert loss.item() == pytest.approx(kl(student[0, :2], teacher[0, :2], 1.0).item(), rel=1e-6)
    assert torch.isfinite(torch.autograd.grad(loss, student)[0]).all()


def test_it_is_known_by_the_name_of_the_labels() -> None:
    objective: Objective = soft("span")
    assert (objective.name, objective.heads, objective.weight) == (LABELLED, ("span",), 1.0)
    assert objective.count(replace(random_batch((5,)), targets={})) == 0
    assert Labelled(TaskHead("span")).heads == objective.heads
