"""Encoder layers for inference on a CPU: the function of models.layers without gradients, dropout and padding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bertsmith.models.layers import ACTIVATIONS
from bertsmith.serving import kernels
from bertsmith.serving.linear import ByteLinear, Linear
from bertsmith.serving.rows import by_rows, memory_of


class Run(NamedTuple):
    """Neighbouring sequences of equal length: the row of their first token, how many there are, their length."""

    start: int
    sequences: int
    length: int


def runs_of(lengths: Tensor) -> list[Run]:
    """The runs of sequences (sequences,) laid end to end."""
    found, start = [], 0
    for length, sequences in zip(
        *(part.tolist() for part in lengths.unique_consecutive(return_counts=True)), strict=True
    ):
        found.append(Run(start, sequences, length))
        start += sequences * length
    return found


def attend(qkv: Tensor, runs: Sequence[Run], heads: int) -> Tensor:
    """Self-attention within each sequence, without padding: (rows, 3 hidden) -> (rows, hidden).

    Rows behind the last sequence become 0.
    """
    width = qkv.shape[1] // 3
    context = qkv.new_empty(len(qkv), width)
    for run in runs:
        rows = slice(run.start, run.start + run.sequences * run.length)
        parts = qkv[rows].view(run.sequences, run.length, 3, heads, width // heads)
        query, key, value = parts.permute(2, 0, 3, 1, 4).unbind(0)
        found = F.scaled_dot_product_attention(query, key, value).transpose(1, 2)
        context[rows].view(found.shape).copy_(found)
    context[runs[-1].start + runs[-1].sequences * runs[-1].length :] = 0
    return context


class Norm(NamedTuple):
    """LayerNorm's weight and bias (hidden,) float32."""

    weight: Tensor
    bias: Tensor
    epsilon: float

    @classmethod
    def of(cls, norm: nn.LayerNorm) -> Norm:
        """That of a trained model."""
        return cls(norm.weight.detach().float(), norm.bias.detach().float(), norm.eps)


class Maps(NamedTuple):
    """What the layers of an encoder have in common, and what each is made of."""

    heads: int
    activation: str


class FloatLayer(nn.Module):
    """One layer in fp32 or bf16; in bf16 what lies between the products is computed in fp32, one row at a time."""

    def __init__(self, maps: Maps, linears: Sequence[Linear], norms: Sequence[Norm]) -> None:
        super().__init__()
        self.heads, self.activation = maps
        self.qkv, self.context, self.inner, self.outer = linears
        self.norms = norms

    def forward(self, states: Tensor, runs: Sequence[Run], rows: Tensor | None = None) -> Tensor:
        """(rows, hidden) -> (rows, hidden), in place; only those of `rows` where these are given."""
        context = attend(self.qkv(states), runs, self.heads)
        if rows is not None:
            states, context = states[rows], context[rows]
        states = add_norm(states, self.context(context), self.norms[0])
        return add_norm(states, self.outer(activate(self.inner(states), self.activation)), self.norms[1])


def add_norm(states: Tensor, added: Tensor, norm: Norm) -> Tensor:
    """LayerNorm(states + added), in place where it can be."""
    if states.dtype != torch.bfloat16:
        return F.layer_norm(states.add_(added), (states.shape[1],), norm.weight, norm.bias, norm.epsilon)
    matrices = memory_of(states), memory_of(added)
    by_rows(kernels.add_norm_rounded, matrices, *_arrays(norm))
    return states


def activate(states: Tensor, activation: str) -> Tensor:
    """The activation, in place where it can be."""
    if states.dtype != torch.bfloat16 or activation not in kernels.POLYNOMIALS:
        return ACTIVATIONS[activation](states)
    by_rows(kernels.activate_rounded, [memory_of(states)], kernels.POLYNOMIALS[activation])
    return states


class ByteLayer(nn.Module):
    """One layer whose linear maps multiply bytes: states in fp32, products and attention in bf16.

    Every token is quantised by itself (kernels). bf16_attention: whether the processor knows bf16.
    """

    def __init__(self, maps: Maps, linears: Sequence[ByteLinear], norms: Sequence[Norm], bf16_attention: bool) -> None:
        super().__init__()
        self.heads, self.activation = maps
        self.qkv, self.context, self.inner, self.outer = linears
        self.norms, self.attention_dtype = norms, torch.bfloat16 if bf16_attention else torch.float32

    def forward(self, states: Quantised, runs: Sequence[Run], rows: Tensor | None = None) -> Quantised:
        """The same states, in place; only those of `rows` where these are given."""
        qkv = self.qkv(states.bytes)
        by_rows(kernels.rescale, [memory_of(qkv), states.scales], memory_of(self.qkv.bias))
        context = attend(qkv.to(self.attention_dtype), runs, self.heads).bfloat16()
        if rows is not None:
            states, context = Quantised(states.values[rows]), context[rows]
        by_rows(kernels.quantise_rounded, [memory_of(context), states.memory, states.scales])
        self._add_norm(states, self.context, states.bytes, self.norms[0])
        self._add_norm(states, self.outer, self._activated(states), self.norms[1])
        return states

    def _activated(self, states: Quantised) -> Tensor:
        product = self.inner(states.bytes)
        found = torch.empty(product.shape, dtype=torch.uint8)
        if self.activation in kernels.POLYNOMIALS:
            matrices = memory_of(product), states.scales, memory_of(found)
            polynomial = kernels.POLYNOMIALS[self.activation]
            by_rows(kernels.activate_quantise, matrices, memory_of(self.inner.bias), polynomial)
        else:
            by_rows(kernels.rescale, [memory_of(product), states.scales], memory_of(self.inner.bias))
            activated = ACTIVATIONS[self.activation](product)
            by_rows(kernels.quantise_rounded, [memory_of(activated), memory_of(found), states.scales])
        return found

    def _add_norm(self, states: Quantised, linear: ByteLinear, inputs: Tensor, norm: Norm) -> None:
        matrices = memory_of(states.values), memory_of(linear(inputs)), states.scales, states.memory
        by_rows(kernels.add_norm_quantise, matrices, memory_of(linear.bias), *_arrays(norm))


class Quantised:
    """States (rows, hidden) float32, the same as bytes, and the scale of each row of bytes."""

    def __init__(self, values: Tensor) -> None:
        self.values = values
        self.bytes = torch.empty(values.shape, dtype=torch.uint8)
        self.memory, self.scales = memory_of(self.bytes), np.empty(len(values), dtype=np.float32)
        by_rows(kernels.quantise, [memory_of(values), self.memory, self.scales])


def _arrays(norm: Norm) -> tuple[object, ...]:
    return memory_of(norm.weight), memory_of(norm.bias), np.float32(norm.epsilon)
