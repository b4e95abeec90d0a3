"""A deeper net from a shallower one: which layer starts from which, and that nothing else changes."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from bertsmith.errors import UsageError
from bertsmith.models.config import EncoderConfig
from bertsmith.models.deepening import deepen
from tests.tiny_models import ALBERT, BOTH_HEADS, FAMILIES, TINY, heads_of, random_batch, tiny_model


def sources(config: EncoderConfig, layers: int) -> dict[str, list[int]]:
    """For each part, which layer of the shallower net each layer of the deeper one starts from."""
    shallow = tiny_model(config=config)
    deep = deepen(shallow, layers)
    found: dict[str, list[int]] = {}
    for part in ("attention.qkv", "feed_forward_norm"):
        weights = [layer.get_parameter(f"{part}.weight") for layer in shallow.encoder.layers]
        found[part] = [
            next(
                number
                for number, weight in enumerate(weights)
                if torch.equal(weight, layer.get_parameter(f"{part}.weight"))
            )
            for layer in deep.encoder.layers
        ]
    return found


def test_layers_of_their_own_are_stacked() -> None:
    stacked = [0, 1, 2, 0, 1, 2, 0]
    assert sources(replace(TINY, layers=3), 7) == {"attention.qkv": stacked, "feed_forward_norm": stacked}


def test_what_is_shared_is_copied_and_the_rest_stacked() -> None:
    found = sources(replace(ALBERT, sharing="attention", layers=3), 6)
    assert found == {"attention.qkv": [0] * 6, "feed_forward_norm": [0, 1, 2, 0, 1, 2]}


def test_groups_start_from_groups() -> None:
    found = sources(FAMILIES["albert, groups"], 6)  # twice two inner layers per group, then three times
    groups = [0, 1] * 3 + [4, 5] * 3
    assert found == {"attention.qkv": groups, "feed_forward_norm": groups}


def test_all_shared_is_a_plain_copy() -> None:
    shallow = tiny_model(config=replace(ALBERT, layers=1))
    deep = deepen(shallow, 3)
    weights = dict(shallow.named_parameters())
    assert all(torch.equal(parameter, weights[name]) for name, parameter in deep.named_parameters())
    assert len(deep.encoder.layers) == deep.config.layers == 3


@pytest.mark.parametrize("name", FAMILIES)
def test_as_deep_as_before_is_the_same_function(name: str) -> None:
    config = FAMILIES[name]
    model = tiny_model(heads_of(config), config).eval()
    same = deepen(model, config.layers)
    batch = random_batch((7, 5))
    assert not same.training
    assert torch.equal(model(batch).hidden_states, same(batch).hidden_states)
    assert tuple(same.heads) == tuple(model.heads)


def test_not_shallower() -> None:
    with pytest.raises(UsageError, match="model.layers = 1: a model with 2 layers cannot start one with fewer"):
        deepen(tiny_model(BOTH_HEADS, TINY), 1)
