"""Flat to grid and back."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bertsmith.batch import flat_batch
from bertsmith.models import layout as module
from bertsmith.models.config import EncoderConfig
from bertsmith.models.layout import layout_of
from bertsmith.models.model import build_model

CPU = torch.device("cpu")


@given(st.lists(st.integers(1, 9), min_size=1, max_size=6))
def test_grid_and_back(lengths: list[int]) -> None:
    layout = layout_of(torch.tensor(lengths), CPU)
    matrix = torch.arange(1.0, 1 + 3 * sum(lengths)).view(-1, 3)
    grid = layout.to_grid(matrix)
    assert torch.equal(layout.from_grid(grid), matrix)
    rows = grid.view(len(lengths), max(lengths), 3)
    for row, part in zip(rows, matrix.split(lengths), strict=True):
        assert torch.equal(row[: len(part)], part)
        assert not row[len(part) :].any()
    mask = torch.tensor([[place < length for place in range(max(lengths))] for length in lengths])
    assert mask.all() if layout.mask is None else torch.equal(layout.mask[:, 0, 0], mask)
    assert torch.equal(matrix[layout.starts], torch.stack([part[0] for part in matrix.split(lengths)]))


def test_equal_lengths_copy_nothing() -> None:
    layout = layout_of(torch.tensor([4, 4, 4]), CPU)
    matrix = torch.randn(12, 2)
    assert layout.to_grid(matrix) is matrix
    assert layout.from_grid(matrix) is matrix


@pytest.mark.parametrize("lengths", [(2, 2), (1, 3, 2)])
def test_gradients_of_both_ways(lengths: tuple[int, ...]) -> None:
    layout = layout_of(torch.tensor(lengths), CPU)
    matrix = torch.randn(sum(lengths), 2, dtype=torch.float64, requires_grad=True)
    grid = torch.randn(layout.sequences * layout.longest, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(layout.to_grid, (matrix,))
    assert torch.autograd.gradcheck(layout.from_grid, (grid,))


def test_filling_rows_change_no_token_and_no_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    config = EncoderConfig(vocab_size=50, hidden_size=16, layers=2, heads=2, max_positions=16, dropout=0.0)
    model = build_model(config, ("masked_lm",), seed=0).eval()
    lengths = torch.tensor([9, 16, 5])
    tokens = torch.arange(30) % 50
    batch = flat_batch(tokens, torch.zeros_like(tokens), lengths)
    results = []
    for threshold in (10_000, 1):
        monkeypatch.setattr(module, "ROUNDED_FROM", threshold)
        states = model(batch).hidden_states
        gradients = torch.autograd.grad(states.square().sum() + states[:, 0].sum(), tuple(model.encoder.parameters()))
        results.append((states, *gradients))
    assert layout_of(lengths, CPU).rows == 64
    for plain, filled in zip(*results, strict=True):
        torch.testing.assert_close(filled, plain, atol=1e-5, rtol=1e-4)
