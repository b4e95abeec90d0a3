"""Initial weights as a function of the seed and the parameter's name alone."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import torch
from torch import nn


def initialize(named_parameters: Iterable[tuple[str, nn.Parameter]], std: float, seed: int) -> None:
    """Fills parameters as BERT does: normal with the given std cut at 2 std, biases 0, LayerNorm weights 1.

    Each tensor has its own generator, seeded by (seed, name): the encoder starts from the same weights whichever heads
    sit on it, and neither the global generator nor the order of construction matters. `trunc_normal_` takes absolute
    bounds, not multiples of std.
    """
    for name, parameter in named_parameters:
        if parameter.dim() >= 2:
            digest = hashlib.sha256(f"initial weights/{seed}/{name}".encode()).digest()
            generator = torch.Generator().manual_seed(int.from_bytes(digest[:8], "little", signed=True))
            nn.init.trunc_normal_(parameter, std=std, a=-2 * std, b=2 * std, generator=generator)
        elif name.endswith("norm.weight"):
            nn.init.ones_(parameter)
        else:
            nn.init.zeros_(parameter)
