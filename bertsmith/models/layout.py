"""Where each sequence of a flat batch lies, computed once per batch and shared by all layers."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

ROWS_MULTIPLE = 64
FEW, FEW_MULTIPLE = 256, 16  # tokens: of so few, rows that fill up to 64 would cost more than they save
LONGEST_MULTIPLE = 8
CHOSEN_MULTIPLE = 32  # rows that are chosen of a batch's, as those of masked tokens


class Layout(NamedTuple):
    """How a flat (rows, width) matrix becomes a (sequences, longest, width) grid for attention, and back.

    rows: tokens, filled up to a multiple of 64, or of 16 where they are few, if sequences differ in length: every new
        number of rows costs a CPU's matrix library a kernel of its own, made on the spot and kept (measured: twice the
        time of a tiny model's step and twice the memory). Nothing ever reads what the encoder computes in filling rows.
    starts: (sequences,) int64, the row of each sequence's first token.
    cells: (rows,) int64, the cell of each row in the flattened grid, 0 for filling rows; None when all sequences are
        equally long, so that the grid is the matrix itself.
    mask: (sequences, 1, 1, longest) bool, True where a key is a token; None when every cell is one.
    """

    sequences: int
    longest: int
    tokens: int
    rows: int
    starts: Tensor
    cells: Tensor | None
    mask: Tensor | None

    def fill_up(self, matrix: Tensor) -> Tensor:
        """(tokens, width) -> (rows, width), filling rows 0."""
        return filled_up(matrix, self.rows)

    def to_grid(self, matrix: Tensor) -> Tensor:
        """(rows, width) -> (sequences * longest, width); cells without a token are 0."""
        if self.cells is None:
            return matrix
        grid = matrix.new_zeros(self.sequences * self.longest, matrix.shape[1])
        return grid.index_copy_(0, self.cells[: self.tokens], matrix[: self.tokens])

    def from_grid(self, grid: Tensor) -> Tensor:
        """(sequences * longest, width) -> (rows, width), for tokens the inverse of to_grid."""
        return grid if self.cells is None else grid.index_select(0, self.cells)


def layout_of(lengths: Tensor, device: torch.device) -> Layout:
    """The layout of sequences with these lengths (sequences,), its tensors on the given device.

    Everything is worked out on the CPU: with lengths kept there, a GPU never has to be waited for.
    """
    lengths = lengths.cpu()
    sequences, longest, tokens = lengths.numel(), int(lengths.max()), int(lengths.sum())
    starts = torch.cumsum(lengths, 0) - lengths
    if int(lengths.min()) == longest:
        return Layout(sequences, longest, tokens, tokens, starts.to(device), None, None)
    rows = round_up(tokens, FEW_MULTIPLE if tokens < FEW else ROWS_MULTIPLE)
    longest = round_up(longest, LONGEST_MULTIPLE)
    mask = torch.arange(longest) < lengths[:, None]
    cells = F.pad(mask.view(-1).nonzero().view(-1), (0, rows - tokens))
    mask = mask[:, None, None, :]
    return Layout(sequences, longest, tokens, rows, starts.to(device), cells.to(device), mask.to(device))


def round_up(number: int, multiple: int) -> int:
    """The least multiple that is no less."""
    return -(-number // multiple) * multiple


def filled_rows(chosen: Tensor) -> Tensor:
    """(rows, ...) that go through a product, with rows of 0 after them up to a multiple of CHOSEN_MULTIPLE."""
    return filled_up(chosen, round_up(len(chosen), CHOSEN_MULTIPLE))


def filled_up(values: Tensor, count: int) -> Tensor:
    """(rows, ...) with rows of 0 after them, `count` in all."""
    missing = count - len(values)
    return F.pad(values, (0, 0) * (values.dim() - 1) + (0, missing)) if missing else values
