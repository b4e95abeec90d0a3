"""The peak of a run is that of the run, not of what the process did before."""

from __future__ import annotations

import gc
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from bertsmith.training.device import forget_peak_memory, memory, peak_memory
from bertsmith.training.pretraining import pretrain
from tests.tiny_runs import corpus as corpus
from tests.tiny_runs import tiny_plan

CPU = torch.device("cpu")
SIZE = 200_000_000


def hold() -> None:
    """Bytes in use, and given back."""
    np.ones(SIZE, dtype=np.uint8).sum()


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel of Linux tells")
def test_what_was_before_is_forgotten() -> None:
    hold()
    before = peak_memory(CPU)
    forget_peak_memory(CPU)
    after = peak_memory(CPU)
    assert after < before - SIZE / 2
    hold()
    assert peak_memory(CPU) > after + SIZE / 2


def test_without_the_kernels_word_it_is_that_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "STATUS", memory.Path("/nowhere"))
    monkeypatch.setattr(memory, "CLEAR", memory.Path("/nowhere"))
    forget_peak_memory(CPU)
    assert peak_memory(CPU) > 1_000_000


def test_a_finished_run_leaves_nothing_behind(corpus: Path, tmp_path: Path) -> None:
    """A process may train many models: weights, gradients and moments of one are gone before the next."""

    def tensors() -> int:
        gc.collect()
        return sum(issubclass(type(one), torch.Tensor) for one in gc.get_objects())

    pretrain(tiny_plan(steps=2), corpus, tmp_path / "first")
    before = tensors()
    pretrain(tiny_plan(steps=2), corpus, tmp_path / "second")
    assert tensors() <= before
