"""Shapes, limits, and the parameter counts of the published models."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bertsmith.errors import UsageError
from bertsmith.models.config import EncoderConfig, Sharing
from bertsmith.models.model import count_parameters, parameter_parts, skeleton

ALBERT = EncoderConfig(family="albert", vocab_size=30000, embedding_size=128, sharing="all", activation="gelu_tanh")
ROBERTA = EncoderConfig(family="roberta", vocab_size=50265, position_offset=2, token_types=1, layer_norm_eps=1e-5)
DISTILBERT = EncoderConfig(family="distilbert", layers=6, token_types=0)
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
PUBLISHED_ALBERT = [  # layers, width -> base class, masked LM, masked LM and pair
    (12, 768, (11_683_584, 11_221_680, 11_813_810)),
    (24, 1024, (17_683_968, 16_795_824, 17_847_474)),
    (24, 2048, (58_724_864, 54_821_040, 59_021_490)),
    (12, 4096, (222_595_584, 206_368_944, 223_158_450)),
]
GRID = {  # embedding size -> encoder with pooler where all, attention, ffn, nothing is shared
    64: (9_681_408, 61_645_056, 35_684_352, 87_648_000),
    128: (11_683_584, 63_647_232, 37_686_528, 89_650_176),
    256: (15_687_936, 67_651_584, 41_690_880, 93_654_528),
    768: (31_114_752, 83_078_400, 57_117_696, 109_081_344),
}
MODES: tuple[Sharing, ...] = ("all", "attention", "ffn", "none")
OTHERS = [  # base class, masked LM
    (ROBERTA, (124_645_632, 124_697_433)),
    (replace(ROBERTA, hidden_size=1024, layers=24, heads=16), (355_359_744, 355_412_057)),
    (replace(ROBERTA, layers=6), (82_118_400, 82_170_201)),  # distilroberta has RoBERTa's layout
    (DISTILBERT, (66_362_880, 66_985_530)),
    (replace(DISTILBERT, vocab_size=28996), (65_190_912, 65_812_036)),
    (replace(DISTILBERT, vocab_size=119547), (134_734_080, 135_445_755)),
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


@pytest.mark.parametrize(("layers", "width", "counts"), PUBLISHED_ALBERT)
def test_parameter_counts_of_albert(layers: int, width: int, counts: tuple[int, int, int]) -> None:
    config = replace(ALBERT, layers=layers, hidden_size=width, heads=width // 64)
    masked_lm = count_parameters(config, ("masked_lm",))
    both = count_parameters(config, ("masked_lm", "pair"))
    assert (masked_lm["encoder"], masked_lm["total"], both["total"]) == counts


@pytest.mark.parametrize("embedding_size", GRID)
def test_the_grid_of_sharing_and_embedding_size(embedding_size: int) -> None:
    configs = [replace(ALBERT, embedding_size=embedding_size, sharing=mode) for mode in MODES]
    counted = tuple(count_parameters(config, ())["encoder"] for config in configs)
    assert counted == GRID[embedding_size]
    for config, count in zip(configs, counted, strict=True):
        assert 0.93 * count < config.estimate_parameters() <= count  # type: ignore[operator]  # without the pooler


def test_a_mapping_of_equal_widths_is_an_option() -> None:
    config = replace(ALBERT, embedding_size=768)
    without, mapped = (
        count_parameters(replace(config, embedding_mapping=mapping), ()) for mapping in ("auto", "always")
    )
    assert mapped["encoder"] == without["encoder"] + 590_592  # type: ignore[operator]
    assert mapped["parts"]["embedding_mapping"] == 590_592  # type: ignore[index]
    assert "embedding_mapping" not in without["parts"]  # type: ignore[operator]


@pytest.mark.parametrize(("config", "counts"), OTHERS)
def test_parameter_counts_of_roberta_and_distilbert(config: EncoderConfig, counts: tuple[int, int]) -> None:
    found = count_parameters(config, ("masked_lm",))
    assert (found["encoder"], found["total"]) == counts


def test_parts_of_albert_base() -> None:
    parts = parameter_parts(skeleton(ALBERT, ("masked_lm",)))
    assert parts == {
        "word_embeddings": 30000 * 128,
        "position_embeddings": 512 * 128,
        "type_embeddings": 2 * 128,
        "embedding_mapping": 128 * 768 + 768,
        "layer_norms": 2 * 128 + 2 * 2 * 768,
        "attention": 4 * (768 * 768 + 768),
        "feed_forward": 2 * 768 * 3072 + 3072 + 768,
        "masked_lm_head": 768 * 128 + 128 + 2 * 128 + 30000,
    }


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
        (replace(ALBERT, groups=13), "model.groups = 13 is more than model.layers = 12"),
        (replace(ALBERT, inner_groups=100), "makes more than the limit of 1024 layers"),
        (replace(ALBERT, sharing="ffn", hidden_size=1 << 14, heads=64, layers=100), "more than the limit"),
        (EncoderConfig(sharing="all"), "model.sharing = 'all': with model.family = 'bert' it is 'none'"),
        (EncoderConfig(embedding_size=128), "model.embedding_size = 128: with model.family = 'bert' it is 768"),
        (replace(ROBERTA, activation="relu"), "model.activation = 'relu': with model.family = 'roberta' it is gelu"),
        (replace(DISTILBERT, token_types=2), "model.token_types = 2: with model.family = 'distilbert' it is 0"),
    ],
)
def test_contradictions_are_one_line(config: EncoderConfig, message: str) -> None:
    with pytest.raises(UsageError, match=message) as raised:
        skeleton(config, ())
    assert "\n" not in str(raised.value)


def test_a_family_without_the_head() -> None:
    with pytest.raises(UsageError, match="head 'pair': with model.family = 'distilbert' there is none"):
        skeleton(DISTILBERT, ("pair",))


def test_unknown_head_is_one_line() -> None:
    with pytest.raises(UsageError, match="head 'span' is not one of masked_lm, pair"):
        skeleton(EncoderConfig(), ("span",))
