"""Relations between tokens as a student learns them: inside queries, keys and values (MiniLMv2, Wang et al., 2020), and
as the scores of its attention (TinyBERT, Jiao et al., 2020). For models of any two widths.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from bertsmith.batch import Batch
from bertsmith.models.encoder import Encoded
from bertsmith.models.layers import Layer
from bertsmith.models.layout import Layout, layout_of
from bertsmith.models.model import Model


class Inside(NamedTuple):
    """A layer of a model, by its number from 0, whose input the encoder kept (`Encoder.kept_layers`)."""

    model: Model
    encoded: Encoded
    number: int

    @property
    def layer(self) -> Layer:
        """The layer itself."""
        layer = self.model.encoder.layers[self.number]
        assert isinstance(layer, Layer)
        return layer

    def parts(self, layout: Layout, heads: int) -> Tensor:
        """Queries, keys and values divided into heads: (3, sequences, heads, longest, size), fp32."""
        kept = layout.fill_up(self.encoded.kept[self.number])
        qkv = layout.to_grid(self.layer.attention.qkv(kept))
        size = qkv.shape[-1] // 3 // heads
        return qkv.view(layout.sequences, layout.longest, 3, heads, size).permute(2, 0, 3, 1, 4).float()


def relation_loss(given: Inside, taught: Inside, batch: Batch, heads: int) -> Tensor:
    """The sum over tokens of KL(teacher || student) of their relations, in fp32.

    The queries of a layer, divided into `heads` parts, are related by softmax(q q^T / sqrt(size of a part)) within a
    sequence; keys and values likewise. A token's distances are averaged over the parts, then added over the three.
    """
    layout = layout_of(batch.lengths, batch.token_ids.device)
    with torch.no_grad():
        wanted = _relations(taught, layout, heads)
    found = _relations(given, layout, heads)
    distance = F.kl_div(found, wanted, reduction="none", log_target=True)
    if layout.mask is not None:
        distance = distance.masked_fill(~layout.mask, 0.0)  # -inf on both sides
    return _over_tokens(distance.sum(-1).mean(2).sum(0), layout)


def attention_loss(given: Inside, taught: Inside, batch: Batch) -> Tensor:
    """The sum over tokens of the squared difference of their attention scores q k^T / sqrt(head size), in fp32.

    A token's differences are averaged over the tokens of its sequence and over the heads, of which both have as many.
    """
    layout = layout_of(batch.lengths, batch.token_ids.device)
    with torch.no_grad():
        wanted = _scores(taught, layout)
    distance = (_scores(given, layout) - wanted).square()
    if layout.mask is not None:
        distance = distance.masked_fill(~layout.mask, 0.0)
    lengths = batch.lengths.to(distance.device)[:, None]
    return _over_tokens(distance.sum(-1).mean(1) / lengths, layout)


def _relations(inside: Inside, layout: Layout, heads: int) -> Tensor:
    """Log-probabilities (3, sequences, heads, longest, longest)."""
    parts = inside.parts(layout, heads)
    scores = (parts * parts.shape[-1] ** -0.5) @ parts.transpose(-1, -2)
    if layout.mask is not None:
        scores = scores.masked_fill(~layout.mask, float("-inf"))
    return scores.log_softmax(-1)


def _scores(inside: Inside, layout: Layout) -> Tensor:
    """Before the softmax: (sequences, heads, longest, longest)."""
    queries, keys, _ = inside.parts(layout, inside.layer.attention.heads)
    return (queries * queries.shape[-1] ** -0.5) @ keys.transpose(-1, -2)


def _over_tokens(grid: Tensor, layout: Layout) -> Tensor:
    """The sum of the cells (sequences, longest) that hold a token."""
    return layout.from_grid(grid.reshape(-1, 1))[: layout.tokens].sum()
