"""Embeddings of which only some rows are trained: those of the tokens that the training examples hold.

At small widths most weights are rows of the word embedding, and a data set for fine-tuning holds a part of the
vocabulary. The other rows have no gradient, so an optimiser could only shrink them; here they stay as they are, and
neither gradients nor moments nor updates are spent on them.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from bertsmith.models.model import Model

WORDS = "encoder.embeddings.words.weight"
WORTHWHILE = 0.8  # of all rows: above, all are trained


class ChosenRows:
    """One embedding and its rows (rows,) int64, sorted, that are trained. Its gradients become sparse."""

    def __init__(self, model: Model, name: str, rows: Tensor, dtype: torch.dtype) -> None:
        module = model.get_submodule(name.rpartition(".")[0])
        assert isinstance(module, nn.Embedding), f"{name} is no embedding"
        module.sparse = True
        weight = module.weight.detach()
        self.rows = rows.to(weight.device)
        self.shape = torch.Size((len(rows), weight.shape[1]))
        self.whole = weight.float().clone()  # the master of every row, those that are trained as of the last `put`
        self.shown = self.whole if dtype == torch.float32 else weight.to(dtype)
        self._places = torch.full((len(weight),), -1, dtype=torch.int64, device=weight.device)
        self._places[self.rows] = torch.arange(len(rows), device=weight.device)

    def collect(self, gradient: Tensor, into: Tensor) -> None:
        """Add a sparse gradient of the whole embedding to that of the trained rows, (rows, width) fp32."""
        into.index_add_(0, self._places[gradient._indices()[0]], gradient._values().float())

    def put(self, trained: Tensor, into: Tensor) -> None:
        """Write the trained rows, (rows, width), into a whole embedding."""
        into.index_copy_(0, self.rows, trained)


def rows_worth_choosing(model: Model, used: Tensor) -> Mapping[str, Tensor]:
    """The rows of the word embedding to train, for an optimiser; none where nearly all are used, or on a GPU.

    used: ids of the tokens in the training examples, (tokens,), sorted, each once.
    """
    weight = model.get_parameter(WORDS)
    return {WORDS: used} if len(used) <= WORTHWHILE * len(weight) and not torch.cuda.is_available() else {}
