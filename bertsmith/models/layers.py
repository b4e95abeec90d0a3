"""The parts of one encoder layer: self-attention, feed-forward, and their post-LayerNorm residual connections."""

from __future__ import annotations

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor, nn

from bertsmith.models.config import EncoderConfig
from bertsmith.models.dropout import dropout
from bertsmith.models.layout import Layout

AttentionFunction = Callable[[Tensor, Tensor, Tensor, Tensor | None, float], Tensor]
"""(query, key, value: (sequences, heads, longest, head size), key mask, dropout probability) -> context, same shape."""


def batched_attention(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, probability: float) -> Tensor:
    """softmax(q k^T / sqrt(head size)) v by two batched products: faster at length 128 on CPUs than the fused one."""
    scores = (query * query.shape[-1] ** -0.5) @ key.transpose(-1, -2)
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    return dropout(scores.softmax(-1), probability) @ value


def fused_attention(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, probability: float) -> Tensor:
    """The same function by torch's scaled_dot_product_attention (flash or memory-efficient kernels on GPUs)."""
    return F.scaled_dot_product_attention(query, key, value, attn_mask=mask, dropout_p=probability)


def device_attention(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, probability: float) -> Tensor:
    """The faster of the two on the tensors' device."""
    attend = fused_attention if query.is_cuda else batched_attention
    return attend(query, key, value, mask, probability)


ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu": F.gelu,
    "gelu_tanh": lambda states: F.gelu(states, approximate="tanh"),
    "relu": F.relu,
}


class SelfAttention(nn.Module):
    """Multi-head self-attention with query, key and value projected by one matrix, in this order."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.probability = config.attention_dropout
        self.qkv = nn.Linear(config.hidden_size, 3 * config.hidden_size)
        self.output = nn.Linear(config.hidden_size, config.hidden_size)

    def forward(self, hidden_states: Tensor, layout: Layout, attend: AttentionFunction) -> Tensor:
        """(tokens, hidden) -> (tokens, hidden)."""
        width = hidden_states.shape[1]
        qkv = layout.to_grid(self.qkv(hidden_states))
        qkv = qkv.view(layout.sequences, layout.longest, 3, self.heads, width // self.heads)
        query, key, value = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        probability = self.probability if self.training else 0.0
        context = attend(query, key, value, layout.mask, probability)
        context = context.transpose(1, 2).reshape(layout.sequences * layout.longest, width)
        return self.output(layout.from_grid(context))


class FeedForward(nn.Module):
    """Two linear maps with an activation between them, applied to every token."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.activation = ACTIVATIONS[config.activation]
        self.inner = nn.Linear(config.hidden_size, config.intermediate_size)
        self.output = nn.Linear(config.intermediate_size, config.hidden_size)

    def forward(self, hidden_states: Tensor) -> Tensor:
        """(tokens, hidden) -> (tokens, hidden)."""
        return self.output(self.activation(self.inner(hidden_states)))


class Layer(nn.Module):
    """One post-LayerNorm encoder layer: each part's output is dropped out, added to its input and normalised.

    It is put together from two parts that other layers may use too, each with the LayerNorm that follows it.
    """

    def __init__(
        self,
        attention: tuple[SelfAttention, nn.LayerNorm],
        feed_forward: tuple[FeedForward, nn.LayerNorm],
        probability: float,
    ) -> None:
        super().__init__()
        self.probability = probability
        self.attention, self.attention_norm = attention
        self.feed_forward, self.feed_forward_norm = feed_forward

    def forward(self, hidden_states: Tensor, layout: Layout, attend: AttentionFunction) -> Tensor:
        """(tokens, hidden) -> (tokens, hidden)."""
        probability = self.probability if self.training else 0.0
        attended = dropout(self.attention(hidden_states, layout, attend), probability)
        hidden_states = self.attention_norm(hidden_states + attended)
        transformed = dropout(self.feed_forward(hidden_states), probability)
        return self.feed_forward_norm(hidden_states + transformed)


def build_layers(config: EncoderConfig) -> list[Layer]:
    """All layers in the order in which they run. Shared parts are the same modules in every layer of a group."""
    numbers = range(config.layers * config.inner_groups)
    attention_owners = [config.owner_of("attention", number) for number in numbers]
    feed_forward_owners = [config.owner_of("ffn", number) for number in numbers]
    attentions = {owner: (SelfAttention(config), _norm(config)) for owner in dict.fromkeys(attention_owners)}
    feed_forwards = {owner: (FeedForward(config), _norm(config)) for owner in dict.fromkeys(feed_forward_owners)}
    return [
        Layer(attentions[attention_owners[number]], feed_forwards[feed_forward_owners[number]], config.dropout)
        for number in numbers
    ]


def _norm(config: EncoderConfig) -> nn.LayerNorm:
    return nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
