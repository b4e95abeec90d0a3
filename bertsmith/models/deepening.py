"""A deeper net started from a shallower one, as ALBERT's table of depths was made (Lan et al., 2019, appendix A.1)."""

from __future__ import annotations

from dataclasses import replace

import torch

from bertsmith.errors import UsageError
from bertsmith.models.config import EncoderConfig
from bertsmith.models.heads import HEADS
from bertsmith.models.model import Model, skeleton


def deepen(model: Model, layers: int) -> Model:
    """A model with `layers` layers that starts from the weights of one with fewer; heads and embeddings are copied.

    Weights that a group of layers shares are those of the same group. Where a layer has weights of its own, layer i
    takes those of layer i modulo the shallower depth, so the shallower net is stacked on itself (Gong et al., 2019): 3
    layers become 0 1 2 0 1 2, not 0 0 1 1 2 2. UsageError when `layers` is less than there are.
    """
    shallow = model.config
    if layers < shallow.layers:
        raise UsageError(f"model.layers = {layers}: a model with {shallow.layers} layers cannot start one with fewer")
    deep = replace(shallow, layers=layers)
    heads = [name for name in model.heads if name in HEADS]
    pooler = model.encoder.pooler is not None
    deeper = skeleton(deep, heads, pooler=pooler, task=model.task).to_empty(device="cpu")
    deeper.trained_heads = model.trained_heads
    weights = dict(model.named_parameters(remove_duplicate=False))
    with torch.no_grad():
        for name, parameter in deeper.named_parameters():
            parameter.copy_(weights[_source(name, shallow, deep)])
    return deeper.train(model.training)


def _source(name: str, shallow: EncoderConfig, deep: EncoderConfig) -> str:
    """The shallower net's name of the weight that the deeper net's weight of this name starts from."""
    if not name.startswith("encoder.layers."):
        return name
    encoder, layers, number, part, rest = name.split(".", 4)
    layer, inner = divmod(int(number), deep.inner_groups)
    if deep.shares("attention" if part.startswith("attention") else "ffn"):
        group = deep.group_of(layer)
        layer = next(first for first in range(shallow.layers) if shallow.group_of(first) == group)
    else:
        layer %= shallow.layers
    return f"{encoder}.{layers}.{layer * shallow.inner_groups + inner}.{part}.{rest}"
