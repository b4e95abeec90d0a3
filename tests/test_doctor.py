"""What the doctor says of a machine."""

from __future__ import annotations

import importlib.util
import json
from typing import Any

import pytest

from bertsmith import doctor
from bertsmith.errors import UsageError

FACTS: dict[str, Any] = {
    "gpus": [],
    "compiler": "g++",
    "memory_bytes": 16e9,
    "disk_free_bytes": 100e9,
}


def test_this_machine_is_examined() -> None:
    result = doctor.examine(0.02)
    json.dumps(result, allow_nan=False)
    assert result["machine"]["cores"] >= 1
    assert result["machine"]["memory_bytes"] > 1e8
    assert result["gigaflops"]["cpu fp32"] > 0.1
    assert result["advice"]
    text = doctor.render(result)
    assert "GFLOP/s" in text
    assert result["machine"]["torch"] in text


@pytest.mark.parametrize("seconds", [0.0, -1.0, 1e9, float("nan")])
def test_an_odd_time_is_refused(seconds: float) -> None:
    with pytest.raises(UsageError, match="--seconds"):
        doctor.examine(seconds)


@pytest.mark.parametrize(
    ("facts", "rates", "said"),
    [
        ({}, {"cpu fp32": 100.0, "cpu bf16": 400.0}, "bf16 multiplies 4.0 times as fast"),
        ({}, {"cpu fp32": 100.0, "cpu bf16": 90.0}, "stay with fp32"),
        ({"compiler": ""}, {"cpu fp32": 1.0, "cpu bf16": 1.0}, "no C++ compiler: training.compile stays off"),
        ({"gpus": ["H"]}, {"cpu fp32": 1.0, "cpu bf16": 1.0}, "a GPU is there"),
        ({"memory_bytes": 2e9}, {"cpu fp32": 1.0, "cpu bf16": 1.0}, "less than 4 GB of memory"),
        ({"disk_free_bytes": 1e9}, {"cpu fp32": 1.0, "cpu bf16": 1.0}, "less than 5 GB free"),
    ],
)
def test_advice_follows_from_the_facts(facts: dict[str, Any], rates: dict[str, float], said: str) -> None:
    lines = doctor.advice({**FACTS, **facts}, rates)
    assert any(said in line for line in lines)


def test_what_is_missing_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "jieba" else object())
    assert [(row["package"], row["extra"]) for row in doctor.missing()] == [("jieba", "jieba")]
