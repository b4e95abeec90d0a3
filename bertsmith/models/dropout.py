"""Dropout that costs little on a CPU and stays inside one compiled graph."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from bertsmith.compiled import kernel
from bertsmith.randomness import GAMMA, mix

CHUNK = 4096  # elements: a chunk's random bytes and values stay in the nearest cache
DRAWS = CHUNK // 8  # one draw of 64 bits decides about eight elements

ZERO_16, ZERO_32 = np.uint16(0), np.float32(0)
HALF, ONE, SHIFT_16 = np.uint32(0x7FFF), np.uint32(1), np.uint32(16)


def dropout(states: Tensor, probability: float) -> Tensor:
    """Zeroes each element with the given probability and scales the rest so that the expectation stays.

    On a CPU one random byte decides per element, so the probability becomes the nearest multiple of 1/256 from 1/256 to
    255/256 (0.1 becomes 26/256 = 0.1016) and the scale is that of the probability used. The bytes are a function of one
    key drawn from torch's default generator, computed where they are needed, again on the way back, and never stored.
    Elsewhere, and in other types than fp32 and bf16, it is torch's own dropout. Probability 0 returns the input itself.
    """
    if not probability:
        return states
    if states.device.type != "cpu" or states.dtype not in (torch.float32, torch.bfloat16):
        return F.dropout(states, probability)
    key = torch.empty(1, dtype=torch.int64)
    draw_key(key)
    return _Dropout.apply(states, key, min(255, max(1, round(256 * probability))))


@torch.library.custom_op("bertsmith::draw_key", mutates_args=("key",))
def draw_key(key: Tensor) -> None:
    """Fills an int64 tensor from torch's default CPU generator, over the full range.

    A custom operator, because a `random_()` inside a compiled region would break the graph. It changes its argument
    instead of returning a key, because the compiler merges two calls that look alike, even of an operator tagged as
    random, and every dropout of a layer would get the same mask.
    """
    key.random_(-(2**63), None)


@torch.library.custom_op("bertsmith::keep_and_scale", mutates_args=())
def keep_and_scale(states: Tensor, key: Tensor, threshold: int) -> Tensor:
    """states (fp32 or bf16) * 256 / (256 - threshold) where an element's byte is at least the threshold, else 0.

    One pass, on one thread: drawing the bytes, comparing, converting and multiplying apart takes four times as long on
    two. The product is rounded once; a scale rounded to bf16 would bias it by 0.3 %.
    """
    source = states.detach().contiguous()
    result = torch.empty_like(source)
    drop = _drop_rounded if source.dtype == torch.bfloat16 else _drop
    stream = np.uint64(int(key) % 2**64)
    drop(_flat(source), stream, np.uint8(threshold), np.float32(256 / (256 - threshold)), _flat(result))
    return result


@keep_and_scale.register_fake
def _(states: Tensor, key: Tensor, threshold: int) -> Tensor:
    return torch.empty_like(states, memory_format=torch.contiguous_format)


def _flat(tensor: Tensor) -> npt.NDArray[Any]:
    """The tensor's memory: (elements,) float32, or the bits of bf16 as uint16."""
    if tensor.dtype == torch.float32:
        return tensor.view(-1).numpy()
    return tensor.view(-1).view(torch.int16).numpy().view(np.uint16)


class _Dropout(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, states: Tensor, key: Tensor, threshold: int) -> Tensor:
        ctx.save_for_backward(key)
        ctx.threshold = threshold
        return keep_and_scale(states, key, threshold)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (key,), (gradient,) = ctx.saved_tensors, gradients
        return keep_and_scale(gradient, key, ctx.threshold), None, None


# Loops over one chunk stand in functions of their own: only so does the compiler turn each into vector instructions.


@kernel
def _drop(
    source: npt.NDArray[np.float32],
    stream: np.uint64,
    threshold: np.uint8,
    scale: np.float32,
    result: npt.NDArray[np.float32],
) -> None:
    draws = np.empty(DRAWS, dtype=np.uint64)
    for start in range(0, source.size, CHUNK):
        chunk = slice(start, start + CHUNK)
        stream = _draw(draws, stream)
        _keep(source[chunk], draws.view(np.uint8), threshold, scale, result[chunk])


@kernel
def _drop_rounded(
    source: npt.NDArray[np.uint16],
    stream: np.uint64,
    threshold: np.uint8,
    scale: np.float32,
    result: npt.NDArray[np.uint16],
) -> None:
    draws = np.empty(DRAWS, dtype=np.uint64)
    bits = np.empty(CHUNK, dtype=np.uint32)
    for start in range(0, source.size, CHUNK):
        chunk = slice(start, start + CHUNK)
        stream = _draw(draws, stream)
        _widen(source[chunk], bits)
        _scale(bits.view(np.float32), scale)
        _round(bits)
        _keep_upper(bits, draws.view(np.uint8), threshold, result[chunk])


@kernel
def _draw(draws: npt.NDArray[np.uint64], stream: np.uint64) -> np.uint64:
    """Fill a chunk's draws, `randomness.draw` of consecutive counters; returns the stream of the next chunk."""
    for i in range(draws.size):
        draws[i] = mix(stream + np.uint64(i + 1) * GAMMA)
    return stream + np.uint64(draws.size) * GAMMA


@kernel
def _keep(
    source: npt.NDArray[np.float32],
    random_bytes: npt.NDArray[np.uint8],
    threshold: np.uint8,
    scale: np.float32,
    result: npt.NDArray[np.float32],
) -> None:
    for i in range(source.size):
        result[i] = source[i] * scale if random_bytes[i] >= threshold else ZERO_32


@kernel
def _widen(source: npt.NDArray[np.uint16], bits: npt.NDArray[np.uint32]) -> None:
    """bf16 is the upper half of fp32."""
    for i in range(source.size):
        bits[i] = np.uint32(source[i]) << SHIFT_16


@kernel
def _scale(values: npt.NDArray[np.float32], scale: np.float32) -> None:
    for i in range(values.size):
        values[i] *= scale


@kernel
def _round(bits: npt.NDArray[np.uint32]) -> None:
    """To the nearest bf16, ties to even."""
    for i in range(bits.size):
        bits[i] += HALF + ((bits[i] >> SHIFT_16) & ONE)


@kernel
def _keep_upper(
    bits: npt.NDArray[np.uint32],
    random_bytes: npt.NDArray[np.uint8],
    threshold: np.uint8,
    result: npt.NDArray[np.uint16],
) -> None:
    for i in range(result.size):
        upper = np.uint16(bits[i] >> SHIFT_16)
        result[i] = upper if random_bytes[i] >= threshold else ZERO_16
