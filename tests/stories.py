"""Tiny random models and batches for tests of everything that computes."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from bertsmith.batch import Batch, Target, flat_batch
from bertsmith.models.config import EncoderConfig
from bertsmith.models.model import Model, build_model

TINY = EncoderConfig(vocab_size=97, hidden_size=32, layers=2, heads=4, intermediate_size=48, max_positions=24)
BOTH_HEADS = ("masked_lm", "pair")


def tiny_model(heads: Sequence[str] = BOTH_HEADS, config: EncoderConfig = TINY, seed: int = 0) -> Model:
    """A model whose every weight, biases and norms too, is random and large enough to matter."""
    model = build_model(config, heads, seed)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=generator)
    return model


def random_batch(lengths: Sequence[int], config: EncoderConfig = TINY, seed: int = 0) -> Batch:
    """Sequences of these lengths: random ids, the second half of each of type 1, every third token masked, pairs labelled."""
    generator = torch.Generator().manual_seed(seed)
    sizes = torch.tensor(lengths)
    tokens = int(sizes.sum())
    token_ids = torch.randint(config.vocab_size, (tokens,), generator=generator)
    type_ids = torch.cat([(torch.arange(n) >= n // 2).long() for n in lengths])
    rows = torch.arange(0, tokens, 3)
    labels = torch.randint(config.vocab_size, (len(rows),), generator=generator)
    pairs = torch.arange(len(lengths))
    targets = {"masked_lm": Target(rows, labels), "pair": Target(pairs, pairs % 2)}
    return flat_batch(token_ids, type_ids, sizes, targets)
