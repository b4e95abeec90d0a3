"""Relations between tokens as a student learns them: MiniLMv2 (Wang et al., 2020), for models of any two widths."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from bertsmith.batch import Batch
from bertsmith.models.encoder import Encoded
from bertsmith.models.layers import Layer
from bertsmith.models.layout import Layout, layout_of
from bertsmith.models.model import Model


def relation_loss(student: Model, given: Encoded, teacher: Model, taught: Encoded, batch: Batch, heads: int) -> Tensor:
    """The sum over tokens of KL(teacher || student) of their relations, in fp32.

    The queries of a layer, divided into `heads` parts, are related by softmax(q q^T / sqrt(size of a part)) within a
    sequence; keys and values likewise. A token's distances are averaged over the parts, then added over the three. The
    layers are those whose inputs the encoders kept (`Encoder.kept_layer`).
    """
    layout = layout_of(batch.lengths, batch.token_ids.device)
    with torch.no_grad():
        wanted = _relations(teacher, taught, layout, heads)
    found = _relations(student, given, layout, heads)
    distance = F.kl_div(found, wanted, reduction="none", log_target=True)
    if layout.mask is not None:
        distance = distance.masked_fill(~layout.mask, 0.0)  # -inf on both sides
    by_token = distance.sum(-1).mean(2).sum(0)  # (sequences, longest)
    return layout.from_grid(by_token.reshape(-1, 1))[: layout.tokens].sum()


def _relations(model: Model, encoded: Encoded, layout: Layout, heads: int) -> Tensor:
    """Log-probabilities (3, sequences, heads, longest, longest)."""
    assert encoded.kept is not None and model.encoder.kept_layer is not None
    layer = model.encoder.layers[model.encoder.kept_layer]
    assert isinstance(layer, Layer)
    qkv = layout.to_grid(layer.attention.qkv(layout.fill_up(encoded.kept)))
    size = qkv.shape[-1] // 3 // heads
    parts = qkv.view(layout.sequences, layout.longest, 3, heads, size).permute(2, 0, 3, 1, 4).float()
    scores = (parts * size**-0.5) @ parts.transpose(-1, -2)
    if layout.mask is not None:
        scores = scores.masked_fill(~layout.mask, float("-inf"))
    return scores.log_softmax(-1)
