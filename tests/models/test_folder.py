"""Model folders: written and read back exactly, older spellings read by name, all else refused in one line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from bertsmith.errors import BertsmithError, UsageError
from bertsmith.models.folder import load_model, save_model
from tests.tiny_models import BOTH_HEADS, tiny_model

Tensors = dict[str, Tensor]
WORDS, MLM_BIAS = "bert.embeddings.word_embeddings.weight", "cls.predictions.bias"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "model"
    path.mkdir()
    save_model(tiny_model(), path, pad_token_id=0)
    return path


def change_weights(folder: Path, change: Callable[[Tensors], object]) -> None:
    """Apply a change to the tensors on disk."""
    path = folder / "model.safetensors"
    tensors = {name: tensor.clone() for name, tensor in load_file(path).items()}
    change(tensors)
    save_file({name: tensor.clone().contiguous() for name, tensor in tensors.items()}, path)


def change_config(folder: Path, **values: object) -> None:
    """Set keys of config.json."""
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def refusal(folder: Path, kind: type[BertsmithError] = BertsmithError, heads: tuple[str, ...] | None = None) -> str:
    """The one line with which the folder is refused; it names the folder."""
    with pytest.raises(kind) as raised:
        load_model(folder, heads)
    assert type(raised.value) is kind
    message = str(raised.value)
    assert "\n" not in message and str(folder) in message and len(message) < 400 + len(str(folder))
    return message


@pytest.mark.parametrize("heads", [BOTH_HEADS, ("masked_lm",), ("pair",), ()])
def test_saved_and_loaded_is_the_same(tmp_path: Path, heads: tuple[str, ...]) -> None:
    model = tiny_model(heads)
    save_model(model, tmp_path, pad_token_id=0)
    loaded = load_model(tmp_path)
    assert loaded.config == model.config
    assert loaded.trained_heads == heads
    assert not loaded.training
    expected = model.state_dict()
    assert list(loaded.state_dict()) == list(expected)
    assert all(torch.equal(tensor, expected[name]) for name, tensor in loaded.state_dict().items())


def test_saved_twice_is_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        save_model(tiny_model(), tmp_path / name, pad_token_id=0)
    for name in ("config.json", "model.safetensors"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_bf16_models_are_saved_in_fp32(tmp_path: Path) -> None:
    save_model(tiny_model().to(torch.bfloat16), tmp_path, pad_token_id=0)
    assert {tensor.dtype for tensor in load_file(tmp_path / "model.safetensors").values()} == {torch.float32}


def test_only_the_heads_asked_for(folder: Path) -> None:
    model = load_model(folder, ("masked_lm",))
    assert model.trained_heads == tuple(model.heads) == ("masked_lm",)
    assert model.encoder.pooler is None
    assert load_model(folder, ()).trained_heads == ()


def test_a_head_that_is_not_there(folder: Path) -> None:
    change_weights(folder, lambda tensors: [tensors.pop(name) for name in list(tensors) if "seq_relationship" in name])
    assert "has no pair head (it has masked_lm)" in refusal(folder, UsageError, heads=("pair",))
    model = load_model(folder)
    assert model.trained_heads == ("masked_lm",)
    assert model.encoder.pooler is not None, "the pooler is there, so it comes along"


# --- the exceptions from strict names ---------------------------------------------------------------------------


def rename(old: str, new: str) -> Callable[[Tensors], None]:
    def change(tensors: Tensors) -> None:
        for name in list(tensors):
            if old in name:
                tensors[name.replace(old, new)] = tensors.pop(name)

    return change


def drop_prefix(tensors: Tensors) -> None:
    rename("bert.", "")(tensors)
    for name in [name for name in tensors if name.startswith("cls.")]:
        tensors.pop(name)


@pytest.mark.parametrize(
    "change",
    [
        rename("LayerNorm.weight", "LayerNorm.gamma"),
        rename("LayerNorm.bias", "LayerNorm.beta"),
        lambda tensors: tensors.update({"bert.embeddings.position_ids": torch.arange(24)[None]}),
        lambda tensors: tensors.update({"cls.predictions.decoder.weight": tensors[WORDS]}),
        lambda tensors: tensors.update({"cls.predictions.decoder.bias": tensors[MLM_BIAS]}),
        rename(MLM_BIAS, "cls.predictions.decoder.bias"),
        rename(WORDS, "cls.predictions.decoder.weight"),
    ],
    ids=["gamma", "beta", "position_ids", "decoder.weight", "decoder.bias", "decoder.bias only", "decoder.weight only"],
)
def test_older_spellings(folder: Path, change: Callable[[Tensors], object]) -> None:
    expected = load_model(folder).state_dict()
    change_weights(folder, change)
    found = load_model(folder).state_dict()
    assert list(found) == list(expected)
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_a_base_class_without_prefix(folder: Path) -> None:
    expected = load_model(folder).state_dict()
    change_weights(folder, drop_prefix)
    model = load_model(folder)
    assert model.trained_heads == () and model.encoder.pooler is not None
    assert all(torch.equal(tensor, expected[name]) for name, tensor in model.state_dict().items())


def test_a_missing_pooler(folder: Path) -> None:
    def change(tensors: Tensors) -> None:
        for name in [name for name in tensors if "pooler" in name or "seq_relationship" in name]:
            tensors.pop(name)

    change_weights(folder, change)
    model = load_model(folder)
    assert model.trained_heads == ("masked_lm",) and model.encoder.pooler is None


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_float_types_become_fp32(folder: Path, dtype: torch.dtype) -> None:
    change_weights(folder, lambda tensors: tensors.update({name: t.to(dtype) for name, t in tensors.items()}))
    assert {parameter.dtype for parameter in load_model(folder).parameters()} == {torch.float32}


# --- weights that are refused -----------------------------------------------------------------------------------


def replace(name: str, make: Callable[[Tensor], Tensor]) -> Callable[[Tensors], None]:
    return lambda tensors: tensors.update({name: make(tensors[name])})


def poison(value: float) -> Callable[[Tensor], Tensor]:
    def change(tensor: Tensor) -> Tensor:
        tensor.view(-1)[-1] = value
        return tensor

    return change


QUERY = "bert.encoder.layer.1.attention.self.query.weight"
INNER = "bert.encoder.layer.0.intermediate.dense.weight"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda tensors: tensors.pop(QUERY), [QUERY, "is missing"]),
        (lambda tensors: tensors.pop("cls.predictions.transform.dense.bias"), ["transform.dense.bias", "is missing"]),
        (lambda tensors: tensors.pop("bert.pooler.dense.weight"), ["pooler.dense.weight", "is missing"]),
        (lambda tensors: [tensors.pop(n) for n in list(tensors) if ".layer.1." in n], ["layer.1", "is missing"]),
        (lambda tensors: [tensors.pop(n) for n in list(tensors)], ["is missing"]),
        (lambda tensors: tensors.update(extra=torch.zeros(2)), ["extra", "no part of a bert model"]),
        (rename("layer.1.", "layer.2."), ["layer.2.", "no part of a bert model with 2 layers"]),
        (rename("bert.", "roberta."), ["roberta.", "no part"]),
        (rename("bert.", "module.bert."), ["module.bert.", "no part"]),
        (replace(INNER, lambda tensor: tensor.t()), [INNER, "(32, 48)", "(48, 32)"]),
        (replace(WORDS, lambda tensor: tensor[:-1]), [WORDS, "(96, 32)", "(97, 32)"]),
        (replace(QUERY, lambda tensor: tensor[None]), [QUERY, "(1, 32, 32)"]),
        (replace(QUERY, lambda tensor: tensor.to(torch.int32)), [QUERY, "I32"]),
        (replace(QUERY, poison(float("nan"))), [QUERY, "not finite"]),
        (replace(MLM_BIAS, poison(float("-inf"))), [MLM_BIAS, "not finite"]),
        (
            lambda tensors: tensors.update({"cls.predictions.decoder.weight": tensors[WORDS] + 1}),
            ["decoder.weight differs from", WORDS],
        ),
        (
            lambda tensors: tensors.update({"bert.embeddings.LayerNorm.gamma": torch.ones(32)}),
            ["LayerNorm", "are the same weight"],
        ),
    ],
)
def test_weights_that_do_not_fit(folder: Path, change: Callable[[Tensors], object], words: list[str]) -> None:
    change_weights(folder, change)
    message = refusal(folder)
    assert all(word in message for word in words), message


def test_every_single_missing_or_misshapen_tensor_is_refused(folder: Path) -> None:
    original = (folder / "model.safetensors").read_bytes()
    names = list(load_file(folder / "model.safetensors"))
    assert len(names) > 40
    for name in names:
        change_weights(folder, lambda tensors, name=name: tensors.pop(name))
        assert name in refusal(folder)
        (folder / "model.safetensors").write_bytes(original)
        change_weights(folder, replace(name, lambda tensor: torch.cat([tensor, tensor])))
        assert name in refusal(folder)
        (folder / "model.safetensors").write_bytes(original)
    load_model(folder)


# --- configs that are refused -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("hidden_size", 10**9), ("hidden_size", 0), ("hidden_size", -1), ("hidden_size", 1.5), ("hidden_size", "768"),
        ("hidden_size", True), ("hidden_size", None), ("hidden_size", [32]), ("hidden_size", 33),
        ("num_hidden_layers", 200_000), ("num_hidden_layers", 0), ("num_hidden_layers", 10**400),
        ("num_attention_heads", 5), ("num_attention_heads", 0), ("num_attention_heads", -4),
        ("intermediate_size", 0), ("intermediate_size", 10**12), ("vocab_size", 10**9), ("vocab_size", 0),
        ("vocab_size", 98), ("vocab_size", 96), ("max_position_embeddings", 10**9), ("max_position_embeddings", 12),
        ("type_vocab_size", 0), ("type_vocab_size", 3), ("layer_norm_eps", 0), ("layer_norm_eps", -1e-12),
        ("layer_norm_eps", 1e400), ("hidden_dropout_prob", 1.0), ("hidden_dropout_prob", -0.1),
        ("attention_probs_dropout_prob", "0.1"), ("hidden_act", "swish"), ("hidden_act", ["gelu"]),
        ("hidden_act", None), ("model_type", "gpt2"), ("model_type", ["bert"]), ("is_decoder", True),
        ("tie_word_embeddings", False), ("position_embedding_type", "relative_key"),
        ("add_cross_attention", True), ("initializer_range", 0),
    ],
)  # fmt: skip
def test_configs_that_do_not_fit(folder: Path, key: str, value: object) -> None:
    change_config(folder, **{key: value})
    refusal(folder)


def test_a_model_larger_than_any_is_refused_before_anything_is_built(folder: Path) -> None:
    change_config(folder, hidden_size=65536, num_attention_heads=64, num_hidden_layers=1000)
    assert "more than the limit" in refusal(folder)


def test_heads_that_do_not_divide_are_named_as_in_the_file(folder: Path) -> None:
    change_config(folder, num_attention_heads=5)
    assert "num_attention_heads = 5 does not divide hidden_size = 32" in refusal(folder)


def test_a_number_too_large_for_a_float(folder: Path) -> None:
    path = folder / "config.json"
    path.write_text(path.read_text().replace('"layer_norm_eps": 1e-12', '"layer_norm_eps": 1e400'))
    assert "layer_norm_eps" in refusal(folder)


def test_missing_keys_have_the_published_values(folder: Path) -> None:
    path = folder / "config.json"
    values = json.loads(path.read_text())
    expected = load_model(folder).config
    for key in ("layer_norm_eps", "hidden_dropout_prob", "type_vocab_size", "initializer_range"):
        values.pop(key)
    path.write_text(json.dumps({**values, "classifier_dropout": None, "pooler_type": "first_token_transform"}))
    assert load_model(folder).config == expected


# --- folders that are refused -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ((), "holds no model (config.json is missing)"),
        (("config.json",), "holds no weights (model.safetensors is missing)"),
        (("config.json", "pytorch_model.bin"), "its weights are in pytorch_model.bin"),
        (("config.json", "model.safetensors.index.json", "model-00001-of-00002.safetensors"), "split over several"),
    ],
)
def test_folders_without_the_one_file(tmp_path: Path, names: tuple[str, ...], words: str) -> None:
    for name in names:
        (tmp_path / name).write_text("{}")
    assert words in refusal(tmp_path, UsageError)


def test_no_folder_at_all(tmp_path: Path) -> None:
    assert "no such folder" in refusal(tmp_path / "nowhere", UsageError)
    (tmp_path / "file").write_text("")
    assert "no such folder" in refusal(tmp_path / "file", UsageError)
