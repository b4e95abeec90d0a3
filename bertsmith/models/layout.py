"""Where each sequence of a flat batch lies, computed once per batch and shared by all layers."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Layout(NamedTuple):
    """How a flat (tokens, width) matrix becomes a (sequences, longest, width) grid for attention, and back.

    starts: (sequences,) int64, the row of each sequence's first token.
    cells: (tokens,) int64, the cell of each token in the flattened grid; None when all sequences are equally long, so
        that the grid is the matrix itself.
    mask: (sequences, 1, 1, longest) bool, True where a key is a token; None when every cell is one.
    """

    sequences: int
    longest: int
    starts: Tensor
    cells: Tensor | None
    mask: Tensor | None

    def to_grid(self, matrix: Tensor) -> Tensor:
        """(tokens, width) -> (sequences * longest, width); cells without a token are 0."""
        if self.cells is None:
            return matrix
        grid = matrix.new_zeros(self.sequences * self.longest, matrix.shape[1])
        return grid.index_copy_(0, self.cells, matrix)

    def from_grid(self, grid: Tensor) -> Tensor:
        """(sequences * longest, width) -> (tokens, width), the inverse of to_grid."""
        return grid if self.cells is None else grid.index_select(0, self.cells)


def layout_of(lengths: Tensor, device: torch.device) -> Layout:
    """The layout of sequences with these lengths (sequences,), its tensors on the given device.

    Everything is worked out on the CPU: with lengths kept there, a GPU never has to be waited for.
    """
    lengths = lengths.cpu()
    sequences, longest = lengths.numel(), int(lengths.max())
    starts = torch.cumsum(lengths, 0) - lengths
    if int(lengths.min()) == longest:
        return Layout(sequences, longest, starts.to(device), None, None)
    mask = torch.arange(longest) < lengths[:, None]
    cells = mask.view(-1).nonzero().view(-1)
    return Layout(sequences, longest, starts.to(device), cells.to(device), mask[:, None, None, :].to(device))
