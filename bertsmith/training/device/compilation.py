"""torch.compile of one layer, dynamic in tokens, with the same kernels in every process."""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

import torch
from torch import nn


def compile_layers(layers: Iterable[nn.Module]) -> None:
    """Compile each layer in place (names and state stay); equal layers share their kernels.

    A resumed run meets other shapes first than the run it continues. Dynamic from the first call, and with sizes that
    happen to be equal not taken for the same size (no duck shapes), the kernels do not depend on which came first.
    """
    import torch._dynamo
    import torch.fx.experimental._config as symbolic_shapes

    symbolic_shapes.use_duck_shape = False
    torch._dynamo.config.error_on_recompile = False
    for layer in layers:
        layer.compile(dynamic=True)


def uncompile_layers(layers: Iterable[nn.Module]) -> None:
    """Back to eager: for a machine without a C++ compiler."""
    for layer in layers:
        cast(object, layer).__dict__["_compiled_call_impl"] = None
    torch.compiler.reset()
