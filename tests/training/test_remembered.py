"""Measurements that two runs of one line share."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from bertsmith.training import remembered as module
from bertsmith.training.device import Device
from bertsmith.training.remembered import remembered

ALONE = Device(torch.device("cpu"))


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BERTSMITH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_the_first_measurement_stays() -> None:
    assert remembered("precision", ["cpu", 2], lambda: "bf16", ALONE) == "bf16"
    assert remembered("precision", ["cpu", 2], lambda: "fp32", ALONE) == "bf16"
    assert remembered("precision", ["cpu", 4], lambda: "fp32", ALONE) == "fp32"
    assert remembered("compile", ["cpu", 2], lambda: False, ALONE) is False
    assert remembered("compile", ["cpu", 2], lambda: True, ALONE) is False


def test_a_damaged_file_is_measured_over(own_cache: Path) -> None:
    remembered("precision", 1, lambda: "bf16", ALONE)
    module.file().write_text('{"precision')
    assert remembered("precision", 1, lambda: "fp32", ALONE) == "fp32"
    assert remembered("precision", 1, lambda: "bf16", ALONE) == "fp32"


def test_where_nothing_can_be_written_every_run_measures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("BERTSMITH_CACHE", str(tmp_path / "file" / "below"))
    assert remembered("precision", 1, lambda: "bf16", ALONE) == "bf16"
    assert remembered("precision", 1, lambda: "fp32", ALONE) == "fp32"


def test_its_place_follows_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert module.file() == tmp_path / "cache" / "measurements.json"
    monkeypatch.delenv("BERTSMITH_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert module.file() == tmp_path / "xdg" / "bertsmith" / "measurements.json"
