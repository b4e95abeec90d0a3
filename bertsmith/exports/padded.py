"""A model over padded batches, as other tools feed it: the same parameters and layers, traced into an ONNX graph."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from bertsmith.exports.outputs import compute, outputs_of
from bertsmith.models.encoder import Encoded
from bertsmith.models.layout import Layout
from bertsmith.models.model import Model


def padded_attention(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, probability: float) -> Tensor:
    """Attention that gives a sequence without any token something finite instead of NaN: others pad whole rows."""
    scores = (query * query.shape[-1] ** -0.5) @ key.transpose(-1, -2)
    if mask is not None:
        scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
    return scores.softmax(-1) @ value


class Padded(nn.Module):
    """`outputs_of` the model over a padded batch, whose matrix of all cells the encoder takes for a flat batch.

    Every linear map then multiplies a matrix, which ONNX says with the weight as it is (Gemm): a weight that is tied,
    or that layers share, is written once.
    """

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.model = model
        self.after_padding = model.family.positions_after_padding

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the inputs in their order; types only where the model tells them apart."""
        types = self.model.encoder.embeddings.types
        told = types is not None and types.num_embeddings > 1
        return ("input_ids", "attention_mask", *(("token_type_ids",) if told else ()))

    @property
    def of_choices(self) -> bool:
        """Whether inputs are (batch, choices, length) instead of (batch, length)."""
        return self.model.task is not None and self.model.task.kind == "choice"

    def forward(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None) -> list[Tensor]:
        """(batch, length) int64 each, or (batch, choices, length) -> the outputs, (batch, length, ...) per token."""
        length = input_ids.shape[-1]
        mask = attention_mask.reshape(-1, length)
        token_ids = input_ids.reshape(-1)
        type_ids = torch.zeros_like(token_ids) if token_type_ids is None else token_type_ids.reshape(-1)
        rows = mask.shape[0]
        encoded = self._encode(token_ids, type_ids, mask, rows, length)
        flat = compute(self.model, encoded, torch.full((rows,), length, device=mask.device))
        found: list[Tensor] = []
        for output, scores in zip(outputs_of(self.model), flat, strict=True):
            if self.of_choices:
                found.append(scores.reshape(-1, input_ids.shape[1]))
            elif output.per_token:
                found.append(scores.reshape(rows, length, *scores.shape[1:]))
            else:
                found.append(scores)
        return found

    def _encode(self, token_ids: Tensor, type_ids: Tensor, mask: Tensor, rows: int, length: int) -> Encoded:
        encoder = self.model.encoder
        starts = torch.arange(rows, device=mask.device) * length
        keys = mask.to(torch.bool)[:, None, None, :]
        layout = Layout(rows, length, rows * length, rows * length, starts, None, keys)
        hidden_states = encoder.embeddings(token_ids, type_ids, self._positions(mask, rows, length))
        for layer in encoder.layers:
            hidden_states = layer(hidden_states, layout, padded_attention)
        if encoder.pooler is None:
            return Encoded(hidden_states, None)
        return Encoded(hidden_states, encoder.pooler(hidden_states.index_select(0, starts)).tanh())

    def _positions(self, mask: Tensor, rows: int, length: int) -> Tensor:
        """Positions from 0 as transformers counts them: by cell, or, where the family counts after padding, by token;
        the two differ for padding on the left alone.
        """
        if self.after_padding:
            return (mask.to(torch.int64).cumsum(1) - 1).clamp(min=0).reshape(-1)
        return torch.arange(length, device=mask.device).repeat(rows)
