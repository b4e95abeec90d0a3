"""Files made to harm: nothing outside the folder is read, no header crashes or allocates, every refusal is one line."""

from __future__ import annotations

import json
import os
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from bertsmith.errors import BertsmithError
from bertsmith.models.folder import load_model, save_model
from bertsmith.models.untrusted import (
    LARGEST_HEADER,
    parse_object,
    read_config,
    read_safetensors_header,
    regular_file,
)
from tests.tiny_models import tiny_model

Header = dict[str, Any]


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("original")
    save_model(tiny_model(), folder, pad_token_id=0)
    return folder


@pytest.fixture
def folder(original: Path, tmp_path: Path) -> Path:
    path = tmp_path / "model"
    path.mkdir()
    for name in ("config.json", "model.safetensors"):
        (path / name).write_bytes((original / name).read_bytes())
    return path


def refused(action: Callable[[], object]) -> str:
    started = time.monotonic()
    with pytest.raises(BertsmithError) as raised:
        action()
    assert time.monotonic() - started < 5
    assert "\n" not in str(raised.value)
    return str(raised.value)


# --- places -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
@pytest.mark.parametrize("way", ["absolute", "relative", "through a folder", "dangling", "loop"])
def test_links_that_lead_out_are_not_followed(folder: Path, tmp_path: Path, name: str, way: str) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (folder / name).rename(outside / name)
    targets = {
        "absolute": outside / name,
        "relative": Path("../outside") / name,
        "through a folder": Path("inner") / name,
        "dangling": Path("nowhere"),
        "loop": Path(name),
    }
    (folder / "inner").symlink_to(outside)
    (folder / name).symlink_to(targets[way])
    assert name in refused(lambda: load_model(folder))


def test_a_link_that_stays_inside_is_a_regular_file(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "weights")
    (folder / "model.safetensors").symlink_to("weights")
    assert load_model(folder).trained_heads


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
@pytest.mark.parametrize("kind", ["fifo", "folder", "device"])
def test_what_is_no_regular_file_is_not_opened(folder: Path, name: str, kind: str) -> None:
    (folder / name).unlink()
    if kind == "fifo":
        os.mkfifo(folder / name)
    elif kind == "folder":
        (folder / name).mkdir()
    else:
        (folder / name).symlink_to("/dev/zero")
    assert name in refused(lambda: load_model(folder))


def test_a_folder_reached_through_a_link_is_fine(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(folder)
    assert regular_file(tmp_path / "link", "config.json").exists()
    load_model(tmp_path / "link")


def test_an_index_beside_the_weights_is_never_read(folder: Path) -> None:
    index = {"weight_map": {"bert.embeddings.word_embeddings.weight": "../../secret.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    assert load_model(folder).trained_heads


# --- config.json ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"null",
        b"[]",
        b"12",
        b'{"hidden_size": NaN}',
        b'{"layer_norm_eps": -Infinity}',
        b'{"a": 1, "a": 2}',
        b'{"a": {"b": 1, "b": 2}}',
        b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"a":' * 100_000,
        b'{"a": ' + b"9" * 100_000 + b"}",
        b'{"model_type": "bert"',
        b'\xff\xfe{\x00}\x00',
        b'{"a": "\xff"}',
        b"\x80\x02}q\x00.",  # a pickle
        b'{"a": "' + b"x" * (2 << 20) + b'"}',
    ],
    ids=lambda data: repr(data[:12]),
)  # fmt: skip
def test_configs_that_are_no_plain_json(folder: Path, data: bytes) -> None:
    (folder / "config.json").write_bytes(data)
    assert "config.json" in refused(lambda: load_model(folder))


@given(st.binary(max_size=200))
def test_any_bytes_are_an_object_or_one_line(data: bytes) -> None:
    try:
        assert isinstance(parse_object(data, "here"), dict)
    except BertsmithError as error:
        assert str(error).startswith("here: ") and "\n" not in str(error)


@given(
    st.dictionaries(
        st.sampled_from(["hidden_size", "num_hidden_layers", "num_attention_heads", "vocab_size", "layer_norm_eps",
                         "hidden_act", "model_type", "hidden_dropout_prob", "is_decoder", "intermediate_size"]),
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just([768]),
        min_size=1,
    )
)  # fmt: skip
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150, deadline=5000)
def test_any_config_loads_as_it_was_or_is_refused(folder: Path, original: Path, changes: dict[str, Any]) -> None:
    values = json.loads((original / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**values, **changes}))
    try:
        config = load_model(folder).config
    except BertsmithError as error:
        assert str(folder) in str(error)
    else:
        assert (config.hidden_size, config.layers, config.vocab_size) == (32, 2, 97)


# --- safetensors headers ----------------------------------------------------------------------------------------


def write(path: Path, header: bytes | Header, data: bytes = b"\0" * 16, size: int | None = None) -> Path:
    """A safetensors file as given, right or wrong."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text) if size is None else size) + text + data)
    return path


def entry(start: int, stop: int, shape: object = (2,), dtype: object = "F32", **more: object) -> Header:
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, stop], **more}


GOOD = {"a": entry(0, 8), "b": entry(8, 16)}
HEADERS: dict[str, bytes | Header] = {
    "overlap": {"a": entry(0, 8), "b": entry(4, 12)},
    "same bytes": {"a": entry(0, 16, (4,)), "b": entry(0, 16, (4,))},
    "gap": {"a": entry(0, 4, (1,)), "b": entry(8, 16)},
    "gap at the start": {"a": entry(4, 12), "b": entry(12, 16, (1,))},
    "data left over": {"a": entry(0, 8)},
    "beyond the end": {"a": entry(0, 8), "b": entry(8, 24, (4,))},
    "far beyond the end": {"a": entry(0, 1 << 62, (1 << 60,))},
    "negative start": {"a": entry(-8, 0)},
    "reversed": {"a": entry(8, 0)},
    "overflowing shape": {"a": entry(0, 16, (1 << 32, 1 << 32))},
    "overflow to the right size": {"a": entry(0, 16, ((1 << 62) + 4,))},
    "negative shape": {"a": entry(0, 8, (-1, -2))},
    "shape of floats": {"a": entry(0, 8, (2.0,))},
    "shape of booleans": {"a": entry(0, 4, (True,))},
    "shape as text": {"a": entry(0, 8, "2")},
    "shape missing": {"a": {"dtype": "F32", "data_offsets": [0, 16]}},
    "very long shape": {"a": entry(0, 16, (1,) * 10_000)},
    "unknown key": {"a": entry(0, 16, (4,), pickle="x")},
    "unknown dtype": {"a": entry(0, 16, (4,), "F31")},
    "dtype is a list": {"a": entry(0, 16, (4,), ["F32"])},
    "wrong size": {"a": entry(0, 16, (3,))},
    "one offset": {"a": {"dtype": "F32", "shape": [4], "data_offsets": [16]}},
    "offsets as text": {"a": {"dtype": "F32", "shape": [4], "data_offsets": ["0", "16"]}},
    "huge offsets": {"a": {"dtype": "F32", "shape": [4], "data_offsets": [10**400, 10**400 + 16]}},
    "entry is a number": {"a": 3},
    "entry is null": {"a": None},
    "duplicate keys": b'{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]},'
    b'"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}',
    "duplicate inside": b'{"a":{"dtype":"F32","dtype":"F32","shape":[4],"data_offsets":[0,16]}}',
    "a list": b"[]",
    "not JSON": b"\x80\x02}q\x00.",
    "not UTF-8": b'{"\xff": 1}',
    "deep": b'{"a":' + b"[" * 200_000 + b"]" * 200_000 + b"}",
    "NaN": b'{"a": NaN}',
    "empty": b"",
}  # fmt: skip


@pytest.mark.parametrize("name", HEADERS)
def test_crafted_headers(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / "model.safetensors", HEADERS[name])
    assert str(path) in refused(lambda: read_safetensors_header(path))


@pytest.mark.parametrize("size", [0, 1, 1 << 20, 1 << 31, (1 << 63) - 1, (1 << 64) - 1])
def test_headers_of_a_false_size(tmp_path: Path, size: int) -> None:
    path = write(tmp_path / "model.safetensors", GOOD, size=size)
    assert str(path) in refused(lambda: read_safetensors_header(path))


def test_a_header_of_99_megabytes_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", 99 << 20))
        file.truncate(100 << 20)
    assert f"more than {LARGEST_HEADER:,}" in refused(lambda: read_safetensors_header(path))


def test_good_headers_are_read_as_the_library_reads_them(tmp_path: Path, original: Path) -> None:
    entries = read_safetensors_header(write(tmp_path / "model.safetensors", {**GOOD, "__metadata__": {"format": "pt"}}))
    assert {name: found.shape for name, found in entries.items()} == {"a": (2,), "b": (2,)}
    from safetensors import safe_open

    path = original / "model.safetensors"
    with safe_open(path, framework="pt") as file:
        expected = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
    assert {name: found.shape for name, found in read_safetensors_header(path).items()} == expected


def test_scalars_and_empty_tensors_have_valid_headers(tmp_path: Path) -> None:
    import torch

    save_file({"scalar": torch.tensor(1.0), "none": torch.zeros(0, 3)}, tmp_path / "model.safetensors")
    entries = read_safetensors_header(tmp_path / "model.safetensors")
    assert {name: found.shape for name, found in entries.items()} == {"scalar": (), "none": (0, 3)}


@given(st.integers(0, 400), st.integers(1, 255))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=5000)
def test_flipped_bytes_in_a_header_never_crash(tmp_path: Path, place: int, change: int) -> None:
    data = bytearray(write(tmp_path / "model.safetensors", GOOD).read_bytes())
    data[place % (len(data) - 16)] ^= change
    (tmp_path / "model.safetensors").write_bytes(data)
    try:
        read_safetensors_header(tmp_path / "model.safetensors")
    except BertsmithError as error:
        assert "\n" not in str(error)


@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.999])
def test_truncated_weights(folder: Path, share: float) -> None:
    path = folder / "model.safetensors"
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    assert str(path) in refused(lambda: load_model(folder))


def test_a_pickle_named_safetensors(folder: Path, tmp_path: Path) -> None:
    import pickle

    class Payload:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "owned",))

    (folder / "model.safetensors").write_bytes(pickle.dumps(Payload()))
    refused(lambda: load_model(folder))
    assert not (tmp_path / "owned").exists()


def test_reading_a_config_that_cannot_be_opened(tmp_path: Path) -> None:
    assert "config.json" in refused(lambda: read_config(tmp_path / "config.json"))
