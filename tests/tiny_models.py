"""Tiny random models and batches for tests of everything that computes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from bertsmith.batch import Batch, Target, flat_batch
from bertsmith.models.config import EncoderConfig, TaskHead
from bertsmith.models.model import Model, build_model

TINY = EncoderConfig(vocab_size=97, hidden_size=32, layers=2, heads=4, intermediate_size=48, max_positions=24)
BOTH_HEADS = ("masked_lm", "pair")

ALBERT = replace(TINY, family="albert", embedding_size=12, layers=4, sharing="all", activation="gelu_tanh")
ROBERTA = replace(TINY, family="roberta", position_offset=2, token_types=1, layer_norm_eps=1e-5)
DISTILBERT = replace(TINY, family="distilbert", token_types=0)
FAMILIES: dict[str, EncoderConfig] = {
    "bert": TINY,
    "albert": ALBERT,
    "albert, groups": replace(ALBERT, groups=2, inner_groups=2),
    "albert, attention": replace(ALBERT, sharing="attention"),
    "albert, ffn in groups": replace(ALBERT, sharing="ffn", groups=2, inner_groups=2),
    "albert, none": replace(ALBERT, sharing="none"),
    "albert, wide": replace(ALBERT, embedding_size=32),
    "albert, wide and mapped": replace(ALBERT, embedding_size=32, embedding_mapping="always"),
    "roberta": ROBERTA,
    "distilbert": DISTILBERT,
}
"""One tiny config for every way in which encoders are built."""

HEADS_OF_TASKS = {
    "labels": TaskHead("sequence", ("no", "yes", "perhaps")),
    "number": TaskHead("sequence", ("score",), regression=True),
    "tags": TaskHead("tokens", ("O", "B-X", "I-X")),
    "span": TaskHead("span"),
    "choice": TaskHead("choice"),
}
"""One head for every kind of task."""


def padding_of(config: EncoderConfig) -> int:
    """The id of padding that a tokenizer for this model has."""
    return max(0, config.position_offset - 1)


def heads_of(config: EncoderConfig) -> tuple[str, ...]:
    """All heads that a model of this family may have."""
    return BOTH_HEADS if config.family != "distilbert" else BOTH_HEADS[:1]


def tiny_model(
    heads: Sequence[str] = BOTH_HEADS, config: EncoderConfig = TINY, seed: int = 0, task: TaskHead | None = None
) -> Model:
    """A model whose every weight, biases and norms too, is random and large enough to matter."""
    model = build_model(config, heads, seed, task=task)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=generator)
    return model


def gradient(tensor: Tensor) -> Tensor:
    """The gradient of a tensor that must have one."""
    assert tensor.grad is not None
    return tensor.grad


def random_batch(lengths: Sequence[int], config: EncoderConfig = TINY, seed: int = 0) -> Batch:
    """Sequences of these lengths: random ids but 0 (padding), the second half of each of type 1, targets at
    every third token and for every sequence.
    """
    generator = torch.Generator().manual_seed(seed)
    sizes = torch.tensor(lengths)
    tokens = int(sizes.sum())
    token_ids = torch.randint(1, config.vocab_size, (tokens,), generator=generator)
    type_ids = torch.cat([(torch.arange(n) >= n // 2).long() for n in lengths])
    rows = torch.arange(0, tokens, 3)
    labels = torch.randint(config.vocab_size, (len(rows),), generator=generator)
    pairs = torch.arange(len(lengths))
    targets = {"masked_lm": Target(rows, labels), "pair": Target(pairs, pairs % 2)}
    return flat_batch(token_ids, type_ids, sizes, targets)
