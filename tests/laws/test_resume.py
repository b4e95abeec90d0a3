"""Law 2: a run that was killed and resumed is, bit for bit, the run that was not."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bertsmith import store
from bertsmith.data.mixture import CorpusShare
from bertsmith.data.preparation import prepare_corpus
from bertsmith.errors import UsageError
from bertsmith.models.config import Sharing
from bertsmith.text.config import TextConfig
from bertsmith.tokenizers.config import TokenizerConfig
from bertsmith.training.config import LongPhaseConfig
from bertsmith.training.logs import read_metrics
from bertsmith.training.plan import PretrainingPlan
from bertsmith.training.pretraining import pretrain
from tests.killing import with_kills
from tests.tiny_runs import (
    TIMES,
    bertsmith,
    distilling,
    pretrain_arguments,
    tiny_plan,
    write_recipe,
    write_teacher,
    write_text,
)


def fingerprint(run: Path, step: int) -> dict[str, object]:
    """Weights, optimiser, counters and every loss."""
    checkpoint = run / "checkpoints" / f"step-{step}"
    counters = json.loads((checkpoint / "state.json").read_text())
    lines = [{k: v for k, v in line.items() if k not in TIMES} for line in read_metrics(run / "metrics.jsonl")]
    return {
        "model": store.hash_file(run / "model" / "model.safetensors"),
        "weights": store.hash_file(checkpoint / "model.safetensors"),
        "moments": store.hash_file(checkpoint / "optimizer.safetensors"),
        "tokens": counters["tokens"],
        "metrics": lines,
    }


def shared_plan(sharing: Sharing, **training: Any) -> PretrainingPlan:
    """An ALBERT whose folders transformers could not read as they are: each weight is written for every layer."""
    plan = tiny_plan(**training)
    shape = replace(plan.model, family="albert", layers=4, sharing=sharing, groups=2, activation="gelu_tanh")
    return replace(plan, model=shape)


LONG_PHASE = LongPhaseConfig(share=0.5, length=128, batch_size=4)
WITH_LONG_PHASE = replace(tiny_plan(save_every=1), long_phase=LONG_PHASE)

CASES: dict[str, tuple[PretrainingPlan, Sequence[int]]] = {
    "one kill": (tiny_plan(), [4]),
    "several resumes in one epoch": (tiny_plan(save_every=1), [2, 3, 5]),
    "at an epoch's end": (tiny_plan(batch_size=64, save_every=1), [3, 4]),
    "inside a log interval": (tiny_plan(log_every=5, save_every=1), [5]),
    "accumulation": (tiny_plan(micro_batch=3), [4]),
    "bf16": (tiny_plan(precision="bf16"), [4]),
    "bf16 accumulation": (tiny_plan(precision="bf16", micro_batch=3), [4]),
    "two workers": (tiny_plan(workers=2, save_every=2), [3, 5]),
    "adamw": (tiny_plan(optimizer="adamw"), [4]),
    "lamb": (tiny_plan(optimizer="lamb"), [4]),
    "activation checkpointing": (tiny_plan(activation_checkpointing=True), [4]),
    "killed before the first checkpoint": (tiny_plan(), [2]),
    "around the border of the long phase": (WITH_LONG_PHASE, [3, 4]),
    "attention shared": (shared_plan("attention", precision="bf16"), [4]),
    "feed-forward shared": (shared_plan("ffn"), [4]),
    "all shared": (shared_plan("all", micro_batch=3), [4]),
}


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_distillation_killed_and_resumed(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, precision: str
) -> None:
    teacher = write_teacher(corpus, tmp_path / "teacher")
    plan = distilling(precision=precision, micro_batch=3)
    pretrain(plan, corpus, tmp_path / "undisturbed", teacher=teacher)
    with_kills(lambda: pretrain(plan, corpus, tmp_path / "killed", teacher=teacher), [4], monkeypatch)
    assert fingerprint(tmp_path / "killed", 6) == fingerprint(tmp_path / "undisturbed", 6)


@pytest.mark.parametrize("case", CASES)
def test_killed_and_resumed_equals_undisturbed(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    plan, kills = CASES[case]
    pretrain(plan, corpus, tmp_path / "undisturbed")
    with_kills(lambda: pretrain(plan, corpus, tmp_path / "killed"), kills, monkeypatch)
    assert fingerprint(tmp_path / "killed", 6) == fingerprint(tmp_path / "undisturbed", 6)


def test_the_cases_tell_runs_apart(corpus: Path, tmp_path: Path) -> None:
    """The comparison would see another seed, and the epochs of "at an epoch's end" are really that short."""
    pretrain(tiny_plan(), corpus, tmp_path / "a")
    pretrain(replace(tiny_plan(), seed=1), corpus, tmp_path / "b")
    first, second = fingerprint(tmp_path / "a", 6), fingerprint(tmp_path / "b", 6)
    assert all(first[key] != second[key] for key in first if key != "tokens")
    from bertsmith.data.corpus import Corpus
    from bertsmith.training.device import Device
    from bertsmith.training.plan import open_sources

    (source,) = open_sources(tiny_plan(batch_size=64), Corpus.open(corpus), Device(None), None)  # type: ignore[arg-type]
    assert source.steps_per_epoch(0) == 4


def test_workers_and_their_number_change_nothing(corpus: Path, tmp_path: Path) -> None:
    pretrain(tiny_plan(), corpus, tmp_path / "none")
    pretrain(tiny_plan(workers=2), corpus, tmp_path / "two")
    assert fingerprint(tmp_path / "none", 6) == fingerprint(tmp_path / "two", 6)


def test_activation_checkpointing_changes_nothing(corpus: Path, tmp_path: Path) -> None:
    """What is computed a second time drops out the same elements."""
    pretrain(tiny_plan(), corpus, tmp_path / "kept")
    pretrain(tiny_plan(activation_checkpointing=True), corpus, tmp_path / "again")
    assert fingerprint(tmp_path / "kept", 6) == fingerprint(tmp_path / "again", 6)


def test_several_corpora(corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed inside the first corpus' second epoch; the run remembers the shares and shows each corpus' validation."""
    other = tmp_path / "other"
    lines = TextConfig(sentences="line", validation_share=0.3)
    text = write_text(tmp_path / "other.txt", 20, seed=1)
    prepare_corpus([str(text)], other, TokenizerConfig(), lines, workers=1, tokenizer=corpus / "tokenizer")
    shares = [CorpusShare(other, 3.0), CorpusShare(corpus, 1.0)]
    plan = tiny_plan(batch_size=32, save_every=1, micro_batch=12)
    pretrain(plan, shares, tmp_path / "undisturbed")
    with_kills(lambda: pretrain(plan, shares, tmp_path / "killed"), [2, 4], monkeypatch)
    assert fingerprint(tmp_path / "killed", 6) == fingerprint(tmp_path / "undisturbed", 6)
    values = [
        line["validation"] for line in read_metrics(tmp_path / "killed" / "metrics.jsonl") if "validation" in line
    ]
    expected = 0.75 * values[-1]["other/masked_lm_loss"] + 0.25 * values[-1]["corpus/masked_lm_loss"]
    assert values[-1]["masked_lm_loss"] == pytest.approx(expected)
    with pytest.raises(UsageError, match="another set of corpus weights"):
        pretrain(plan, [CorpusShare(other, 2.0), CorpusShare(corpus, 1.0)], tmp_path / "killed")


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_compiled_runs_resume_exactly(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, precision: str
) -> None:
    plan = replace(tiny_plan(compile="on", precision=precision, micro_batch=3), long_phase=LONG_PHASE)
    pretrain(plan, corpus, tmp_path / "undisturbed")
    assert json.loads((tmp_path / "undisturbed" / "environment.json").read_text())["settings"]["compiled"]
    with_kills(lambda: pretrain(plan, corpus, tmp_path / "killed"), [4], monkeypatch)
    assert fingerprint(tmp_path / "killed", 6) == fingerprint(tmp_path / "undisturbed", 6)


@pytest.mark.slow
def test_two_ranks_resume_exactly(corpus: Path, tmp_path: Path) -> None:
    """The first rank is killed when it has written its second checkpoint; the other ends with it."""
    recipe = write_recipe(tmp_path / "recipe.toml", tiny_plan(save_every=2, micro_batch=3))
    for name in ("undisturbed", "killed"):
        line = pretrain_arguments(recipe, corpus, tmp_path / name)
        if name == "killed":
            done = bertsmith(*line, torchrun=2, BERTSMITH_CRASH_POINT="checkpoint.before-rotation@2")
            assert done.returncode != 0
            assert not (tmp_path / name / "result.json").exists()
        done = bertsmith(*line, torchrun=2)
        assert done.returncode == 0, done.stderr
    assert "resuming after step 4 of 6" in done.stderr
    assert fingerprint(tmp_path / "killed", 6) == fingerprint(tmp_path / "undisturbed", 6)
