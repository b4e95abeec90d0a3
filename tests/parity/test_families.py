"""The same function as transformers' ALBERT, RoBERTa and DistilBERT on the same weights, in both directions."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from bertsmith.batch import Batch
from bertsmith.models.config import EncoderConfig
from bertsmith.models.folder import load_model, save_model
from bertsmith.models.model import Model
from tests.parity.comparing import assert_equal, flat, padded
from tests.parity.theirs import their_model
from tests.tiny_models import (
    ALBERT,
    BOTH_HEADS,
    DISTILBERT,
    FAMILIES,
    ROBERTA,
    heads_of,
    padding_of,
    random_batch,
    tiny_model,
)

GROUPED = [
    replace(ALBERT, layers=3, sharing=sharing, groups=groups, inner_groups=inner, **mapping)
    for sharing, groups, inner, mapping in product(
        ("none", "attention", "ffn", "all"),
        (1, 2),
        (1, 2),
        ({}, {"embedding_size": 32}, {"embedding_size": 32, "embedding_mapping": "always"}),
    )
]
EXTRA = {  # what a class of theirs passes over: nothing but a head that it has no name for
    "roberta": {
        f"{module}.{kind}" for module in ("roberta.pooler.dense", "pair_classifier") for kind in ("weight", "bias")
    }
}


def batch_for(config: EncoderConfig) -> Batch:
    """Sequences of unequal lengths without the id of padding."""
    batch = random_batch((3, 17, 24, 1, 9), config)
    batch.token_ids[batch.token_ids <= padding_of(config)] += 4
    return batch


def inputs(batch: Batch, config: EncoderConfig) -> dict[str, Any]:
    found = padded(batch, padding_of(config))
    return found if config.token_types > 1 else {name: found[name] for name in ("input_ids", "attention_mask")}


def assert_same(ours: Model, theirs: Any) -> None:
    """Hidden states, pooled states, scores of words and of pairs, where both have them."""
    batch = batch_for(ours.config)
    encoded, outputs = ours(batch), theirs(**inputs(batch, ours.config))
    if "last_hidden_state" in outputs:
        assert_equal(encoded.hidden_states, flat(outputs.last_hidden_state, batch))
        if "pooler_output" in outputs:
            assert_equal(encoded.pooled, outputs.pooler_output)
        return
    logits = outputs.prediction_logits if "prediction_logits" in outputs else outputs.logits
    assert_equal(ours.masked_lm(encoded.hidden_states), flat(logits, batch))
    if "sop_logits" in outputs:
        assert_equal(ours.pair(encoded.pooled), outputs.sop_logits)


# --- ours read by them ------------------------------------------------------------------------------------------


def read_by_them(config: EncoderConfig, folder: Path) -> tuple[Model, Any, dict[str, Any]]:
    ours = tiny_model(heads_of(config), config).eval()
    save_model(ours, folder, pad_token_id=padding_of(config))
    automatic = transformers.AutoModelForMaskedLM if config.family != "albert" else transformers.AutoModelForPreTraining
    theirs, info = automatic.from_pretrained(folder, output_loading_info=True)
    return ours, theirs.eval(), info


@pytest.mark.parametrize("name", [name for name in FAMILIES if name != "bert"])
def test_ours_read_by_them(tmp_path: Path, name: str) -> None:
    ours, theirs, info = read_by_them(FAMILIES[name], tmp_path)
    extra = info.pop("unexpected_keys")
    assert extra == EXTRA.get(ours.config.family, set())
    assert not any(info.values())
    assert type(theirs).__name__ in ours.family.architectures.values()
    assert_same(ours, theirs)


@pytest.mark.slow
@pytest.mark.parametrize("config", GROUPED)
def test_every_way_of_sharing_read_by_them(tmp_path: Path, config: EncoderConfig) -> None:
    ours, theirs, info = read_by_them(config, tmp_path)
    assert not any(info.values())
    assert_same(ours, theirs)
    again = load_model(tmp_path)
    assert again.config == config.resolved()
    assert all(torch.equal(tensor, again.state_dict()[name]) for name, tensor in ours.state_dict().items())


def test_the_pooler_of_a_roberta_is_read_by_their_base_class(tmp_path: Path) -> None:
    ours = tiny_model(("pair",), ROBERTA).eval()
    save_model(ours, tmp_path, pad_token_id=1)
    theirs, info = transformers.AutoModel.from_pretrained(tmp_path, output_loading_info=True)
    assert info["unexpected_keys"] == {"pair_classifier.weight", "pair_classifier.bias"} and not info["missing_keys"]
    assert_same(ours, theirs.eval())


# --- theirs read by us ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("AlbertForPreTraining", {"num_hidden_groups": 2, "inner_group_num": 2, "hidden_act": "gelu"}),
        ("AlbertForPreTraining", {"embedding_size": 32, "num_hidden_groups": 3, "layer_norm_eps": 1e-5}),
        ("AlbertForMaskedLM", {}),
        ("AlbertModel", {"inner_group_num": 2}),
        ("RobertaForMaskedLM", {"type_vocab_size": 1, "layer_norm_eps": 1e-5}),
        ("RobertaForMaskedLM", {"type_vocab_size": 2, "pad_token_id": 0, "hidden_dropout_prob": 0.2}),
        ("RobertaModel", {"type_vocab_size": 1}),
        ("XLMRobertaForMaskedLM", {"type_vocab_size": 1}),
        ("CamembertForMaskedLM", {"type_vocab_size": 1, "layer_norm_eps": 1e-5}),
        ("DistilBertForMaskedLM", {"activation": "gelu_new", "attention_dropout": 0.2}),
        ("DistilBertModel", {"activation": "relu"}),
    ],
)
def test_theirs_read_by_us_and_written_again(tmp_path: Path, name: str, changes: dict[str, Any]) -> None:
    theirs = their_model(name, **changes)
    theirs.save_pretrained(tmp_path / "theirs")
    ours = load_model(tmp_path / "theirs")
    wanted = BOTH_HEADS if "PreTraining" in name else BOTH_HEADS[:1] if "MaskedLM" in name else ()
    assert ours.trained_heads == wanted
    assert_same(ours, theirs)

    (tmp_path / "ours").mkdir()
    save_model(ours, tmp_path / "ours", pad_token_id=theirs.config.pad_token_id)
    again, info = type(theirs).from_pretrained(tmp_path / "ours", output_loading_info=True)
    assert not any(info.values())
    for (first, expected), (second, found) in zip(theirs.named_parameters(), again.named_parameters(), strict=True):
        assert first == second and torch.equal(expected, found), first


@pytest.mark.parametrize("config", [ALBERT, ROBERTA, DISTILBERT])
def test_a_missing_key_means_what_it_means_to_them(tmp_path: Path, config: EncoderConfig) -> None:
    """The defaults of config.json, a family at a time: transformers' own are what an absent key stands for."""
    from bertsmith.models.families import FAMILIES as TABLE
    from bertsmith.models.huggingface import config_from_json

    family = TABLE[config.family]
    theirs = transformers.AutoConfig.for_model(family.name)
    keys = {key: getattr(theirs, key) for key in family.settings}
    stated = config_from_json({"model_type": family.name, "pad_token_id": theirs.pad_token_id, **keys}, tmp_path)
    assert config_from_json({"model_type": family.name}, tmp_path) == stated
