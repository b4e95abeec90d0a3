"""Every family and way of sharing: one weight where layers share it, read back as written, named one to one."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from bertsmith.errors import BertsmithError, UsageError
from bertsmith.models.assembly import identity_names, places_of
from bertsmith.models.config import EncoderConfig
from bertsmith.models.folder import load_model, save_model, to_huggingface
from bertsmith.models.huggingface import remarks
from bertsmith.models.model import parameter_parts, skeleton
from tests.tiny_models import ALBERT, BOTH_HEADS, FAMILIES, ROBERTA, gradient, heads_of, padding_of, tiny_model
from tests.tiny_models import random_batch as batch_of


def saved(config: EncoderConfig, folder: Path) -> Path:
    """A folder with a random model of this shape."""
    save_model(tiny_model(heads_of(config), config), folder, pad_token_id=padding_of(config))
    return folder


@pytest.mark.parametrize("name", FAMILIES)
def test_saved_and_loaded_is_the_same(tmp_path: Path, name: str) -> None:
    config = FAMILIES[name]
    loaded = load_model(saved(config, tmp_path))
    expected = tiny_model(heads_of(config), config)
    assert loaded.config == expected.config == config.resolved()
    assert loaded.trained_heads == heads_of(config)
    found = dict(loaded.named_parameters())
    assert list(found) == [name for name, _ in expected.named_parameters()], "weights that are shared are there once"
    assert all(torch.equal(parameter, found[name]) for name, parameter in expected.named_parameters())


@pytest.mark.parametrize("name", FAMILIES)
def test_heads_may_be_absent(tmp_path: Path, name: str) -> None:
    folder = saved(FAMILIES[name], tmp_path)
    tensors = load_file(folder / "model.safetensors")
    prefix = tiny_model((), FAMILIES[name]).family.names.base_prefix
    bare = {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
    assert len(bare) < len(tensors)
    expected = load_model(folder, ())
    save_file(bare, folder / "model.safetensors")
    loaded = load_model(folder)
    assert loaded.trained_heads == ()
    found = dict(loaded.named_parameters())
    assert all(torch.equal(parameter, found[name]) for name, parameter in expected.named_parameters())


def test_layers_share_what_they_say() -> None:
    layers = tiny_model(config=replace(ALBERT, sharing="attention")).encoder.layers
    assert len({id(layer.attention) for layer in layers}) == len({id(layer.attention_norm) for layer in layers}) == 1
    assert len({id(layer.feed_forward) for layer in layers}) == len({id(layer.feed_forward_norm) for layer in layers})
    assert len({id(layer.feed_forward) for layer in layers}) == 4
    grouped = tiny_model(config=FAMILIES["albert, groups"]).encoder.layers
    places = [id(layer.feed_forward) for layer in grouped]
    assert places == [*places[:2], *places[:2], *places[4:6], *places[4:6]] and len(set(places)) == 4


def test_a_shared_weight_gets_the_gradient_of_all_its_layers() -> None:
    """The sum of what its copies get in the same net without sharing."""
    shared = tiny_model((), replace(ALBERT, sharing="all")).eval()
    apart = tiny_model((), replace(ALBERT, sharing="none")).eval()
    weights = dict(shared.named_parameters(remove_duplicate=False))
    with torch.no_grad():
        for name, parameter in apart.named_parameters():
            parameter.copy_(weights[name])
    for model in (shared, apart):
        model(batch_of((5, 9))).hidden_states.square().sum().backward()
    name = "feed_forward.inner.weight"
    copies = [gradient(apart.get_parameter(f"encoder.layers.{number}.{name}")) for number in range(4)]
    found = gradient(shared.get_parameter(f"encoder.layers.0.{name}"))
    torch.testing.assert_close(found, torch.stack(copies).sum(0), rtol=1e-4, atol=1e-4)


@settings(max_examples=25)
@given(
    st.integers(1, 5).flatmap(lambda layers: st.tuples(st.just(layers), st.integers(1, layers))),
    st.integers(1, 3),
    st.sampled_from(["none", "attention", "ffn", "all"]),
    st.sampled_from([(12, "auto"), (32, "auto"), (32, "always")]),
)
def test_names_are_a_bijection_for_every_way_of_sharing(sizes, inner, sharing, mapping) -> None:
    """Each tensor on disk is one of ours, a weight has as many as their class has of it, and none is left out."""
    (layers, groups), (width, when) = sizes, mapping
    config = replace(ALBERT, layers=layers, groups=groups, inner_groups=inner, sharing=sharing)
    config = replace(config, embedding_size=width, embedding_mapping=when).resolved()
    model = skeleton(config, BOTH_HEADS)
    on_disk = model.family.on_disk(config)
    theirs_of: dict[str, set[int]] = {}
    parameters = dict(model.named_parameters(remove_duplicate=False))
    for ours, several in places_of(model).items():
        for theirs in several:
            theirs_of.setdefault(theirs, set()).add(id(parameters[ours]))
    assert all(len(sources) == 1 for sources in theirs_of.values())
    their_layers = {name.split("albert_layer_groups.")[1].split(".")[0] for name in theirs_of if "groups" in name}
    assert their_layers == {str(group) for group in range(on_disk.groups)}
    expanded = skeleton(on_disk, BOTH_HEADS)
    wanted = {theirs for several in places_of(expanded).values() for theirs in several}
    assert wanted == {*theirs_of, *identity_names(config)}


@pytest.mark.parametrize("name", ["bert", "roberta", "distilbert"])
def test_names_are_a_bijection(name: str) -> None:
    model = skeleton(FAMILIES[name], heads_of(FAMILIES[name]))
    names = [theirs for several in places_of(model).values() for theirs in several]
    assert len(names) == len(set(names)) == len(to_huggingface(tiny_model(heads_of(model.config), model.config)))


def test_what_transformers_cannot_express_is_said() -> None:
    assert (
        remarks(ALBERT, BOTH_HEADS) == remarks(FAMILIES["bert"], BOTH_HEADS) == remarks(ROBERTA, ("masked_lm",)) == []
    )
    (sharing,) = remarks(FAMILIES["albert, attention"], BOTH_HEADS)
    assert "model.sharing = 'attention'" in sharing and "4 layers" in sharing
    (mapping,) = remarks(FAMILIES["albert, wide"], BOTH_HEADS)
    assert "without a mapping" in mapping
    (head,) = remarks(ROBERTA, BOTH_HEADS)
    assert "no roberta class with a pair head" in head


# --- what was trained by transformers ---------------------------------------------------------------------------


def change(folder: Path, tensor: str = "", **values: object) -> Path:
    """Change keys of config.json, or a tensor."""
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **values}))
    if tensor:
        tensors = load_file(folder / "model.safetensors")
        save_file({**tensors, tensor: tensors[tensor] + 1}, folder / "model.safetensors")
    return folder


LAYER_2 = "albert.encoder.albert_layer_groups.2.albert_layers.0"


@pytest.mark.parametrize(
    ("name", "tensor", "values"),
    [
        ("albert, attention", f"{LAYER_2}.attention.query.weight", {"sharing": "none"}),
        ("albert, attention", f"{LAYER_2}.attention.LayerNorm.bias", {"sharing": "none"}),
        ("albert, ffn in groups", f"{LAYER_2}.ffn.weight".replace("layers.0", "layers.1"), {"sharing": "none"}),
        ("albert, wide", "albert.encoder.embedding_hidden_mapping_in.weight", {"embedding_mapping": "always"}),
        ("albert, wide", "albert.encoder.embedding_hidden_mapping_in.bias", {"embedding_mapping": "always"}),
    ],
)
def test_copies_of_a_weight_that_went_apart_are_weights_of_their_own(
    tmp_path: Path, name: str, tensor: str, values: dict[str, Any], capsys: pytest.CaptureFixture
) -> None:
    """transformers trains what is written expanded as if its copies had nothing to do with each other."""
    folder = change(saved(FAMILIES[name], tmp_path), tensor)
    loaded = load_model(folder)
    said = capsys.readouterr().err.splitlines()
    field, value = next(iter(values.items()))
    assert len(said) == 1 and str(folder) in said[0] and f"model.{field} = {value!r}" in said[0]
    assert loaded.config == replace(FAMILIES[name], **values).resolved()
    written = to_huggingface(loaded)
    on_disk = load_file(folder / "model.safetensors")
    assert written.keys() == on_disk.keys()
    assert all(torch.equal(written[name], on_disk[name]) for name in on_disk)
    save_model(loaded, folder, pad_token_id=0)
    assert load_model(folder).config == loaded.config
    assert not capsys.readouterr().err, "once written, it is what it is"


# --- refusals ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "tensor", "values", "words"),
    [
        ("albert, attention", "", {"bertsmith": {"sharing": "most"}}, "sharing"),
        ("albert, attention", "", {"bertsmith": {"layers": 2}}, "is not what is written there"),
        ("albert, attention", "", {"bertsmith": ["sharing"]}, "is not what is written there"),
        ("albert, attention", "", {"bertsmith": {"sharing": "ffn", "groups": 5}}, "is more than model.layers = 4"),
        ("albert, attention", "", {"num_hidden_groups": 2}, "contradicts the other keys"),
        ("bert", "", {"bertsmith": {"sharing": "all"}}, "is not what is written there"),
        ("albert", "", {"num_hidden_groups": 5}, "num_hidden_groups = 5 is more than num_hidden_layers = 4"),
        ("albert", "", {"num_hidden_groups": 2}, "albert_layer_groups.1.albert_layers.0"),
        ("albert", "", {"inner_group_num": 10**9}, "inner_group_num"),
        ("albert", "", {"embedding_size": 0}, "embedding_size is 0"),
        ("albert", "", {"embedding_size": 13}, "shape (97, 12)"),
        ("roberta", "", {"pad_token_id": None}, "pad_token_id is None"),
        ("roberta", "", {"pad_token_id": -1}, "pad_token_id is -1"),
        ("roberta", "", {"pad_token_id": 50}, "max_position_embeddings = 26 leaves no position"),
        ("roberta", "", {"hidden_act": "gelu_new"}, "hidden_act is 'gelu_new'; supported: gelu"),
        ("roberta", "", {"model_type": "bert"}, "no part of a bert model"),
        ("distilbert", "", {"activation": "swish"}, "activation is 'swish'"),
        ("distilbert", "", {"dim": 33}, "n_heads = 4 does not divide dim = 33"),
    ],
)
def test_folders_that_contradict_themselves(
    tmp_path: Path, name: str, tensor: str, values: dict[str, object], words: str
) -> None:
    folder = change(saved(FAMILIES[name], tmp_path), tensor, **values)
    with pytest.raises(BertsmithError) as raised:
        load_model(folder)
    message = str(raised.value)
    assert words in message and str(folder) in message and "\n" not in message


def test_positions_that_transformers_would_count_otherwise_are_not_written(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="position_offset = 2: must be 1, as the tokenizer.s padding has the id 0"):
        save_model(tiny_model(config=ROBERTA), tmp_path, pad_token_id=0)


@pytest.mark.parametrize("model_type", ["xlm-roberta", "camembert"])
def test_layouts_of_the_same_kind(tmp_path: Path, model_type: str) -> None:
    expected = load_model(saved(ROBERTA, tmp_path))
    found = load_model(change(tmp_path, model_type=model_type))
    assert found.config == expected.config
    assert all(torch.equal(tensor, found.state_dict()[name]) for name, tensor in expected.state_dict().items())


def test_the_norm_after_a_shared_part_is_shared_with_it() -> None:
    parts = {mode: parameter_parts(skeleton(replace(ALBERT, sharing=mode), ())) for mode in ("all", "attention", "ffn")}
    norms = {mode: found["layer_norms"] - 2 * 12 for mode, found in parts.items()}
    assert norms == {"all": 2 * 2 * 32, "attention": 5 * 2 * 32, "ffn": 5 * 2 * 32}
