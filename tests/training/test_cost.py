"""What plan says of memory and operations, against counting by hand and against real tensors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch

from bertsmith.data.config import CutConfig, MaskingConfig
from bertsmith.models.config import EncoderConfig
from bertsmith.models.encoder import Encoder
from bertsmith.training.cost import _shapes, memory_of, operations_of, parameters_of, predictions
from bertsmith.training.environment import Settings
from bertsmith.training.plan import PretrainingPlan
from bertsmith.training.trial import _narrowed, made_up_batch, time_step
from tests.tiny_models import tiny_model
from tests.tiny_runs import distilling, tiny_plan

HEADS = ("masked_lm", "pair")


def with_distillation(plan: PretrainingPlan, **changes: Any) -> PretrainingPlan:
    distillation = replace(plan.objectives.distillation, **changes)
    return replace(plan, objectives=replace(plan.objectives, distillation=distillation))


def plan_with(model: EncoderConfig, **training: object) -> PretrainingPlan:
    return replace(tiny_plan(**training), model=model)


def test_formulas_are_the_numbers() -> None:
    albert = EncoderConfig(family="albert", vocab_size=30000, embedding_size=128, sharing="all")
    found = parameters_of(albert, HEADS)
    assert found["encoder"] == 11_683_584
    assert found["saved_by_factorisation"] == 30000 * 768 - (30000 * 128 + 128 * 768)
    assert found["saved_by_sharing"] == 11 * (12 * 768**2 + 13 * 768)
    formulas = found["formulas"]
    assert isinstance(formulas, dict)
    assert "3,938,304 against V x H = 23,040,000" in formulas["word_embeddings"]
    assert formulas["attention"].endswith("1 x 2,362,368 = 2,362,368, shared by 12 layers")
    bert = parameters_of(EncoderConfig(), HEADS)
    assert (bert["saved_by_factorisation"], bert["saved_by_sharing"]) == (0, 0)


def test_operations_are_those_of_the_products() -> None:
    model = EncoderConfig(vocab_size=1000, hidden_size=64, layers=3, heads=2)
    plan = replace(
        plan_with(model), cut=CutConfig(length=100), masking=MaskingConfig(budget="rounded", max_predictions=20)
    )
    found = operations_of(plan)
    assert found["attention"] == 3 * 3 * (2 * 4 * 64 * 64 + 2 * 2 * 100 * 64)
    assert found["feed_forward"] == 3 * 3 * 2 * 2 * 64 * 256
    assert found["vocabulary"] == pytest.approx(3 * 2 * (64 * 64 + 64 * 1000) * 15 / 100)
    shared = replace(plan, model=replace(model, family="albert", sharing="all"))
    assert operations_of(shared) == found  # sharing saves parameters, not operations


def test_a_teacher_costs_its_pass_and_every_word_that_is_compared() -> None:
    plan = replace(distilling(), cut=CutConfig(name="full_sentences", length=100))
    plan = replace(plan, model=replace(plan.model, vocab_size=1000))
    teacher = replace(plan.model, hidden_size=64, embedding_size=64, intermediate_size=256, layers=4)
    alone, taught = operations_of(plan), operations_of(plan, teacher)
    assert alone["teacher"] == 0
    assert taught["teacher"] == 4 * (2 * 4 * 64 * 64 + 2 * 2 * 100 * 64 + 2 * 2 * 64 * 256)
    own, asked = 2 * 32 * (32 + 1000), 2 * 64 * (64 + 1000)
    assert taught["vocabulary"] == pytest.approx(alone["vocabulary"] + 3 * own + asked)
    assert taught["total"] == sum(value for part, value in taught.items() if part != "total")
    masked = with_distillation(plan, positions="masked")
    share = predictions(plan.masking, plan.cut) / 100
    assert operations_of(masked, teacher)["vocabulary"] == pytest.approx(
        alone["vocabulary"] + share * (3 * own + asked)
    )
    states = with_distillation(plan, kl=0.0)
    assert operations_of(states, teacher)["vocabulary"] == alone["vocabulary"]
    assert operations_of(states, teacher)["teacher"] == taught["teacher"]
    layers_alone = with_distillation(plan, kl=0.0, cosine=0.0)
    assert operations_of(layers_alone, teacher) == alone  # nothing is asked of it


def test_a_teacher_lies_in_memory_beside_its_student() -> None:
    plan = replace(distilling(), model=replace(distilling().model, vocab_size=5000))
    teacher = replace(plan.model, layers=4).resolved()
    alone, taught = memory_of(plan, "fp32"), memory_of(plan, "fp32", teacher=teacher)
    weights = sum(weight.numel() for weight in tiny_model(("masked_lm",), teacher).parameters())
    assert taught["weights"] == alone["weights"] + 4 * weights
    assert taught["working"] > alone["working"]  # scores of all tokens, not of the masked ones
    assert taught["gradients"] == alone["gradients"]


def test_predictions_follow_the_budget() -> None:
    cut = CutConfig(length=128)
    assert predictions(MaskingConfig(max_predictions=20), cut) == 19
    assert predictions(MaskingConfig(max_predictions=10), cut) == 10
    assert predictions(MaskingConfig(budget="stochastic", rate=0.2), cut) == pytest.approx(25)


@pytest.mark.parametrize("lengths", [[16] * 6, [16] * 5 + [9]])
def test_activations_are_what_a_real_pass_keeps(lengths: list[int]) -> None:
    plan = replace(tiny_plan(batch_size=6), cut=CutConfig(length=16))
    plan = replace(plan, model=replace(plan.model, dropout=0.1, attention_dropout=0.1))
    encoder = Encoder(plan.model.resolved(), pooler="pair" in plan.heads).train()
    owned = {parameter.data_ptr() for parameter in encoder.parameters()}
    kept: dict[int, torch.Tensor] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        kept.setdefault(tensor.untyped_storage().data_ptr(), tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        encoder(made_up_batch(plan, lengths, 0))
    real = sum(t.untyped_storage().nbytes() for place, t in kept.items() if place not in owned)
    fill = sum(lengths) / (6 * 16)
    assert memory_of(plan, "fp32", fill)["activations"] == pytest.approx(real, rel=0.03)


def test_buffers_are_those_of_the_optimiser() -> None:
    plan = tiny_plan()
    half, whole = memory_of(plan, "bf16"), memory_of(plan, "fp32")
    parameters = parameters_of(plan.model, plan.heads)["total"]
    assert isinstance(parameters, int)
    assert (half["weights"], whole["weights"]) == (10 * parameters, 8 * parameters)
    assert (half["gradients"], half["moments"]) == (4 * parameters, 8 * parameters)
    assert half["total"] == sum(value for part, value in half.items() if part != "total")
    assert memory_of(replace(plan, training=replace(plan.training, micro_batch=2)), "fp32")["activations"] < (
        whole["activations"] / 3
    )


def test_made_up_batches_have_the_lengths_and_targets_of_the_plan() -> None:
    plan = tiny_plan()
    batch = made_up_batch(plan, [20, 12], 3)
    assert batch.lengths.tolist() == [20, 12]
    assert set(batch.targets) == set(plan.objectives.use)
    assert _shapes(plan.cut, 2 * plan.cut.length + 5).lengths.tolist() == [plan.cut.length] * 2 + [5]


def test_a_step_is_timed_as_it_is_or_from_smaller_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    from bertsmith.training import trial

    seconds = {1: trial._Timings(0.5, 0.1, 1000), 2: trial._Timings(0.7, 0.2, 2000)}
    plan = replace(tiny_plan(), model=replace(tiny_plan().model, layers=12))
    monkeypatch.setattr(trial, "_timings", lambda small, settings, lengths: seconds[small.plan.model.layers])
    monkeypatch.setattr(trial, "LARGEST_STEP", 0.0)
    monkeypatch.setattr(trial, "LEAST_TOKENS", 32)
    monkeypatch.setattr(trial, "plan_parameters", lambda plan: 8000)
    found = time_step(plan, Settings(0, "fp32", False, "default", 1, 1), [32] * 4)
    assert found.seconds == pytest.approx(4 * (0.3 + 12 * 0.2) + 0.2 * 4)
    assert not found.exact


def test_a_large_student_is_timed_with_as_many_layers_of_its_teacher(monkeypatch: pytest.MonkeyPatch) -> None:
    from bertsmith.training import trial

    asked = []

    def timings(small: Any, settings: Settings, lengths: Sequence[int]) -> trial._Timings:
        asked.append((small.plan.model.layers, small.teacher.layers))
        return trial._Timings({1: 0.5, 2: 0.7}[small.plan.model.layers], 0.0, 1000)

    plan = with_distillation(distilling(), relation_layer=9, hidden_layers=(3, 9))
    plan = replace(plan, model=replace(plan.model, layers=6))
    teacher = replace(plan.model, layers=12).resolved()
    monkeypatch.setattr(trial, "_timings", timings)
    monkeypatch.setattr(trial, "LARGEST_STEP", 0.0)
    monkeypatch.setattr(trial, "plan_parameters", lambda plan: 1000)
    monkeypatch.setattr(trial, "LEAST_TOKENS", 128)
    found = time_step(plan, Settings(0, "fp32", False, "default", 1, 1), [32] * 4, teacher)
    assert asked == [(1, 1), (2, 2)]
    # 0.2 s a pair of layers, of which the student's costs three passes and the teacher's one: 6 * 3 + 12 for 3 + 1
    assert found.seconds == pytest.approx(0.3 + 0.2 * (6 * 3 + 12) / 4)


def test_a_taught_step_is_timed_with_its_teacher() -> None:
    settings = Settings(0, "fp32", False, "default", 1, 1)
    plan = with_distillation(distilling(), relations=1.0, relation_heads=2, relation_layer=8)
    plan = replace(plan, model=replace(plan.model, vocab_size=4000))
    alone, taught = (time_step(plan, settings, [64] * 8, teacher) for teacher in (None, replace(plan.model, layers=8)))
    assert alone.exact and taught.exact
    assert taught.seconds > alone.seconds


def test_a_small_step_is_timed_as_it_is() -> None:
    found = time_step(tiny_plan(), Settings(0, "fp32", False, "default", 1, 1), [16] * 8)
    assert found.exact
    assert 0 < found.seconds < 60


def test_only_wide_layers_are_narrowed() -> None:
    assert _narrowed(EncoderConfig().resolved()) == EncoderConfig().resolved()
    wide = EncoderConfig(family="albert", hidden_size=4096, heads=64, embedding_size=128, sharing="all").resolved()
    narrow = _narrowed(wide)
    assert (narrow.hidden_size, narrow.heads, narrow.intermediate_size, narrow.embedding_size) == (2048, 32, 8192, 128)
