"""The optimisers against their written formulas, and what is kept in which number format."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from bertsmith.models.config import EncoderConfig
from bertsmith.models.model import Model, build_model
from bertsmith.training.config import TrainingConfig
from bertsmith.training.optimizers import Optimizer, layer_rates, split_parameters

PAIR = "heads.pair.weight"
WORDS = "encoder.embeddings.words.weight"
OPTIMIZERS = ("bert_adam", "adamw", "lamb")


def small_model() -> Model:
    config = EncoderConfig(vocab_size=50, hidden_size=8, layers=1, heads=2, max_positions=16)
    return build_model(config, ("masked_lm", "pair"), 0)


def gradients_of(model: nn.Module, step: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(step)
    return {name: torch.randn(p.shape, generator=generator) for name, p in model.named_parameters()}


def give(model: nn.Module, gradients: dict[str, Tensor]) -> None:
    """Have autograd deliver exactly these gradients."""
    parameters = {name: model.get_parameter(name) for name in gradients}
    torch.stack([(p * gradients[name].to(p.dtype)).sum() for name, p in parameters.items()]).sum().backward()


def expected_weights(model: Model, config: TrainingConfig, steps: int) -> dict[str, Tensor]:
    """Adam with decoupled decay, or LAMB, written out in float64."""
    decayed = {name for name, _ in split_parameters(model, config)[0]}
    weights = {name: p.detach().double() for name, p in model.named_parameters()}
    m = {name: torch.zeros_like(w) for name, w in weights.items()}
    v = {name: torch.zeros_like(w) for name, w in weights.items()}
    for step in range(steps):
        gradients = {name: g.double() for name, g in gradients_of(model, step).items()}
        norm = torch.sqrt(torch.stack([(g**2).sum() for g in gradients.values()]).sum())
        for name, gradient in gradients.items():
            gradient = gradient * min(1.0, config.clip / norm)
            m[name] = config.beta1 * m[name] + (1 - config.beta1) * gradient
            v[name] = config.beta2 * v[name] + (1 - config.beta2) * gradient**2
            first, second = m[name], v[name]
            if config.optimizer == "adamw":
                first = first / (1 - config.beta1 ** (step + 1))
                second = second / (1 - config.beta2 ** (step + 1))
            decay = config.weight_decay if name in decayed else 0.0
            update = first / (second.sqrt() + config.epsilon) + decay * weights[name]
            if config.optimizer == "lamb" and name in decayed:
                update = trusted(weights[name], update, 3 if "qkv" in name else 1)
            weights[name] = weights[name] - config.learning_rate * update
    return weights


def trusted(weight: Tensor, update: Tensor, tensors: int) -> Tensor:
    """The update times LAMB's ratio of norms, for each of the tensors that lie in one."""
    parts = []
    for w, u in zip(weight.chunk(tensors), update.chunk(tensors), strict=True):
        ratio = float(w.norm() / u.norm()) if w.norm() > 0 and u.norm() > 0 else 1.0
        parts.append(ratio * u)
    return torch.cat(parts)


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("exclusions", [("bias", "layer_norm"), ()])
def test_updates_are_the_written_formula(name: Any, exclusions: Any) -> None:
    config = TrainingConfig(
        steps=5, optimizer=name, learning_rate=1e-2, weight_decay=0.1, clip=1.0, decay_exclusions=exclusions
    )
    model = small_model()
    expected = expected_weights(model, config, 5)
    optimizer = Optimizer(model, config, torch.float32)
    for step in range(5):
        give(model, gradients_of(model, step))
        optimizer.update(config.learning_rate, step)
    for key, parameter in model.named_parameters():
        torch.testing.assert_close(parameter.detach().double(), expected[key], atol=3e-6, rtol=1e-5)


def test_lamb_moves_what_is_zero_or_not_decayed_by_the_rate_alone() -> None:
    """A zero tensor has the ratio 1, or it would stay zero for ever; a tensor without a gradient has no direction."""
    config = TrainingConfig(steps=1, optimizer="lamb", weight_decay=0.0, clip=0.0, beta1=0.0, beta2=0.0)
    model = small_model()
    with torch.no_grad():
        model.get_parameter(PAIR).zero_()
    optimizer = Optimizer(model, config, torch.float32)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    gradients = {name: torch.ones_like(p) for name, p in model.named_parameters()}
    gradients["encoder.pooler.weight"].zero_()
    give(model, gradients)
    optimizer.update(1e-2, 0)
    after = dict(model.named_parameters())
    for name in (PAIR, "encoder.pooler.bias", "encoder.embeddings.norm.weight"):
        torch.testing.assert_close(before[name] - after[name], torch.full_like(after[name], 1e-2), atol=1e-6, rtol=1e-4)
    assert torch.equal(before["encoder.pooler.weight"], after["encoder.pooler.weight"])
    words = "encoder.embeddings.words.weight"
    step, norm = (before[words] - after[words].detach()).norm(), before[words].norm()
    assert float(step / norm) == pytest.approx(1e-2, rel=1e-3), "a share of the tensor's own norm"


def test_bert_adam_and_adamw_differ_at_the_first_step() -> None:
    """Without correction the first step is (1 - b1) / sqrt(1 - b2) = 3.16 times as long."""
    moved = {}
    for name in ("bert_adam", "adamw"):
        config = TrainingConfig(steps=1, optimizer=name, weight_decay=0.0, clip=0.0)
        model = small_model()
        optimizer = Optimizer(model, config, torch.float32)
        before = optimizer.masters.clone()
        give(model, {key: torch.ones_like(p) for key, p in model.named_parameters()})
        optimizer.update(1e-2, 0)
        moved[name] = float((before - optimizer.masters).max())
    assert moved["bert_adam"] / moved["adamw"] == pytest.approx(0.1 / 0.001**0.5, rel=1e-3)


def test_layer_norms_and_biases_are_not_decayed_and_embeddings_are() -> None:
    model = small_model()
    decayed, excluded = split_parameters(model, TrainingConfig(steps=1))
    assert {name for name, p in excluded} == {name for name, p in model.named_parameters() if p.dim() == 1}
    assert sum("embeddings" in name for name, _ in decayed) == 3
    assert split_parameters(model, TrainingConfig(steps=1, decay_exclusions=()))[1] == []
    only_bias = split_parameters(model, TrainingConfig(steps=1, decay_exclusions=("bias",)))[1]
    assert 0 < len(only_bias) < len(excluded)


def test_the_norm_returned_is_the_one_before_clipping() -> None:
    model = small_model()
    optimizer = Optimizer(model, TrainingConfig(steps=1, clip=0.5), torch.float32)
    gradients = gradients_of(model, 0)
    give(model, gradients)
    expected = torch.cat([g.flatten() for g in gradients.values()]).norm()
    assert optimizer.update(0.0, 0) == pytest.approx(float(expected), rel=1e-5)


def test_a_gradient_that_is_not_finite_changes_nothing() -> None:
    model = small_model()
    optimizer = Optimizer(model, TrainingConfig(steps=1), torch.float32)
    before = optimizer.masters.clone()
    gradients = gradients_of(model, 0)
    gradients["encoder.pooler.bias"][0] = float("nan")
    give(model, gradients)
    assert optimizer.update(1.0, 0) != optimizer.update(1.0, 0)
    assert torch.equal(optimizer.masters, before)


def test_bf16_keeps_what_is_too_small_for_bf16_in_the_masters() -> None:
    model = small_model()
    optimizer = Optimizer(model, TrainingConfig(steps=99, optimizer="adamw", weight_decay=0.0), torch.bfloat16)
    weight = model.get_parameter(PAIR)
    start, shown = optimizer.views(optimizer.masters)[PAIR].clone(), weight.detach().clone()
    assert weight.dtype == torch.bfloat16
    for step in range(3):
        give(model, {name: torch.ones_like(p) for name, p in model.named_parameters()})
        optimizer.update(1e-8, step)
    masters = optimizer.views(optimizer.masters)[PAIR]
    torch.testing.assert_close(start - masters, torch.full_like(masters, 3e-8), atol=1e-8, rtol=0)
    assert torch.equal(weight, shown)
    assert torch.equal(weight, masters.bfloat16())


def test_micro_batches_are_added_up_in_fp32() -> None:
    """1 + 1/512 needs more digits than bf16 has."""
    model = small_model()
    optimizer = Optimizer(model, TrainingConfig(steps=1), torch.bfloat16)
    for size in (1.0, 1 / 512):
        give(model, {name: torch.full_like(p, size) for name, p in model.named_parameters()})
    for gradient in optimizer.views(optimizer.gradients).values():
        assert torch.equal(gradient, torch.full_like(gradient, 1 + 1 / 512))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_gradients_of_a_step_are_its_own(dtype: torch.dtype) -> None:
    model = small_model()
    optimizer = Optimizer(model, TrainingConfig(steps=3), dtype)
    give(model, {name: torch.ones_like(p) for name, p in model.named_parameters()})
    optimizer.update(1e-3, 0)
    give(model, {PAIR: torch.full_like(model.get_parameter(PAIR), 2.0)})
    for name, gradient in optimizer.views(optimizer.gradients).items():
        assert torch.equal(gradient, torch.full_like(gradient, 2.0 if name == PAIR else 0.0)), name
    optimizer.forget_gradients()
    assert not optimizer.gradients.any()


def test_masters_in_model_is_fp32_inside_and_bf16_after() -> None:
    model = small_model()
    optimizer = Optimizer(model, TrainingConfig(steps=1), torch.bfloat16)
    parameter = model.get_parameter(PAIR)
    with optimizer.masters_in_model():
        assert parameter.dtype == torch.float32
        assert torch.equal(parameter, small_model().get_parameter(PAIR))
    assert parameter.dtype == torch.bfloat16


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_restore_gives_back_every_bit(name: Any) -> None:
    config = TrainingConfig(steps=9, optimizer=name)
    first, second = small_model(), small_model()
    trained = Optimizer(first, config, torch.bfloat16)
    for step in range(2):
        give(first, gradients_of(first, step))
        trained.update(1e-2, step)
    resumed = Optimizer(second, config, torch.bfloat16)
    resumed.restore(trained.views(trained.masters), trained.state())
    for optimizer, model in ((trained, first), (resumed, second)):
        give(model, gradients_of(model, 2))
        optimizer.update(1e-2, 2)
    for kept in ("masters", "exp_avg", "exp_avg_sq"):
        assert torch.equal(getattr(trained, kept), getattr(resumed, kept))
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_layer_s_rate_scales_its_update_alone(name: Any) -> None:
    config = TrainingConfig(steps=3, optimizer=name, learning_rate=1e-2, clip=0.0)
    moved = {}
    for decay in (1.0, 0.5):
        model = small_model()
        rates = layer_rates(model, decay)
        optimizer = Optimizer(model, config, torch.float32, rates)
        before = {key: p.detach().clone() for key, p in model.named_parameters()}
        give(model, gradients_of(model, 0))
        optimizer.update(config.learning_rate, 0)
        moved[decay] = {key: p.detach() - before[key] for key, p in model.named_parameters()}
    for key, times in rates.items():
        torch.testing.assert_close(moved[0.5][key], times * moved[1.0][key], atol=1e-7, rtol=1e-4)


def test_rates_fall_from_the_head_to_the_embeddings() -> None:
    config = EncoderConfig(vocab_size=50, hidden_size=8, layers=3, heads=2, max_positions=16)
    rates = layer_rates(build_model(config, ("pair",), 0), 0.5)
    assert rates[PAIR] == rates["encoder.pooler.bias"] == 1.0
    assert rates["encoder.layers.2.attention.qkv.weight"] == 0.5
    assert rates["encoder.layers.0.attention.qkv.weight"] == 0.125
    assert rates["encoder.embeddings.words.weight"] == rates["encoder.embeddings.norm.bias"] == 0.0625


def test_a_shared_layer_has_the_rate_of_its_last_use() -> None:
    config = EncoderConfig(family="albert", vocab_size=50, hidden_size=8, layers=4, heads=2, sharing="all", groups=2)
    rates = layer_rates(build_model(config, (), 0), 0.5)
    layers = {name.split(".")[2]: rate for name, rate in rates.items() if name.startswith("encoder.layers.")}
    assert layers == {"0": 0.125, "2": 0.5}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_restore_with_rates_of_layers_gives_back_every_bit(name: Any) -> None:
    config = TrainingConfig(steps=9, optimizer=name)
    first, second = small_model(), small_model()
    rates = layer_rates(first, 0.7)
    trained, resumed = (Optimizer(model, config, torch.bfloat16, rates) for model in (first, second))
    for step in range(2):
        give(first, gradients_of(first, step))
        trained.update(1e-2, step)
    resumed.restore(trained.views(trained.masters), trained.state())
    for optimizer, model in ((trained, first), (resumed, second)):
        give(model, gradients_of(model, 2))
        optimizer.update(1e-2, 2)
    assert torch.equal(trained.masters, resumed.masters)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", ["adamw", "bert_adam"])
def test_chosen_rows_move_as_in_a_whole_embedding_and_the_others_stay(name: Any, dtype: torch.dtype) -> None:
    rows = torch.tensor([2, 3, 7, 11, 48])
    config = TrainingConfig(steps=3, optimizer=name, learning_rate=1e-2)
    start = small_model().get_parameter(WORDS).detach()
    weights = {}
    for chosen in (None, {WORDS: rows}):
        model = small_model()
        del model.heads["masked_lm"]  # which would read every row
        optimizer = Optimizer(model, config, dtype, rows=chosen)
        for step in range(3):
            tokens = rows[torch.tensor([0, 1, step, 4, 4])]
            (model.encoder.embeddings.words(tokens).float() ** 2).sum().backward()
            (model.get_parameter(PAIR).float() ** 2).sum().backward()
            optimizer.update(1e-2, step)
        with optimizer.masters_in_model():
            weights[chosen is None] = {key: p.detach().clone() for key, p in model.named_parameters()}
        assert torch.equal(model.get_parameter(WORDS), weights[chosen is None][WORDS].to(dtype))
    words, whole = weights[False].pop(WORDS), weights[True].pop(WORDS)
    torch.testing.assert_close(words[rows], whole[rows], atol=1e-6, rtol=1e-5 if dtype == torch.float32 else 2e-2)
    others = torch.ones(len(words), dtype=torch.bool)
    others[rows] = False
    assert torch.equal(words[others], start[others])


def test_chosen_rows_are_restored() -> None:
    rows = {WORDS: torch.tensor([1, 4, 5])}
    config = TrainingConfig(steps=9, optimizer="adamw")
    first, second = small_model(), small_model()
    for model in (first, second):
        del model.heads["masked_lm"]
    trained, resumed = (Optimizer(model, config, torch.bfloat16, rows=rows) for model in (first, second))

    def train(model: Model, optimizer: Optimizer) -> None:
        (model.encoder.embeddings.words(torch.tensor([4, 5, 5])).float() ** 3).sum().backward()
        optimizer.update(1e-2, 1)

    train(first, trained)
    assert trained.state()[f"exp_avg.{WORDS}"].shape == (3, 8)
    with trained.masters_in_model():
        weights = {name: p.detach().clone() for name, p in first.named_parameters()}
    resumed.restore(weights, trained.state())
    for model, optimizer in ((first, trained), (second, resumed)):
        train(model, optimizer)
    assert torch.equal(trained.masters, resumed.masters)
    assert torch.equal(first.get_parameter(WORDS), second.get_parameter(WORDS))
