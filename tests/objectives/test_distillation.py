"""A student's losses against the plain formulas, and what cannot be compared."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from bertsmith.batch import Batch
from bertsmith.errors import UsageError
from bertsmith.models.model import Model
from bertsmith.objectives import vocabulary_loss
from bertsmith.objectives.config import DistillationConfig, ObjectivesConfig
from bertsmith.objectives.distillation import Distillation
from bertsmith.objectives.table import needed_heads, objectives_for
from bertsmith.objectives.vocabulary_kl import vocabulary_kl
from tests.tiny_models import DISTILBERT, TINY, gradient, random_batch, tiny_model

STUDENT = replace(DISTILBERT, layers=1, dropout=0.0, attention_dropout=0.0)
WIDE = replace(TINY, hidden_size=48, heads=4, intermediate_size=64)
NOTHING: dict[str, Any] = {"kl": 0.0, "mlm": 0.0, "cosine": 0.0, "relations": 0.0}


def models(teacher: Any = TINY) -> tuple[Model, Model]:
    return tiny_model(("masked_lm",), STUDENT, seed=1), tiny_model(config=teacher, seed=2)


def logits_of(model: Model, hidden: Tensor) -> Tensor:
    return model.masked_lm(hidden).float()


def plain_kl(student: Model, teacher: Model, batch: Batch, rows: Tensor, temperature: float) -> Tensor:
    given = F.log_softmax(logits_of(student, student(batch).hidden_states[rows]) / temperature, -1)
    wanted = F.log_softmax(logits_of(teacher, teacher(batch).hidden_states[rows]) / temperature, -1)
    return F.kl_div(given, wanted, reduction="sum", log_target=True) * temperature**2


def plain_cosine(student: Model, teacher: Model, batch: Batch, rows: Tensor, temperature: float) -> Tensor:
    given, wanted = student(batch).hidden_states[rows], teacher(batch).hidden_states[rows]
    return (1 - (given * wanted).sum(-1) / (given.norm(dim=-1) * wanted.norm(dim=-1))).sum()


def plain_relations(student: Model, teacher: Model, batch: Batch, rows: Tensor, temperature: float) -> Tensor:
    """Sequence by sequence, part by part."""
    total = torch.zeros(())
    starts = torch.cumsum(batch.lengths, 0) - batch.lengths
    for first, length in zip(starts.tolist(), batch.lengths.tolist(), strict=True):
        sides = []
        for model in (student, teacher):
            last = len(model.encoder.layers) - 1
            model.encoder.kept_layer = last
            kept = model(batch).kept
            assert kept is not None
            layer: Any = model.encoder.layers[last]
            queries, keys, values = layer.attention.qkv(kept[first : first + length]).chunk(3, -1)
            related = []
            for states in (queries, keys, values):
                for part in states.chunk(4, -1):
                    related.append(torch.log_softmax(part @ part.t() / part.shape[1] ** 0.5, -1))
            sides.append(torch.stack(related))
        given, wanted = sides
        total = total + (wanted.exp() * (wanted - given)).sum() / 4
    return total


PARTS: dict[str, Callable[..., Tensor]] = {"kl": plain_kl, "cosine": plain_cosine, "relations": plain_relations}


@pytest.mark.parametrize("positions", ["all", "masked"])
@pytest.mark.parametrize("part", PARTS)
def test_every_part_is_its_formula(part: str, positions: Any) -> None:
    student, teacher = models()
    batch = random_batch((5, 20, 9))
    config = DistillationConfig(**{**NOTHING, part: 3.0}, temperature=2.0, positions=positions, relation_heads=4)
    score = Distillation(config, student, teacher).score(student.eval(), student(batch), batch)
    rows = batch.targets["masked_lm"].rows if positions == "masked" else torch.arange(34)
    with torch.no_grad():
        wanted = 3 * PARTS[part](student, teacher, batch, rows, 2.0)
    if part == "relations" and positions == "masked":
        wanted = wanted * len(rows) / 34
    assert score.count == len(rows)
    assert score.loss.item() == pytest.approx(wanted.item(), rel=1e-6)


def test_the_parts_add_up_with_their_weights() -> None:
    student, teacher = models()
    batch, rows = random_batch((5, 20, 9)), torch.arange(34)
    score = Distillation(DistillationConfig(), student, teacher).score(student.eval(), student(batch), batch)
    with torch.no_grad():
        wanted = 5 * plain_kl(student, teacher, batch, rows, 2.0) + plain_cosine(student, teacher, batch, rows, 2.0)
        same = logits_of(student, student(batch).hidden_states).argmax(-1)
        agreed = same == logits_of(teacher, teacher(batch).hidden_states).argmax(-1)
    assert score.loss.item() == pytest.approx(wanted.item(), rel=1e-6)
    assert score.correct.item() == agreed.sum().item()


@pytest.mark.parametrize("temperature", [1.0, 2.0, 5.0])
def test_gradients_of_the_distance_are_those_of_the_formula(
    temperature: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vocabulary_loss, "BLOCK", 16)
    monkeypatch.setattr(vocabulary_loss, "CACHED", 6)
    generator = torch.Generator().manual_seed(0)

    def three(width: int, words: int) -> tuple[Tensor, Tensor, Tensor]:
        shapes = ((37, width), (words, width), (words,))
        features, weight, bias = (torch.randn(shape, generator=generator) for shape in shapes)
        return features, weight, bias

    own, teacher = [tensor.requires_grad_() for tensor in three(8, 50)], three(12, 53)
    found = vocabulary_kl(own[0], own[1], own[2], teacher, temperature)
    (0.5 * found.loss).backward()
    gradients = [gradient(tensor).clone() for tensor in own]
    for tensor in own:
        tensor.grad = None
    given = F.log_softmax((own[0] @ own[1].t() + own[2]) / temperature, -1)
    wanted = F.log_softmax((teacher[0] @ teacher[1].t() + teacher[2])[:, :50] / temperature, -1)
    plain = F.kl_div(given, wanted, reduction="sum", log_target=True) * temperature**2
    (0.5 * plain).backward()
    assert found.loss.item() == pytest.approx(plain.item(), rel=1e-6)
    for one, other in zip(gradients, own, strict=True):
        torch.testing.assert_close(one, gradient(other), atol=1e-5, rtol=1e-5)


def test_a_student_equal_to_its_teacher_has_nothing_to_learn() -> None:
    teacher = tiny_model().eval()
    config = DistillationConfig(relations=1.0, relation_heads=4)
    batch = random_batch((5, 20))
    distillation = Distillation(config, teacher, teacher)
    score = distillation.score(teacher, teacher(batch), batch)
    assert abs(score.loss.item()) < 1e-4 and score.correct.item() == score.count == 25


def test_two_halves_add_up_and_the_teacher_never_changes() -> None:
    student, teacher = models()
    distillation = Distillation(DistillationConfig(relations=1.0, relation_heads=4), student, teacher)
    whole, first, second = random_batch((5, 20)), random_batch((5,)), random_batch((20,))
    ids = whole.token_ids
    first, second = replace(first, token_ids=ids[:5]), replace(second, token_ids=ids[5:])
    scores = [distillation.score(student.eval(), student(batch), batch) for batch in (whole, first, second)]
    assert scores[0].loss.item() == pytest.approx(scores[1].loss.item() + scores[2].loss.item(), rel=1e-5)
    scores[0].loss.backward()
    assert gradient(student.encoder.embeddings.words.weight).any()
    assert all(parameter.grad is None for parameter in teacher.parameters()) and not teacher.training


def test_widths_may_differ_for_distance_and_relations() -> None:
    student, teacher = models(WIDE)
    batch = random_batch((5, 20))
    config = DistillationConfig(cosine=0.0, relations=2.0, relation_heads=4)
    score = Distillation(config, student, teacher).score(student.eval(), student(batch), batch)
    with torch.no_grad():
        rows = torch.arange(25)
        wanted = 5 * plain_kl(student, teacher, batch, rows, 2.0)
        wanted += 2 * plain_relations(student, teacher, batch, rows, 2.0)
    assert score.loss.item() == pytest.approx(wanted.item(), rel=1e-6)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"cosine": 1.0}, "cosine: states of width 32 and 48"),
        (
            {"cosine": 0.0, "relations": 1.0, "relation_heads": 5},
            "relation_heads: 5 do not divide 32, the width of the",
        ),
        ({"cosine": 0.0, "relations": 1.0, "relation_heads": 4, "relation_layer": 3}, "relation_layer: 3, but the"),
        ({"kl": 0.0, "cosine": 0.0}, "kl, cosine and relations are all 0"),
    ],
)
def test_what_cannot_be_compared_is_one_line(values: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words) as error:
        Distillation(DistillationConfig(**values), *models(WIDE))
    assert "\n" not in str(error.value)


def test_a_teacher_without_a_head_for_words_teaches_states_alone() -> None:
    student, teacher = tiny_model(("masked_lm",), STUDENT), tiny_model(())
    with pytest.raises(UsageError, match="the teacher has no head for masked tokens"):
        Distillation(DistillationConfig(), student, teacher)
    batch = random_batch((5, 20))
    score = Distillation(DistillationConfig(kl=0.0), student, teacher).score(student, student(batch), batch)
    assert score.loss.item() > 0 and score.correct.item() == 0


def test_weights_reach_the_objectives_of_a_run() -> None:
    student, teacher = models()
    config = ObjectivesConfig(use=("masked_lm", "distillation"), distillation=DistillationConfig(mlm=0.5))
    masked_lm, distillation = objectives_for(config, student, lambda: teacher)
    assert (masked_lm.name, masked_lm.weight, distillation.weight) == ("masked_lm", 0.5, 1.0)
    assert needed_heads(config) == ("masked_lm",)
    with pytest.raises(UsageError, match="name one with --teacher"):
        objectives_for(config, student, None)
    alone = ObjectivesConfig(use=("distillation",), distillation=DistillationConfig(positions="masked"))
    with pytest.raises(UsageError, match="wants masked_lm in objectives.use"):
        alone.check()
