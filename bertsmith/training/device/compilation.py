"""torch.compile of one layer, dynamic in tokens, with the same kernels in every process."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager

import torch
from torch import nn


def compile_layers(layers: Iterable[nn.Module]) -> None:
    """Compile each layer in place (names and state stay); equal layers share their kernels.

    A resumed run meets other shapes first than the run it continues. Dynamic from the first call, and with sizes that
    happen to be equal not taken for the same size (no duck shapes), the kernels do not depend on which came first.
    """
    import torch.fx.experimental._config as symbolic_shapes

    symbolic_shapes.use_duck_shape = False
    for layer in layers:
        compile_layer(layer)


def compile_layer(layer: nn.Module) -> None:
    """Compile when first called; a machine that cannot raises RuntimeError then."""
    layer.compile(dynamic=True)


def uncompile_layers(layers: Iterable[nn.Module]) -> None:
    """Back to eager: for a machine without a C++ compiler."""
    for layer in layers:
        layer._compiled_call_impl = None


def eager_only() -> AbstractContextManager[object]:
    """Inside, compiled layers run eagerly: validation is not worth kernels of its own."""
    return torch.compiler.set_stance("force_eager")
