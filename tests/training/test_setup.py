"""What a compiled run shows the compiler before step 1."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from bertsmith.data.corpus import Corpus
from bertsmith.models.model import build_model
from bertsmith.training.config import LongPhaseConfig
from bertsmith.training.device import Device, compilation
from bertsmith.training.environment import Settings
from bertsmith.training.plan import open_sources
from bertsmith.training.setup import _made_up_batches, _micro_batch_sizes, build_state
from tests.tiny_runs import tiny_plan


@pytest.mark.parametrize(
    ("batch_size", "micro_batch", "world"), [(8, 0, 1), (8, 3, 1), (9, 4, 2), (7, 2, 3), (4, 1, 2)]
)
def test_every_size_that_occurs_is_foreseen(corpus: Path, batch_size: int, micro_batch: int, world: int) -> None:
    plan = tiny_plan(batch_size=batch_size, micro_batch=micro_batch)
    found: set[int] = set()
    for rank in range(world):
        (source,) = open_sources(plan, Corpus.open(corpus), Device(torch.device("cpu"), rank, world), None)
        found |= {batch.lengths.numel() for batch in source.step(0)}
    assert found == _micro_batch_sizes(plan, world)


def test_single_sequences_only_where_they_occur() -> None:
    alone = Device(torch.device("cpu"))
    sizes = [batch.lengths.numel() for batch in _made_up_batches(tiny_plan(), alone)]
    assert sizes == [8, 8]
    long = replace(tiny_plan(), long_phase=LongPhaseConfig(share=0.5, batch_size=1))
    assert [batch.lengths.numel() for batch in _made_up_batches(long, alone)] == [8, 8, 1]
    assert [batch.lengths.numel() for batch in _made_up_batches(tiny_plan(batch_size=1), alone)] == [1]


def test_where_nothing_compiles_training_goes_on_eagerly(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As on a machine without a C++ compiler."""

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("no C++ compiler was found\nmore")

    plan = tiny_plan(compile="on")
    monkeypatch.setattr(compilation, "compile_layer", lambda layer: setattr(layer, "_compiled_call_impl", fail))
    state, settings = build_state(
        plan,
        Settings(6, "fp32", True, "default", 1, 1),
        lambda: build_model(plan.model, plan.heads, 0),
        Device(torch.device("cpu")),
    )
    assert not settings.compiled
    assert "training is not compiled: no C++ compiler was found\n" in capsys.readouterr().err
    assert all(layer._compiled_call_impl is None for layer in state.model.encoder.layers)
    assert not state.optimizer.gradients.any()
