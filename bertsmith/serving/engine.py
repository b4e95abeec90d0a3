"""A trained model as one for inference on a CPU: the same heads on an encoder without gradients and padding."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bertsmith.batch import Batch
from bertsmith.models.encoder import Encoded, Encoder
from bertsmith.models.layers import Layer
from bertsmith.models.model import Model, skeleton
from bertsmith.serving.layers import ByteLayer, FloatLayer, Maps, Norm, Quantised, runs_of
from bertsmith.serving.linear import best_linear, quantised
from bertsmith.training.device import DTYPES, supports_bf16

Precision = Literal["fp32", "bf16", "int8"]
L = TypeVar("L")

FEW_ROWS = 256
MULTIPLES = (8, 64)  # of few rows and of many: every new number costs oneDNN a kernel of its own, made on the spot


class InferenceEncoder(Encoder):
    """The encoder of a trained model; its embeddings and its pooler stay the trained ones, in fp32.

    start: makes the first states of the embeddings. first_only: whether the last layer answers for the first token of
    each sequence alone, which is all that many heads read; the hidden states of the others are then 0.
    """

    def __init__(
        self, trained: Encoder, layers: Sequence[nn.Module], start: Callable[[Tensor], Any], first_only: bool = False
    ) -> None:
        nn.Module.__init__(self)
        self.kept_layers = ()
        self.embeddings, self.pooler = trained.embeddings, trained.pooler
        self.layers = nn.ModuleList(layers)
        self.start, self.first_only = start, first_only

    def forward(self, batch: Batch) -> Encoded:
        """As Encoder; hidden states are fp32 in every precision."""
        runs, tokens = runs_of(batch.lengths), batch.token_ids.numel()
        starts = torch.cumsum(batch.lengths, 0) - batch.lengths
        embedded = self.embeddings(batch.token_ids, batch.type_ids, batch.positions)
        states = self.start(F.pad(embedded, (0, 0, 0, _rounded(tokens) - tokens)))
        for layer in self.layers[:-1]:
            states = layer(states, runs)
        rows = F.pad(starts, (0, _rounded(len(starts)) - len(starts))) if self.first_only else None
        states = self.layers[-1](states, runs, rows)
        found = (states.values if isinstance(states, Quantised) else states).float()
        if rows is None:
            hidden_states, first = found[:tokens], found.index_select(0, starts)
        else:
            first = found[: len(starts)]
            hidden_states = found.new_zeros(tokens, found.shape[1]).index_copy_(0, starts, first)
        return Encoded(hidden_states, None if self.pooler is None else self.pooler(first).tanh())


def _rounded(rows: int) -> int:
    multiple = MULTIPLES[rows >= FEW_ROWS]
    return -(-rows // multiple) * multiple


def inference_model(model: Model, precision: Precision) -> Model:
    """A model on the CPU whose layers compute in a precision; heads and embeddings are those of the trained model."""
    return _with_encoder(model, InferenceEncoder(model.encoder, *_layers(model, precision)))


def first_tokens_only(model: Model) -> Model:
    """The same model, which saves most of its last layer, for heads that read the first token of a sequence alone.

    A model that was not made ready by `inference_model` is returned as it is.
    """
    encoder = model.encoder
    if not isinstance(encoder, InferenceEncoder):
        return model
    return _with_encoder(model, InferenceEncoder(encoder, list(encoder.layers), encoder.start, first_only=True))


def _with_encoder(model: Model, encoder: InferenceEncoder) -> Model:
    found = skeleton(model.config, (), task=model.task)
    found.encoder, found.heads, found.trained_heads = encoder, model.heads, model.trained_heads
    return found.eval()


def _layers(model: Model, precision: Precision) -> tuple[list[nn.Module], Callable[[Tensor], Any]]:
    """The layers, and what makes their first states of the embeddings. Weights that layers share stay shared."""
    trained = [layer for layer in model.encoder.layers if isinstance(layer, Layer)]
    maps = Maps(model.config.heads, model.config.activation)
    if precision == "int8":
        make_bytes = _once(quantised)
        bf16 = supports_bf16(torch.device("cpu"))
        return [ByteLayer(maps, [make_bytes(x) for x in _linears(x)], _norms(x), bf16) for x in trained], Quantised
    dtype = DTYPES[precision]
    kind = best_linear(trained[0].feed_forward.inner, dtype)
    make = _once(lambda linear: kind(linear, dtype))
    return [FloatLayer(maps, [make(x) for x in _linears(layer)], _norms(layer)) for layer in trained], (
        lambda states: states.to(dtype)
    )


def _linears(layer: Layer) -> list[nn.Linear]:
    """In the order in which they run."""
    attention, feed_forward = layer.attention, layer.feed_forward
    return [attention.qkv, attention.output, feed_forward.inner, feed_forward.output]


def _norms(layer: Layer) -> list[Norm]:
    return [Norm.of(layer.attention_norm), Norm.of(layer.feed_forward_norm)]


def _once(make: Callable[[nn.Linear], L]) -> Callable[[nn.Linear], L]:
    """The same map for the same weights."""
    made: dict[int, L] = {}

    def get(linear: nn.Linear) -> L:
        if id(linear) not in made:
            made[id(linear)] = make(linear)
        return made[id(linear)]

    return get
