"""Linear maps for inference on a CPU: torch's own, oneDNN's with weights reordered once, and oneDNN's of bytes.

oneDNN's are private operators of torch, so each is tried on one of the model's own matrices before it is used: does it
exist here, and does it give what it should? Speed is no question asked here: two processes might answer it differently,
and the last bits of their results would differ.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bertsmith.serving.kernels import ZERO_POINT

Linear = Callable[[Tensor], Tensor]
"""(rows, inputs) -> (rows, outputs), of one dtype."""

LARGEST = 127  # of a weight's byte
TRIED_ROWS = 256  # those of many short lines
TOLERATED = 2.0  # the error it may have relative to torch's own
ROUGH = 0.05  # the error that bytes may have, as a share of the largest result


class ByteLinear(NamedTuple):
    """A linear map of bytes: weights as int8, one scale for each output.

    packed: the weights as oneDNN wants them. scales, zeros: (outputs,) float32 and int64. bias: (outputs,) float32,
    added by whoever multiplies the product by the scales of its rows.
    """

    packed: Tensor
    scales: Tensor
    zeros: Tensor
    bias: Tensor

    def __call__(self, quantised: Tensor) -> Tensor:
        """(rows, inputs) uint8, ZERO_POINT standing for 0 -> (rows, outputs) bf16, without bias."""
        return torch.ops.onednn.qlinear_pointwise(
            quantised, 1.0, ZERO_POINT, self.packed, self.scales, self.zeros, None, 1.0, 0, torch.bfloat16,
            "none", [], "",
        )  # fmt: skip


def plain(linear: nn.Linear, dtype: torch.dtype) -> Linear:
    """torch's own map, with the weights as they are where the dtype is theirs."""
    weight, bias = linear.weight.detach().to(dtype), linear.bias.detach().to(dtype)
    return lambda states: F.linear(states, weight, bias)


def reordered(linear: nn.Linear, dtype: torch.dtype) -> Linear:
    """oneDNN's map, its weights laid out once as its kernels read them."""
    weight = torch.ops.mkldnn._reorder_linear_weight(linear.weight.detach().to(dtype), TRIED_ROWS)
    bias = linear.bias.detach().to(dtype)
    return lambda states: torch.ops.mkldnn._linear_pointwise(states, weight, bias, "none", [], "")


def quantised(linear: nn.Linear) -> ByteLinear:
    """Weights as whole numbers from -127 to 127, each output with a scale of its own."""
    weight = linear.weight.detach().float()
    scales = weight.abs().amax(1).clamp_min(1e-20) / LARGEST
    whole = (weight / scales[:, None]).round().to(torch.int8)
    packed = torch.ops.onednn.qlinear_prepack(whole, [TRIED_ROWS, weight.shape[1]])
    zeros = torch.zeros(len(weight), dtype=torch.int64)
    return ByteLinear(packed, scales, zeros, linear.bias.detach().float())


@torch.inference_mode()
def best_linear(example: nn.Linear, dtype: torch.dtype) -> Callable[[nn.Linear, torch.dtype], Linear]:
    """`reordered` where it works here, is as exact as `plain`, tried on one map of the model."""
    states = _states(example)
    exact = F.linear(states.double(), example.weight.double(), example.bias.double())
    own, states = plain(example, dtype), states.to(dtype)
    try:
        other = reordered(example, dtype)
        errors = [float((linear(states).double() - exact).abs().max()) for linear in (other, own)]
    except (RuntimeError, AttributeError, TypeError):
        return plain
    return reordered if errors[0] <= TOLERATED * errors[1] else plain


@torch.inference_mode()
def bytes_work(example: nn.Linear) -> bool:
    """Whether products of bytes exist here and give what they should, tried on one map of the model."""
    states = _states(example)
    exact = F.linear(states, example.weight)
    scale = float(states.abs().max()) / LARGEST
    try:
        whole = (states / scale + ZERO_POINT).round().to(torch.uint8)
        found = quantised(example)(whole).float() * scale
    except (RuntimeError, AttributeError, TypeError):
        return False
    return bool((found - exact).abs().max() <= ROUGH * exact.abs().max())


def _states(example: nn.Linear) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(TRIED_ROWS, example.in_features, generator=generator)
