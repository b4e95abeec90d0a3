"""Checkpoints under damage, rotation and a full disk."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

import pytest

from bertsmith import store
from bertsmith.errors import BertsmithError
from bertsmith.training.checkpoint import steps_in
from bertsmith.training.pretraining import pretrain
from tests.tiny_runs import tiny_plan


@pytest.fixture
def run(corpus: Path, tmp_path: Path, finished_run: Path) -> Path:
    """A finished run whose result and model are gone, so that the same line goes back to its checkpoints."""
    shutil.copytree(finished_run, tmp_path / "run")
    (tmp_path / "run" / "result.json").unlink()
    shutil.rmtree(tmp_path / "run" / "model")
    return tmp_path / "run"


@pytest.fixture(scope="session")
def finished_run(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("finished") / "run"
    pretrain(tiny_plan(), corpus, folder)
    return folder


def weights_of(run: Path) -> str:
    return store.hash_file(run / "model" / "model.safetensors")


def flip_a_bit(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    "name", ["model.safetensors", "optimizer.safetensors", "state.json", "manifest.json", "config.json", "vocab.txt"]
)
@pytest.mark.parametrize("damage", ["flip", "truncate", "remove"])
def test_the_older_checkpoint_is_taken_and_the_damaged_one_named(
    corpus: Path, run: Path, finished_run: Path, capsys: pytest.CaptureFixture[str], name: str, damage: str
) -> None:
    path = run / "checkpoints" / "step-6" / name
    if damage == "flip":
        flip_a_bit(path)
    elif damage == "truncate":
        os.truncate(path, path.stat().st_size // 2)
    else:
        path.unlink()
    pretrain(tiny_plan(), corpus, run)
    said = capsys.readouterr().err
    assert "resuming after step 3 of 6" in said
    # without a manifest there is no checkpoint, so there is none to name
    assert ("step-6" in said) == ((name, damage) != ("manifest.json", "remove"))
    assert weights_of(run) == weights_of(finished_run)


def test_no_valid_checkpoint_at_all_stops(corpus: Path, run: Path) -> None:
    for step in (3, 6):
        flip_a_bit(run / "checkpoints" / f"step-{step}" / "optimizer.safetensors")
    with pytest.raises(BertsmithError, match="no checkpoint is valid"):
        pretrain(tiny_plan(), corpus, run)
    assert steps_in(run / "checkpoints") == [6, 3]


def test_rotation_keeps_the_newest(corpus: Path, tmp_path: Path) -> None:
    pretrain(tiny_plan(save_every=1, keep=3), corpus, tmp_path / "run")
    assert steps_in(tmp_path / "run" / "checkpoints") == [6, 5, 4]


def test_a_full_disk_keeps_the_last_good_checkpoint(
    corpus: Path, tmp_path: Path, finished_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """fsync is where a file system without room for delayed writes says so."""
    real, run = os.fsync, tmp_path / "run"

    def full(handle: int) -> None:
        if "step-6" in os.readlink(f"/proc/self/fd/{handle}"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(handle)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(BertsmithError, match=r"No space left on device; free some space"):
        pretrain(tiny_plan(), corpus, run)
    assert steps_in(run / "checkpoints") == [3]
    monkeypatch.undo()
    pretrain(tiny_plan(), corpus, run)
    assert weights_of(run) == weights_of(finished_run)


def test_a_checkpoint_is_a_model_folder(run: Path) -> None:
    from bertsmith.models.folder import load_model
    from bertsmith.tokenizers.tokenizer import Tokenizer

    folder = run / "checkpoints" / "step-3"
    assert load_model(folder).trained_heads == ("masked_lm", "pair")
    assert Tokenizer.load(folder).vocab_size == 300
