"""pytorch_model.bin: read as a table of tensors or refused in one line, and nothing in it ever runs."""

from __future__ import annotations

import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from bertsmith.errors import BertsmithError, UsageError
from bertsmith.models.folder import save_model, to_huggingface
from bertsmith.models.importing import load_published
from bertsmith.pipeline import import_model
from bertsmith.tokenizers.tokenizer import Tokenizer
from tests.tiny_models import FAMILIES, TINY, heads_of, padding_of, tiny_model

Tensors = dict[str, Tensor]
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefghijklmnopqrstuvwxyz"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A published folder: config.json and vocab.txt, without weights yet."""
    path = tmp_path / "published"
    path.mkdir()
    save_model(tiny_model(), path, pad_token_id=0)
    (path / "model.safetensors").unlink()
    (path / "vocab.txt").write_text("\n".join(VOCABULARY) + "\n")
    return path


def write(folder: Path, values: Any, legacy: bool = False) -> Path:
    torch.save(values, folder / "pytorch_model.bin", _use_new_zipfile_serialization=not legacy)
    return folder / "pytorch_model.bin"


def refusal(folder: Path) -> str:
    with pytest.raises(BertsmithError) as raised:
        load_published(folder)
    message = str(raised.value)
    assert "\n" not in message and "pytorch_model.bin" in message and len(message) < 300 + len(str(folder))
    assert "weights_only" not in message, "no advice on how to run the file nevertheless"
    return message


@pytest.mark.parametrize("legacy", [False, True])
def test_both_formats_are_read(folder: Path, legacy: bool) -> None:
    write(folder, to_huggingface(tiny_model()), legacy)
    expected = tiny_model().state_dict()
    found = load_published(folder)
    assert found.trained_heads == ("masked_lm", "pair") and not found.training
    assert all(torch.equal(tensor, expected[name]) for name, tensor in found.state_dict().items())


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_is_read(folder: Path, name: str) -> None:
    config = FAMILIES[name]
    model = tiny_model(heads_of(config), config)
    save_model(model, folder, pad_token_id=padding_of(config))
    (folder / "model.safetensors").unlink()
    write(folder, to_huggingface(model))
    expected = model.state_dict()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in load_published(folder).state_dict().items())


def test_old_names_and_extra_buffers(folder: Path) -> None:
    tensors = {
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): tensor.half()
        for name, tensor in to_huggingface(tiny_model()).items()
    }
    tensors["bert.embeddings.position_ids"] = torch.arange(24)[None]
    tensors["cls.predictions.decoder.weight"] = tensors["bert.embeddings.word_embeddings.weight"]
    write(folder, tensors, legacy=True)
    expected = tiny_model().state_dict()
    assert all(torch.equal(t, expected[n].half().float()) for n, t in load_published(folder).state_dict().items())


def test_the_folder_written_is_a_whole_model(folder: Path, tmp_path: Path) -> None:
    write(folder, to_huggingface(tiny_model()))
    result = import_model(folder, tmp_path / "model")
    assert result == {
        "model": str(tmp_path / "model"),
        "family": "bert",
        "parameters": sum(parameter.numel() for parameter in tiny_model().parameters()),
        "heads": ["masked_lm", "pair"],
    }
    assert (tmp_path / "model" / "manifest.json").is_file()
    assert Tokenizer.load(tmp_path / "model").tokens == VOCABULARY
    assert load_published(tmp_path / "model").config == TINY.resolved(), "safetensors are read as they are"


# --- refusals ---------------------------------------------------------------------------------------------------


class Payload:
    """Makes a folder when a careless reader unpickles it."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return (os.mkdir, (str(self.target),))


@pytest.mark.parametrize("kind", ["archive", "legacy", "pickle", "alone"])
def test_hostile_pickles_run_nothing(folder: Path, tmp_path: Path, kind: str) -> None:
    payload = Payload(tmp_path / "owned")
    values = {**to_huggingface(tiny_model()), "extra": payload}
    if kind == "pickle":
        (folder / "pytorch_model.bin").write_bytes(pickle.dumps(payload, protocol=2))
    elif kind == "alone":
        write(folder, payload)
    else:
        write(folder, values, legacy=kind == "legacy")
    message = refusal(folder)
    assert "nothing in it was run" in message
    assert not (tmp_path / "owned").exists()
    if kind != "pickle":
        assert f"names {os.mkdir.__module__}.mkdir" in message


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "damaged or no file of weights"),
        (b"garbage" * 100, "damaged or no file of weights"),
        (pickle.dumps({"a": 1}, protocol=5), "damaged or no file of weights"),
        (b"PK\x03\x04" + b"\0" * 100, "damaged or no file of weights"),
    ],
)
def test_files_that_hold_no_weights(folder: Path, data: bytes, words: str) -> None:
    (folder / "pytorch_model.bin").write_bytes(data)
    assert words in refusal(folder)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
@pytest.mark.parametrize("legacy", [False, True])
def test_files_that_are_cut_off(folder: Path, share: float, legacy: bool) -> None:
    path = write(folder, to_huggingface(tiny_model()), legacy)
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    assert "damaged or no file of weights" in refusal(folder)


BIAS = "cls.predictions.bias"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda tensors: {**tensors, "extra": 3}, "'extra' is no plain tensor"),
        (lambda tensors: {**tensors, BIAS: tensors[BIAS].to_sparse()}, f"{BIAS!r} is no plain tensor"),
        (lambda tensors: {**tensors, 3: tensors[BIAS]}, "'3' is no plain tensor"),
        (lambda tensors: {"model": tensors}, "'model' is no plain tensor"),
        (lambda tensors: list(tensors.values()), "no table of tensors"),
        (lambda tensors: {}, "no table of tensors"),
        (lambda tensors: {**tensors, "extra": torch.zeros(2)}, "extra: no part of a bert model"),
        (lambda tensors: {n: t for n, t in tensors.items() if n != BIAS}, f"{BIAS} is missing"),
        (lambda tensors: {**tensors, BIAS: tensors[BIAS][:-1]}, "has shape (96,)"),
        (lambda tensors: {**tensors, BIAS: tensors[BIAS].int()}, "has dtype int32"),
        (lambda tensors: {**tensors, BIAS: tensors[BIAS] / 0}, "not finite"),
    ],
)
def test_tables_that_do_not_fit(folder: Path, change: Callable[[Tensors], Any], words: str) -> None:
    write(folder, change(to_huggingface(tiny_model())))
    assert words in refusal(folder)


def test_compressed_archives_are_not_unfolded(folder: Path) -> None:
    path = write(folder, to_huggingface(tiny_model()))
    with zipfile.ZipFile(path) as archive:
        members = [(member.filename, archive.read(member)) for member in archive.infolist()]
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members:
            archive.writestr(name, data)
    assert "is compressed" in refusal(folder)


def test_a_link_out_of_the_folder_is_not_followed(folder: Path, tmp_path: Path) -> None:
    write(folder, to_huggingface(tiny_model())).rename(tmp_path / "elsewhere")
    (folder / "pytorch_model.bin").symlink_to(tmp_path / "elsewhere")
    assert "a link to a file outside" in refusal(folder)


def test_weights_in_parts(folder: Path) -> None:
    (folder / "pytorch_model.bin.index.json").write_text("{}")
    with pytest.raises(UsageError, match="split over several files"):
        load_published(folder)
