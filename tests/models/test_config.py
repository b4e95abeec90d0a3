"""Shapes, limits, and the parameter counts of the published models."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bertsmith.errors import UsageError
from bertsmith.models.config import EncoderConfig
from bertsmith.models.model import count_parameters, parameter_parts, skeleton

LARGE = EncoderConfig(hidden_size=1024, layers=24, heads=16)
XLARGE = EncoderConfig(hidden_size=2048, layers=24, heads=32)

PUBLISHED = [  # encoder with pooler, masked LM, masked LM and pair
    (EncoderConfig(vocab_size=30522), (109_482_240, 109_514_298, 110_106_428)),
    (EncoderConfig(vocab_size=28996), (108_310_272, 108_340_804, 108_932_934)),
    (EncoderConfig(vocab_size=21128), (102_267_648, 102_290_312, 102_882_442)),
    (replace(LARGE, vocab_size=30522), (335_141_888, 335_174_458, 336_226_108)),
    (replace(LARGE, vocab_size=21128), (325_522_432, 325_545_608, 326_597_258)),
    (replace(XLARGE, vocab_size=30522), (1_276_360_704, 1_276_395_322, 1_280_595_772)),
]
SMALL = {  # layers, width -> encoder with pooler
    (2, 128): 4_385_920,
    (4, 256): 11_170_560,
    (4, 512): 28_763_648,
    (8, 512): 41_373_184,
}


@pytest.mark.parametrize(("config", "counts"), PUBLISHED)
def test_parameter_counts_are_the_published_ones(config: EncoderConfig, counts: tuple[int, int, int]) -> None:
    masked_lm = count_parameters(config, ("masked_lm",))
    both = count_parameters(config, ("masked_lm", "pair"))
    assert (masked_lm["encoder"], masked_lm["total"], both["total"]) == counts
    assert both["encoder"] == counts[0]


@pytest.mark.parametrize(("layers", "width"), SMALL)
def test_parameter_counts_of_the_small_models(layers: int, width: int) -> None:
    config = EncoderConfig(layers=layers, hidden_size=width, heads=width // 64)
    assert count_parameters(config, ())["encoder"] == SMALL[layers, width]


def test_shares_of_bert_base_by_part() -> None:
    model = skeleton(EncoderConfig(), (), pooler=True)
    parts = parameter_parts(model)
    total = sum(parts.values())
    assert total == sum(parameter.numel() for parameter in model.parameters())
    embeddings = parts["word_embeddings"] + parts["position_embeddings"] + parts["type_embeddings"]
    assert round(100 * embeddings / total, 1) == 21.8
    assert round(100 * parts["attention"] / total, 1) == 25.9
    assert round(100 * parts["feed_forward"] / total, 1) == 51.8
    assert set(parts) - {"layer_norms", "pooler"} == {
        "word_embeddings", "position_embeddings", "type_embeddings", "attention", "feed_forward",
    }  # fmt: skip


def test_the_estimate_is_close_below_the_true_count() -> None:
    for config, (encoder, *_) in PUBLISHED:
        assert 0.97 * encoder < config.estimate_parameters() <= encoder


def test_feed_forward_is_four_times_the_width_unless_given() -> None:
    assert EncoderConfig(hidden_size=256).resolved().intermediate_size == 1024
    assert EncoderConfig(hidden_size=256, intermediate_size=100).resolved().intermediate_size == 100


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (EncoderConfig(heads=7), "model.heads = 7 does not divide model.hidden_size = 768"),
        (EncoderConfig(hidden_size=1 << 16, heads=1, layers=1000), "more than the limit"),
        (EncoderConfig(family="brat"), "model.family = 'brat' is not one of bert"),
    ],
)
def test_contradictions_are_one_line(config: EncoderConfig, message: str) -> None:
    with pytest.raises(UsageError, match=message) as raised:
        skeleton(config, ())
    assert "\n" not in str(raised.value)


def test_unknown_head_is_one_line() -> None:
    with pytest.raises(UsageError, match="head 'span' is not one of masked_lm, pair"):
        skeleton(EncoderConfig(), ("span",))
