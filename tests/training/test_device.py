"""Number formats, threads and the calls that ranks share."""

from __future__ import annotations

import pytest
import torch

from bertsmith.errors import UsageError
from bertsmith.training.device import Device, choose_fp32_backend, open_device, seed_dropout, set_fp32_backend
from bertsmith.training.device import precision as precision_module


@pytest.fixture(autouse=True)
def torch_choice():
    yield
    set_fp32_backend("default")


def test_the_chosen_fp32_backend_has_the_error_of_fp32() -> None:
    chosen = choose_fp32_backend(torch.device("cpu"))
    assert chosen in precision_module.BACKENDS
    error, _ = precision_module.try_fp32_backend(chosen)
    assert error < 1e-3  # of sums of 256 products of unit normals: bf16's is 0.1


def test_a_backend_that_rounds_is_never_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    """However fast it is."""
    measured = {"default": (1e-5, 1.0), "onednn_tf32": (1e-2, 0.1), "onednn_bf16": (1e-1, 0.1)}
    monkeypatch.setattr(precision_module, "try_fp32_backend", measured.__getitem__)
    assert choose_fp32_backend(torch.device("cpu")) == "default"
    measured["onednn_bf16"] = (1.5e-5, 0.5)
    assert choose_fp32_backend(torch.device("cpu")) == "onednn_bf16"


def test_a_dropout_seed_is_a_function_of_the_key() -> None:
    import numpy as np

    draws = []
    for key in (7, 8, 7, 2**64 - 1):
        seed_dropout(np.uint64(key))
        draws.append(torch.rand(3).tolist())
    assert draws[0] == draws[2]
    assert draws[0] != draws[1]
    assert draws[3] != draws[0]


def test_alone_sums_are_the_values_themselves() -> None:
    device = Device(torch.device("cpu"))
    assert device.sum([1.5, 2.0]) == [1.5, 2.0]
    assert device.maximum(3.0) == 3.0
    assert device.on_main(lambda: {"a": 1}) == {"a": 1}


def test_a_strange_world_size_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "two")
    with pytest.raises(UsageError, match="WORLD_SIZE is 'two'"), open_device():
        pass
