"""Choices made on throw-away steps, and what becomes of them on a busy machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from bertsmith.data.corpus import Corpus
from bertsmith.training import measurement
from bertsmith.training.device import Device, OtherWork
from bertsmith.training.device import load as load_module
from bertsmith.training.initial import initial_model
from bertsmith.training.measurement import settle
from bertsmith.training.plan import open_sources
from bertsmith.training.pretraining import work_of
from bertsmith.training.work import Work
from tests.tiny_runs import tiny_plan

ALONE = Device(torch.device("cpu"))


@pytest.fixture(autouse=True)
def _quick_and_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BERTSMITH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(measurement, "MEASURED_SECONDS", 0.01)
    monkeypatch.setattr(measurement, "supports_bf16", lambda device: True)


def work(corpus: Path, **training: Any) -> Work:
    plan = tiny_plan(precision="auto", **training)
    opened = Corpus.open(corpus)
    from dataclasses import replace

    plan = replace(plan, model=replace(plan.model, vocab_size=opened.vocab_size))
    sources = open_sources(plan, opened, ALONE, None)
    return work_of(plan, {}, initial_model(plan, opened, None), list(sources), ALONE)


def others(monkeypatch: pytest.MonkeyPatch, cores: float) -> None:
    monkeypatch.setattr(OtherWork, "cores", lambda self, processes=1: cores)


def times(monkeypatch: pytest.MonkeyPatch, fp32: float, bf16: float) -> list[str]:
    """Steps take so long; returns the formats asked for."""
    asked: list[str] = []
    real = measurement._Clock._measure

    def measure(self: Any, settings: Any, phase: int) -> list[float]:
        asked.append(settings.precision)
        real(self, settings, phase)
        return [fp32 if settings.precision == "fp32" else bf16]

    monkeypatch.setattr(measurement._Clock, "_measure", measure)
    return asked


def test_a_quiet_machine_is_measured_once(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    others(monkeypatch, 0.0)
    asked = times(monkeypatch, fp32=1.0, bf16=2.0)
    assert settle(work(corpus), ALONE).precision == "fp32"
    assert asked == ["fp32", "bf16"]
    assert settle(work(corpus), ALONE).precision == "fp32" and len(asked) == 2


def test_a_busy_machine_takes_what_it_is_made_for_and_forgets_it(
    corpus: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    others(monkeypatch, 1.5)
    asked = times(monkeypatch, fp32=1.0, bf16=2.0)
    assert settle(work(corpus), ALONE).precision == "bf16"
    assert "other work disturbs a measurement" in capsys.readouterr().err
    others(monkeypatch, 0.0)
    assert settle(work(corpus), ALONE).precision == "fp32" and len(asked) == 4


def test_a_processor_without_bf16_is_not_measured(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measurement, "supports_bf16", lambda device: False)
    asked = times(monkeypatch, fp32=1.0, bf16=0.1)
    assert settle(work(corpus), ALONE).precision == "fp32" and not asked


def test_work_of_other_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stat(seconds: float) -> None:
        (tmp_path / "stat").write_text(f"cpu  {int(100 * seconds)} 0 0 5000 0 0 0 0 0 0\ncpu0 1\n")

    clock = [10.0, 1.0]
    monkeypatch.setattr(load_module, "STAT", tmp_path / "stat")
    monkeypatch.setattr(load_module.os, "sysconf", lambda name: 100)
    monkeypatch.setattr(load_module.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(load_module.time, "process_time", lambda: clock[1])
    stat(100)
    watch = OtherWork()
    clock[:] = [12.0, 4.0]
    stat(104)
    assert watch.cores() == pytest.approx(0.5)
    assert watch.cores(processes=2) == 0.0
    (tmp_path / "stat").unlink()
    monkeypatch.setattr(load_module.os, "getloadavg", lambda: (3.5, 0.0, 0.0))
    assert watch.cores() == pytest.approx(2.0)
