"""Runs that learn hidden states through a projection, and runs that keep what their teacher said."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from bertsmith import store
from bertsmith.data.corpus import Corpus
from bertsmith.data.mixture import CorpusShare
from bertsmith.errors import BertsmithError, UsageError
from bertsmith.models.folder import load_model
from bertsmith.models.model import Model
from bertsmith.objectives.config import DistillationConfig
from bertsmith.objectives.hidden_states import new_projections
from bertsmith.training.config import LongPhaseConfig, TrainingConfig
from bertsmith.training.logs import read_metrics
from bertsmith.training.optimizers import Optimizer
from bertsmith.training.plan import PretrainingPlan
from bertsmith.training.pretraining import pretrain
from tests.killing import with_kills
from tests.tiny_models import tiny_model
from tests.tiny_runs import (
    TIMES,
    bertsmith,
    distilling,
    pretrain_arguments,
    write_recipe,
    write_teacher,
)

HIDDEN = DistillationConfig(
    kl=1.0, cosine=0.0, hidden=1.0, attention=0.1, initial="random", freeze_positions=False, hidden_layers=(2, 3)
)
WIDE = {"hidden_size": 48, "embedding_size": 48, "intermediate_size": 64}
PROJECTION = "weight.distillation.layers.weight"


@pytest.fixture(scope="module")
def teacher(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_teacher(corpus, tmp_path_factory.mktemp("teacher") / "model")


@pytest.fixture(scope="module")
def wide_teacher(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_teacher(corpus, tmp_path_factory.mktemp("teacher") / "wide", **WIDE)


def everything(run: Path) -> dict[str, object]:
    """The finished model, all that the last checkpoint holds, and every loss."""
    last = max((run / "checkpoints").iterdir(), key=lambda path: int(path.name[5:]))
    files = [run / "model" / "model.safetensors", last / "model.safetensors", last / "optimizer.safetensors"]
    lines = [{k: v for k, v in line.items() if k not in TIMES} for line in read_metrics(run / "metrics.jsonl")]
    return {**{str(file.relative_to(run)): store.hash_file(file) for file in files}, "metrics": lines}


def test_a_narrower_student_with_a_projection_killed_and_resumed(
    corpus: Path, wide_teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = distilling(HIDDEN, precision="bf16", micro_batch=5)
    result = pretrain(plan, corpus, tmp_path / "undisturbed", teacher=wide_teacher)
    with_kills(lambda: pretrain(plan, corpus, tmp_path / "killed", teacher=wide_teacher), [4], monkeypatch)
    assert everything(tmp_path / "killed") == everything(tmp_path / "undisturbed")
    early, late = (
        load_file(tmp_path / "killed" / "checkpoints" / f"step-{step}" / "optimizer.safetensors")[PROJECTION]
        for step in (3, 6)
    )
    assert early.shape == (48, 32) and not torch.equal(early, late)
    assert not torch.equal(early, new_projections(32, 48, plan.seed).layers.weight)
    kept = load_file(Path(result.model) / "model.safetensors")
    of_model = tiny_model(("masked_lm",), load_model(Path(result.model)).config)
    assert sum(tensor.numel() for tensor in kept.values()) == sum(p.numel() for p in of_model.parameters())


def test_hidden_states_are_learnt(corpus: Path, wide_teacher: Path, tmp_path: Path) -> None:
    alone = replace(HIDDEN, kl=0.0, mlm=0.0, attention=0.0)
    pretrain(
        distilling(alone, steps=20, learning_rate=1e-2, validate_every=5),
        corpus,
        tmp_path / "run",
        teacher=wide_teacher,
    )
    lines = [line for line in read_metrics(tmp_path / "run" / "metrics.jsonl") if "validation" in line]
    distances = [line["validation"]["distillation_loss"] for line in lines]
    assert distances[-1] < 0.9 * distances[0]


@pytest.mark.parametrize("optimizer", ["bert_adam", "lamb"])
def test_what_is_trained_beside_a_model_leaves_its_updates_as_they_are(optimizer: Any) -> None:
    config = TrainingConfig(steps=3, optimizer=optimizer, clip=0.0)

    def trained(beside: Any) -> tuple[Model, Optimizer]:
        model = tiny_model()
        own = Optimizer(model, config, torch.float32, beside=beside)
        for number in range(2):
            sum(parameter.square().sum() for parameter in model.parameters()).backward()  # type: ignore[union-attr]
            if beside is not None:
                beside.layers.weight.square().sum().backward()
            own.update(0.1, number)
        return model, own

    first, projections = new_projections(32, 48, 0), new_projections(32, 48, 0)
    (alone, _), (together, optimizer_of_both) = trained(None), trained(projections)
    for name, parameter in alone.named_parameters():
        assert torch.equal(parameter, dict(together.named_parameters())[name]), name
    assert not torch.equal(projections.layers.weight, first.layers.weight)
    resumed = new_projections(32, 48, 1)
    weights = {name: parameter.detach() for name, parameter in together.named_parameters()}
    Optimizer(tiny_model(seed=3), config, torch.float32, beside=resumed).restore(weights, optimizer_of_both.state())
    assert torch.equal(resumed.layers.weight, projections.layers.weight)


def keeping(copies: int = 1, **training: Any) -> PretrainingPlan:
    """Epochs of a few steps, whose masks repeat."""
    config = DistillationConfig(cosine=0.0, cache_top_k=5)
    plan = distilling(config, **{"steps": 13, "batch_size": 32, "save_every": 4, "validate_every": 99, **training})
    return replace(plan, masking=replace(plan.masking, copies=copies))


def questions(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows by one for every batch of training of which the teacher, of four layers, is asked."""
    calls: list[int] = []
    real = Model.forward

    def counted(self: Model, batch: Any) -> Any:
        if len(self.encoder.layers) == 4 and "distillation" in batch.targets:
            calls.append(batch.lengths.numel())
        return real(self, batch)

    monkeypatch.setattr(Model, "forward", counted)
    return calls


def test_the_second_epoch_asks_the_teacher_no_more(
    corpus: Path, teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    calls = questions(monkeypatch)
    pretrain(keeping(), corpus, tmp_path / "run", teacher=teacher)
    epoch = steps_of_an_epoch(corpus)
    assert 2 * epoch < 13 and epoch <= len(calls) <= epoch + 3  # what one epoch drops at its end is new in the next
    told = capsys.readouterr().err
    tokens = tokens_of_an_epoch(corpus)
    assert f"positions of 28 bytes, {tokens * 28 / 1e6:,.1f} MB" in told
    assert not (tmp_path / "run" / ".teacher-cache").exists()


def source_of(corpus: Path) -> Any:
    from bertsmith.training.device import Device
    from bertsmith.training.plan import open_sources

    return open_sources(keeping(), Corpus.open(corpus), Device(torch.device("cpu")), None)[0]


def steps_of_an_epoch(corpus: Path) -> int:
    return source_of(corpus).steps_per_epoch(0)


def tokens_of_an_epoch(corpus: Path) -> int:
    return source_of(corpus).number_positions(1, 0)


def torn_after(writes: int, train: Callable[[], Any], monkeypatch: pytest.MonkeyPatch) -> Callable[[], Any]:
    """Training whose first process gets only half of what it writes to its cache onto the disk, from then on."""
    real, state = os.pwrite, {"writes": 0, "processes": 0}

    def half(file: int, data: bytes, place: int) -> int:
        state["writes"] += len(data) > 100  # a lock is a few bytes
        whole = state["processes"] > 1 or state["writes"] <= writes
        real(file, data if whole else data[: len(data) // 2], place)
        return len(data)

    def torn() -> Any:
        state["processes"] += 1
        return train()

    monkeypatch.setattr(os, "pwrite", half)
    return torn


@pytest.mark.parametrize("case", [pytest.param("two masks", marks=pytest.mark.slow), "bf16, workers, torn"])
def test_a_cache_killed_and_resumed(
    corpus: Path, teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    plan = keeping(copies=2, micro_batch=9) if case == "two masks" else keeping(precision="bf16", workers=1)
    pretrain(plan, corpus, tmp_path / "undisturbed", teacher=teacher)

    def train() -> Any:
        return pretrain(plan, corpus, tmp_path / "killed", teacher=teacher)

    torn = train if case == "two masks" else torn_after(4 * 32, train, monkeypatch)
    with_kills(torn, [5, 11], monkeypatch)
    assert everything(tmp_path / "killed") == everything(tmp_path / "undisturbed")


@pytest.mark.slow
def test_several_corpora_and_a_long_phase_share_a_cache(
    corpus: Path, teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = questions(monkeypatch)
    plan = replace(keeping(steps=28), long_phase=LongPhaseConfig(share=0.5, length=128, batch_size=16))
    other = tmp_path / "other"
    shutil.copytree(corpus, other)
    with pytest.raises(UsageError, match="nothing would ever be read twice"):  # the second corpus is too slow
        pretrain(plan, [CorpusShare(corpus, 0.8), CorpusShare(other, 0.2)], tmp_path / "run", teacher=teacher)
    pretrain(plan, [CorpusShare(corpus), CorpusShare(other)], tmp_path / "run", teacher=teacher)
    assert 0 < len(calls) < 28


def test_a_cache_that_is_gone_is_said(
    corpus: Path, teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def train() -> Any:
        (tmp_path / "run" / ".teacher-cache").unlink(missing_ok=True)
        return pretrain(keeping(), corpus, tmp_path / "run", teacher=teacher)

    with_kills(train, [5], monkeypatch)
    told = capsys.readouterr().err
    assert told.count("is gone: the teacher is asked again") == 1


def test_what_a_cache_refuses(corpus: Path, teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(plan: PretrainingPlan, error: type[BertsmithError] = UsageError) -> str:
        with pytest.raises(error) as raised:
            pretrain(plan, corpus, tmp_path / "run", teacher=teacher)
        assert "\n" not in str(raised.value)
        return str(raised.value)

    assert "masking.copies is 0, so every epoch has masks of its own" in refused(keeping(copies=0))
    assert "come again after 1 epoch(s)" in refused(keeping(steps=3))
    with_cosine = keeping()
    parts = replace(with_cosine.objectives.distillation, cosine=1.0)
    with_cosine = replace(with_cosine, objectives=replace(with_cosine.objectives, distillation=parts))
    assert "cosine asks the teacher at every step all the same" in refused(with_cosine)
    pairs = keeping(copies=1)
    pairs = replace(pairs, cut=replace(pairs.cut, name="next_sentence", copies=0))
    assert "cut.copies is 0" in refused(pairs)
    real = shutil.disk_usage
    monkeypatch.setattr(shutil, "disk_usage", lambda path: real(path)._replace(free=50_500_000))
    assert "MB are free there" in refused(keeping(), BertsmithError)


@pytest.mark.slow
def test_a_cache_after_sigkill(corpus: Path, teacher: Path, tmp_path: Path) -> None:
    """The process dies while it writes its third checkpoint, in the second epoch."""
    recipe = write_recipe(tmp_path / "recipe.toml", keeping(save_every=3))
    line = pretrain_arguments(recipe, corpus, tmp_path / "undisturbed", "--teacher", str(teacher))
    assert bertsmith(*line).returncode == 0
    line = pretrain_arguments(recipe, corpus, tmp_path / "killed", "--teacher", str(teacher))
    assert bertsmith(*line, BERTSMITH_CRASH_POINT="checkpoint.before-manifest@3").returncode == -9
    assert bertsmith(*line).returncode == 0
    assert everything(tmp_path / "killed") == everything(tmp_path / "undisturbed")
