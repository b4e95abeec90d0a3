"""Flat to grid and back."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bertsmith.batch import flat_batch
from bertsmith.models.config import EncoderConfig
from bertsmith.models.layout import layout_of
from bertsmith.models.model import build_model

CPU = torch.device("cpu")


@given(st.lists(st.integers(1, 9), min_size=1, max_size=6))
def test_grid_and_back(lengths: list[int]) -> None:
    layout = layout_of(torch.tensor(lengths), CPU)
    matrix = torch.arange(1.0, 1 + 3 * sum(lengths)).view(-1, 3)
    grid = layout.to_grid(layout.fill_up(matrix))
    assert torch.equal(layout.from_grid(grid)[: layout.tokens], matrix)
    rows = grid.view(len(lengths), layout.longest, 3)
    for row, part in zip(rows, matrix.split(lengths), strict=True):
        assert torch.equal(row[: len(part)], part)
        assert not row[len(part) :].any()
    mask = torch.tensor([[place < length for place in range(layout.longest)] for length in lengths])
    assert mask.all() if layout.mask is None else torch.equal(layout.mask[:, 0, 0], mask)
    assert torch.equal(matrix[layout.starts], torch.stack([part[0] for part in matrix.split(lengths)]))


def test_equal_lengths_copy_nothing() -> None:
    layout = layout_of(torch.tensor([4, 4, 4]), CPU)
    matrix = torch.randn(12, 2)
    assert layout.to_grid(matrix) is matrix
    assert layout.from_grid(matrix) is matrix


@pytest.mark.parametrize(
    ("lengths", "rows", "longest"),
    [
        ([5, 6], 16, 8),
        ([100, 100, 41], 256, 104),
        ([100, 100, 55], 256, 104),
        ([100, 100, 57], 320, 104),
        ([7, 7], 14, 7),
    ],
)
def test_unequal_sequences_have_few_different_shapes(lengths: list[int], rows: int, longest: int) -> None:
    layout = layout_of(torch.tensor(lengths), CPU)
    assert (layout.tokens, layout.rows, layout.longest) == (sum(lengths), rows, longest)
    assert layout.fill_up(torch.ones(sum(lengths), 1)).sum() == sum(lengths)


@pytest.mark.parametrize("lengths", [(2, 2), (1, 3, 2)])
def test_gradients_of_both_ways(lengths: tuple[int, ...]) -> None:
    layout = layout_of(torch.tensor(lengths), CPU)
    matrix = torch.randn(layout.rows, 2, dtype=torch.float64, requires_grad=True)
    grid = torch.randn(layout.sequences * layout.longest, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(layout.to_grid, (matrix,))
    assert torch.autograd.gradcheck(layout.from_grid, (grid,))


@pytest.mark.parametrize("family", ["bert", "albert"])
def test_filling_rows_change_no_token_and_no_gradient(family: Literal["bert", "albert"]) -> None:
    config = EncoderConfig(
        family=family, vocab_size=50, hidden_size=16, embedding_size=8, layers=2, heads=2, max_positions=16, dropout=0.0
    )
    model = build_model(config if family == "albert" else replace(config, embedding_size=16), ("masked_lm",), 0).eval()
    lengths = torch.tensor([9, 16, 5])
    tokens = torch.arange(30) % 50
    parts = [flat_batch(part, torch.zeros_like(part), torch.tensor([len(part)])) for part in tokens.split([9, 16, 5])]
    filled = model(flat_batch(tokens, torch.zeros_like(tokens), lengths)).hidden_states
    plain = torch.cat([model(part).hidden_states for part in parts])  # of one sequence each, which nothing fills up
    assert layout_of(lengths, CPU).rows == 32
    results = []
    for states in (plain, filled):
        gradients = torch.autograd.grad(states.square().sum() + states[:, 0].sum(), tuple(model.encoder.parameters()))
        results.append((states, *gradients))
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(other, one, atol=1e-5, rtol=1e-4)
