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
from bertsmith.models.layout import layout_of
from bertsmith.models.model import Model
from bertsmith.objectives import vocabulary_loss
from bertsmith.objectives.config import DistillationConfig, ObjectivesConfig
from bertsmith.objectives.distillation import Distillation
from bertsmith.objectives.hidden_states import matched_layers, new_projections
from bertsmith.objectives.table import needed_heads, objectives_for
from bertsmith.objectives.vocabulary_kl import vocabulary_kl
from tests.tiny_models import DISTILBERT, TINY, gradient, random_batch, tiny_model

STUDENT = replace(DISTILBERT, layers=1, dropout=0.0, attention_dropout=0.0)
WIDE = replace(TINY, hidden_size=48, heads=4, intermediate_size=64)
DEEP = replace(TINY, layers=4, hidden_size=48, intermediate_size=64)
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
            model.encoder.kept_layers = (last,)
            kept = model(batch).kept[last]
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


@pytest.mark.parametrize(("temperature", "count"), [(1.0, 37), (2.0, 37), (5.0, 37), (2.0, 35), (2.0, 29)])
def test_gradients_of_the_distance_are_those_of_the_formula(
    temperature: float, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`count` of 37 rows are real, and the last slices of six and blocks of sixteen hold none of them."""
    monkeypatch.setattr(vocabulary_loss, "BLOCK", 16)
    monkeypatch.setattr(vocabulary_loss, "CACHED", 6)
    generator = torch.Generator().manual_seed(0)

    def three(width: int, words: int) -> tuple[Tensor, Tensor, Tensor]:
        shapes = ((37, width), (words, width), (words,))
        features, weight, bias = (torch.randn(shape, generator=generator) for shape in shapes)
        return features, weight, bias

    own, teacher = [tensor.requires_grad_() for tensor in three(8, 50)], three(12, 53)
    found = vocabulary_kl(own[0], own[1], own[2], teacher, temperature, count)
    (0.5 * found.loss).backward()
    gradients = [gradient(tensor).clone() for tensor in own]
    for tensor in own:
        tensor.grad = None
    given = F.log_softmax((own[0] @ own[1].t() + own[2])[:count] / temperature, -1)
    wanted = F.log_softmax((teacher[0] @ teacher[1].t() + teacher[2])[:count, :50] / temperature, -1)
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
        ({"kl": 0.0, "cosine": 0.0, "initial": "random"}, "kl, cosine, relations, hidden and attention are all 0"),
        ({"kl": 0.0, "cosine": 0.0, "mlm": 0.0}, "kl, cosine, relations, hidden and attention are all 0"),
        ({"cosine": 0.0, "hidden": 1.0, "hidden_layers": (1, 2)}, "hidden_layers: names 2 layers, the student has 1"),
        ({"cosine": 0.0, "hidden": 1.0, "hidden_layers": (0,)}, "hidden_layers: 0, but the teacher's 2 layers are"),
        ({"cosine": 0.0, "attention": 1.0, "hidden_layers": (3,)}, "hidden_layers: 3, but the teacher's 2 layers are"),
        ({"cosine": 0.0, "hidden": 1.0, "cache_top_k": 8}, "cache_top_k: hidden asks the teacher at every step"),
        ({"cosine": 0.0, "cache_top_k": 98}, "cache_top_k: 98, but the vocabulary has 97 words"),
    ],
)
def test_what_cannot_be_compared_is_one_line(values: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words) as error:
        Distillation(DistillationConfig(**values), *models(WIDE))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("part", ["hidden", "attention"])
def test_a_student_deeper_than_its_teacher_names_its_layers(part: str) -> None:
    deep, shallow = tiny_model(config=DEEP), tiny_model(config=replace(DEEP, layers=2))
    config = DistillationConfig(**{**NOTHING, part: 1.0})
    with pytest.raises(UsageError, match="model.layers: the student has 4 and its teacher 2"):
        Distillation(config, deep, shallow)
    Distillation(replace(config, hidden_layers=(1, 1, 2, 2)), deep, shallow)


def test_attention_wants_as_many_heads_in_both() -> None:
    config = DistillationConfig(**{**NOTHING, "attention": 1.0})
    with pytest.raises(UsageError, match="attention: the student has 4 heads and its teacher 2: "):
        Distillation(config, *models(replace(TINY, heads=2)))


@pytest.mark.parametrize(
    ("own", "other", "layers"),
    [(4, 12, [3, 6, 9, 12]), (6, 12, [2, 4, 6, 8, 10, 12]), (3, 3, [1, 2, 3]), (4, 6, [2, 3, 5, 6]), (1, 8, [8])],
)
def test_layers_are_matched_evenly(own: int, other: int, layers: list[int]) -> None:
    assert matched_layers(DistillationConfig(), own, other) == layers


@pytest.mark.parametrize("positions", ["all", "masked"])
@pytest.mark.parametrize("named", [(), (3, 1)])
def test_hidden_states_of_a_narrower_student_are_their_formula(named: tuple[int, ...], positions: Any) -> None:
    student, teacher = tiny_model(("masked_lm",), replace(STUDENT, layers=2), seed=1), tiny_model(config=DEEP, seed=2)
    batch = random_batch((5, 20, 9))
    parts = {**NOTHING, "hidden": 3.0, "hidden_layers": named, "positions": positions}
    distillation = Distillation(DistillationConfig(**parts), student, teacher, seed=5)
    score = distillation.score(student.eval(), student(batch), batch)
    rows = batch.targets["masked_lm"].rows if positions == "masked" else torch.arange(34)
    wanted = torch.zeros(())
    maps = distillation.projections
    assert maps is not None
    with torch.no_grad():
        for own, other in [(0, 0), *zip((1, 2), named or (2, 4), strict=True)]:
            matrix = (maps.layers if own else maps.embeddings).weight
            difference = states_of(student, batch)[own][rows] @ matrix.t() - states_of(teacher, batch)[other][rows]
            wanted += 3 * (difference**2).sum() / 48
    assert score.loss.item() == pytest.approx(wanted.item(), rel=1e-6)
    score.loss.backward()
    for weight in (*maps.parameters(), student.encoder.layers[0].attention.qkv.weight):  # type: ignore[union-attr]
        assert isinstance(weight, Tensor) and gradient(weight).any()
    assert all(parameter.grad is None for parameter in teacher.parameters())


def states_of(model: Model, batch: Batch) -> list[Tensor]:
    """Of the embeddings and of every layer, by running one after another."""
    layout = layout_of(batch.lengths, batch.token_ids.device)
    states = [layout.fill_up(model.encoder.embeddings(batch.token_ids, batch.type_ids, batch.positions))]
    for layer in model.encoder.layers:
        states.append(layer(states[-1], layout, model.encoder.attention))
    return [each[: layout.tokens] for each in states]


def test_attention_scores_are_their_formula() -> None:
    student, teacher = tiny_model(("masked_lm",), replace(STUDENT, layers=2), seed=1), tiny_model(config=DEEP, seed=2)
    batch = random_batch((5, 20, 9))
    config = DistillationConfig(**{**NOTHING, "attention": 2.0})
    score = Distillation(config, student, teacher).score(student.eval(), student(batch), batch)
    starts = torch.cumsum(batch.lengths, 0) - batch.lengths
    wanted = torch.zeros(())
    with torch.no_grad():
        for own, other in ((0, 1), (1, 3)):
            for first, length in zip(starts.tolist(), batch.lengths.tolist(), strict=True):
                sides = []
                for model, number in ((student, own), (teacher, other)):
                    layer: Any = model.encoder.layers[number]
                    states = states_of(model, batch)[number][first : first + length]
                    queries, keys, _ = layer.attention.qkv(states).chunk(3, -1)
                    size = queries.shape[1] // 4
                    pairs = zip(queries.split(size, -1), keys.split(size, -1), strict=True)
                    sides.append(torch.stack([query @ key.t() / size**0.5 for query, key in pairs]))
                wanted += 2 * (sides[0] - sides[1]).square().mean() * length
    assert score.loss.item() == pytest.approx(wanted.item(), rel=1e-6)
    score.loss.backward()
    assert gradient(student.encoder.layers[1].attention.qkv.weight).any()  # type: ignore[union-attr, arg-type]


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


def test_projections_are_a_function_of_the_seed_and_disturb_no_other_random_numbers() -> None:
    before = torch.random.get_rng_state()
    one, same, other = new_projections(32, 48, 1), new_projections(32, 48, 1), new_projections(32, 48, 2)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert torch.equal(one.layers.weight, same.layers.weight)
    assert not torch.equal(one.layers.weight, other.layers.weight)
    assert not torch.equal(one.layers.weight, one.embeddings.weight)
    state = torch.randn(200, 32, generator=torch.Generator().manual_seed(0))
    assert one.layers(state).std().item() == pytest.approx(0.88, abs=0.1)
