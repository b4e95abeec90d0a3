"""The byte-random dropout: its rate, its scale, its generator, eager and compiled."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bertsmith.models.dropout import dropout
from tests.tiny_models import gradient


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_every_place_of_a_draw_is_dropped_at_the_same_rate(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    for threshold in (1, 26, 128, 250):
        kept = dropout(torch.ones(1 << 18, dtype=dtype), threshold / 256) != 0
        rates = 1 - kept.view(-1, 8).double().mean(0)  # column = place within one 64-bit draw
        expected = threshold / 256
        deviation = (expected * (1 - expected) / len(kept.view(-1, 8))) ** 0.5
        assert ((rates - expected).abs() < 5 * deviation).all(), (threshold, rates)


@pytest.mark.parametrize("elements", [1, 7, 4095, 4096, 4097, 9000])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_what_is_kept_is_scaled_and_rounded_once(elements: int, dtype: torch.dtype) -> None:
    torch.manual_seed(1)
    states = torch.randn(elements, dtype=dtype)
    dropped = dropout(states, 0.5)
    kept = dropped != 0
    assert torch.equal(dropped[kept], (states.float() * 2).to(dtype)[kept])
    odd = dropout(states, 0.1)
    assert torch.equal(odd[odd != 0], (states.float() * float(np.float32(256 / 230))).to(dtype)[odd != 0])


def test_views_and_chunks_are_dropped_alike() -> None:
    states = torch.randn(100, 200)
    torch.manual_seed(2)
    whole = dropout(states.t().contiguous(), 0.3)
    torch.manual_seed(2)
    assert torch.equal(dropout(states.t(), 0.3), whole)
    chunks = (whole == 0).view(-1)[: 4 * 4096].view(4, 4096)
    assert len({tuple(chunk.tolist()) for chunk in chunks}) == 4, "every chunk has bytes of its own"


def test_values_that_are_not_finite_stay_so() -> None:
    torch.manual_seed(0)
    states = torch.full((1000,), float("nan"), dtype=torch.bfloat16)
    assert dropout(states, 0.1).isnan().any()
    assert dropout(torch.full((1000,), float("inf"), dtype=torch.bfloat16), 0.1).isinf().any()


@pytest.mark.parametrize("probability", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_rate_and_expectation(probability: float, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    dropped = dropout(torch.ones(1 << 20, dtype=dtype), probability)
    assert dropped.dtype == dtype
    rate = round(256 * probability) / 256
    assert abs((dropped == 0).float().mean() - rate) < 0.003
    values = dropped[dropped != 0].unique()
    assert len(values) == 1
    assert values.item() == pytest.approx(1 / (1 - rate), rel=1 / 256 if dtype == torch.bfloat16 else 1e-6)


def test_the_scale_is_exact_in_bf16() -> None:
    torch.manual_seed(0)
    states = torch.linspace(1, 2, 1 << 16, dtype=torch.bfloat16)
    dropped = dropout(states, 0.1)
    kept = dropped != 0
    assert (dropped[kept].double() / states[kept].double()).mean().item() == pytest.approx(256 / 230, rel=1e-3)


def test_no_dropout_draws_nothing() -> None:
    states = torch.randn(10)
    before = torch.get_rng_state()
    assert dropout(states, 0.0) is states
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("probability", [1e-4, 1 - 1e-4])
def test_a_probability_near_the_ends_drops_some_and_keeps_some(probability: float) -> None:
    torch.manual_seed(0)
    dropped = dropout(torch.ones(1 << 14), probability) == 0
    assert dropped.any() and not dropped.all()


def test_the_default_generator_decides() -> None:
    states = torch.ones(1000)
    torch.manual_seed(5)
    first, second = dropout(states, 0.5), dropout(states, 0.5)
    torch.manual_seed(5)
    assert torch.equal(dropout(states, 0.5), first)
    assert not torch.equal(first, second)


def test_gradient_flows_where_values_did() -> None:
    states = torch.ones(1000, requires_grad=True)
    dropped = dropout(states, 0.3)
    dropped.sum().backward()
    assert torch.equal(gradient(states), dropped)


@pytest.mark.slow
def test_compiled_masks_are_drawn_once_and_apart() -> None:
    def twice(states: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return dropout(states, 0.5), dropout(states, 0.5)

    compiled = torch.compile(twice, fullgraph=True, dynamic=True)
    for size in (1000, 3000):
        states = torch.ones(size, requires_grad=True)
        torch.manual_seed(0)
        eager = twice(states)
        torch.manual_seed(0)
        first, second = compiled(states)
        assert torch.equal(first, eager[0]) and torch.equal(second, eager[1])
        assert 0.3 < (first != second).float().mean() < 0.7, "the compiler must not merge the two draws"
        (first + 10 * second).sum().backward()
        assert torch.equal(gradient(states), (first + 10 * second).detach()), "nor repeat one for the backward pass"
    again = compiled(states)[0]
    assert not torch.equal(again, first), "nor fold it into a constant"
