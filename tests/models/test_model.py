"""Initial weights, number formats, activation checkpointing, both attention functions."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch._dynamo.utils import counters

from bertsmith.models.config import EncoderConfig
from bertsmith.models.layers import batched_attention, fused_attention
from bertsmith.models.model import Model, build_model
from bertsmith.objectives.table import OBJECTIVES
from bertsmith.training.device import compile_layers
from tests.tiny_models import BOTH_HEADS, FAMILIES, TINY, gradient, random_batch, tiny_model


def loss_of(model: Model, lengths: tuple[int, ...] = (5, 20, 9)) -> torch.Tensor:
    batch = random_batch(lengths)
    encoded = model(batch)
    return torch.stack([OBJECTIVES[name].score(model, encoded, batch).loss for name in BOTH_HEADS]).sum()


def test_initial_weights_are_a_normal_cut_at_two_sigma() -> None:
    model = build_model(EncoderConfig(vocab_size=5000, hidden_size=64, layers=2, heads=2), BOTH_HEADS, seed=3)
    cut_normal_std = math.sqrt(1 - 4 * math.exp(-2) / math.sqrt(2 * math.pi) / math.erf(math.sqrt(2)))
    for name, parameter in model.named_parameters():
        if parameter.dim() >= 2:
            assert parameter.abs().max() <= 0.04, name
            if parameter.numel() > 10_000:
                assert parameter.abs().max() > 0.0395, name
                assert parameter.std().item() == pytest.approx(0.02 * cut_normal_std, rel=0.03), name
        else:
            wanted = 1.0 if name.endswith("norm.weight") else 0.0
            assert (parameter == wanted).all(), name


def test_initial_weights_depend_on_the_seed_alone() -> None:
    torch.manual_seed(1)
    first = build_model(TINY, BOTH_HEADS, seed=0).state_dict()
    torch.manual_seed(2)
    before = torch.get_rng_state()
    fewer_heads = build_model(TINY, ("masked_lm",), seed=0).state_dict()
    assert torch.equal(torch.get_rng_state(), before), "the global generator is left alone"
    assert all(torch.equal(first[name], tensor) for name, tensor in fewer_heads.items())
    other = build_model(TINY, BOTH_HEADS, seed=1).state_dict()
    assert not torch.equal(first["encoder.embeddings.words.weight"], other["encoder.embeddings.words.weight"])
    layers = [first[f"encoder.layers.{number}.feed_forward.inner.weight"] for number in range(2)]
    assert not torch.equal(*layers)


def test_a_new_model_has_no_trained_head_and_starts_at_chance() -> None:
    model = build_model(TINY, BOTH_HEADS, seed=0)
    assert model.trained_heads == ()
    batch = random_batch((20,) * 8)
    score = OBJECTIVES["masked_lm"].score(model, model.eval()(batch), batch)
    assert score.loss.item() / score.count == pytest.approx(math.log(TINY.vocab_size), rel=0.02)


@pytest.mark.parametrize("lengths", [(8, 8), (5, 20, 9)])
def test_both_attention_functions_agree(lengths: tuple[int, ...]) -> None:
    model = tiny_model().eval()
    gradients = []
    for attend in (batched_attention, fused_attention):
        model.encoder.attention = attend
        model.zero_grad()
        loss_of(model, lengths).backward()
        gradients.append([parameter.grad for parameter in model.parameters()])
    torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-4)


def test_dropout_acts_in_training_only() -> None:
    model = tiny_model()
    assert not torch.equal(loss_of(model), loss_of(model))
    model.eval()
    assert torch.equal(loss_of(model), loss_of(model))


def test_activation_checkpointing_changes_no_bit() -> None:
    model = tiny_model().train()
    gradients = []
    for checkpointing in (False, True):
        model.encoder.activation_checkpointing = checkpointing
        model.zero_grad()
        torch.manual_seed(0)
        loss_of(model).backward()
        gradients.append([parameter.grad for parameter in model.parameters()])
    assert all(torch.equal(left, right) for left, right in zip(*gradients, strict=True))


def test_bf16_weights_give_an_fp32_loss_near_that_of_fp32() -> None:
    model = tiny_model().eval()
    exact = loss_of(model)
    rounded = loss_of(model.to(torch.bfloat16))
    assert rounded.dtype == torch.float32
    assert rounded.item() == pytest.approx(exact.item(), rel=0.02)
    rounded.backward()
    assert all(torch.isfinite(gradient(parameter)).all() for parameter in model.parameters())


@pytest.mark.slow
@pytest.mark.parametrize("name", ["bert", "albert, attention", "albert, groups"])
def test_compiled_layers_compute_the_same_and_share_their_kernels(name: str) -> None:
    torch._dynamo.reset()
    counters.clear()
    model = tiny_model(config=replace(FAMILIES[name], dropout=0.0, attention_dropout=0.0))
    names = list(model.state_dict())
    expected = [loss_of(model, lengths).item() for lengths in ((8, 8), (5, 20, 9), (7, 3))]
    compile_layers(model.encoder.layers)
    found = [loss_of(model, lengths).item() for lengths in ((8, 8), (5, 20, 9), (7, 3))]
    assert found == pytest.approx(expected, rel=1e-5)
    assert list(model.state_dict()) == names
    assert counters["stats"]["unique_graphs"] == 2, "one for equal lengths and one for others, not one for each layer"
