"""The encoder: embeddings, layers, and a pooler where a head asks for one."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from bertsmith.batch import Batch
from bertsmith.models.config import EncoderConfig
from bertsmith.models.embeddings import Embeddings
from bertsmith.models.layers import AttentionFunction, build_layers, device_attention
from bertsmith.models.layout import layout_of


class Encoded(NamedTuple):
    """hidden_states: (tokens, hidden), flat as the batch; pooled: (sequences, hidden), None without a pooler; kept:
    (tokens, hidden) each, what went into the layers of `Encoder.kept_layers`, by their numbers.
    """

    hidden_states: Tensor
    pooled: Tensor | None
    kept: Mapping[int, Tensor] = MappingProxyType({})


class Encoder(nn.Module):
    """Works on a flat (tokens, hidden) matrix: no padding outside attention.

    `layers` run in this order; those that share weights hold the same modules.
    `layers[i].compile(dynamic=True)` compiles one layer in place without changing any name. With
    `activation_checkpointing` set, training keeps only the layers' inputs and computes the rest again on the way back.
    `attention` is the function all layers use; an export sets its own. The inputs of the layers numbered in
    `kept_layers` (from 0) are given out too.
    """

    def __init__(self, config: EncoderConfig, *, pooler: bool) -> None:
        super().__init__()
        self.activation_checkpointing = False
        self.attention: AttentionFunction = device_attention
        self.kept_layers: tuple[int, ...] = ()
        self.embeddings = Embeddings(config)
        self.layers = nn.ModuleList(build_layers(config))
        self.pooler = nn.Linear(config.hidden_size, config.hidden_size) if pooler else None

    def forward(self, batch: Batch) -> Encoded:
        """Encodes every token of the batch, whose positions must stay below max_positions."""
        layout = layout_of(batch.lengths, batch.token_ids.device)
        narrow = self.embeddings.narrow(batch.token_ids, batch.type_ids, batch.positions)
        hidden_states = self.embeddings.mapped(layout.fill_up(narrow))
        kept: dict[int, Tensor] = {}
        for number, layer in enumerate(self.layers):
            if number in self.kept_layers:
                kept[number] = hidden_states[: layout.tokens]
            if self.activation_checkpointing and self.training:
                # The generator's state is kept and restored, so the second pass drops out the same elements.
                hidden_states = checkpoint(layer, hidden_states, layout, self.attention, use_reentrant=False)
            else:
                hidden_states = layer(hidden_states, layout, self.attention)
        hidden_states = hidden_states[: layout.tokens]
        if self.pooler is None:
            return Encoded(hidden_states, None, kept)
        return Encoded(hidden_states, self.pooler(hidden_states.index_select(0, layout.starts)).tanh(), kept)
