"""A disk that fills up: the last good checkpoint stays, and the same line goes on once there is room."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bertsmith import store
from bertsmith.training.checkpoint import steps_in
from bertsmith.training.logs import read_metrics
from bertsmith.training.pretraining import pretrain
from tests.disks import mounted
from tests.tiny_runs import bertsmith, command, environment, pretrain_arguments, tiny_plan, write_recipe

STEPS = 60


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    with mounted(tmp_path / "disk", "80m") as disk:
        yield disk


@contextmanager
def stopped(process: subprocess.Popen[str]) -> Iterator[None]:
    """The process stands still meanwhile."""
    process.send_signal(signal.SIGSTOP)
    _, status = os.waitpid(process.pid, os.WUNTRACED)  # the signal is not yet the stop
    assert os.WIFSTOPPED(status)
    try:
        yield
    finally:
        process.send_signal(signal.SIGCONT)


def fill(disk: Path, spare: int) -> Path:
    """Leave `spare` bytes free on a disk that nobody else writes to meanwhile."""
    filler = disk / "filler"
    with filler.open("wb") as file:
        file.write(b"\0" * (shutil.disk_usage(disk).free - spare))
    return filler


# the first file of a checkpoint, its optimiser, a later checkpoint
@pytest.mark.parametrize(
    "spare", [4_096, pytest.param(300_000, marks=pytest.mark.slow), pytest.param(700_000, marks=pytest.mark.slow)]
)
def test_a_disk_that_fills_keeps_the_last_good_checkpoint(
    corpus: Path, tmp_path: Path, small_disk: Path, spare: int, request: pytest.FixtureRequest
) -> None:
    plan = tiny_plan(steps=STEPS, save_every=10, validate_every=STEPS)
    arguments = pretrain_arguments(write_recipe(tmp_path / "recipe.toml", plan), corpus, small_disk / "run")
    run = small_disk / "run"
    started = subprocess.Popen(command(*arguments), env=environment(), stderr=subprocess.PIPE, text=True)
    request.addfinalizer(started.kill)
    deadline = time.monotonic() + 120
    while not steps_in(run / "checkpoints"):
        assert time.monotonic() < deadline and started.poll() is None
        time.sleep(0.002)
    with stopped(started):
        filler = fill(small_disk, spare)
    _, said = started.communicate(timeout=120)
    assert started.returncode == 1
    (line,) = [line for line in said.splitlines() if line.startswith("bertsmith: ")]
    assert "No space left on device" in line
    assert "Traceback" not in said
    kept = steps_in(run / "checkpoints")[0]
    store.verify(run / "checkpoints" / f"step-{kept}", "checkpoint")
    filler.unlink()
    again = bertsmith(*arguments)
    assert again.returncode == 0, again.stderr
    assert f"resuming after step {kept} of {STEPS}" in again.stderr
    pretrain(plan, corpus, tmp_path / "undisturbed")
    weights = [store.hash_file(path / "model" / "model.safetensors") for path in (run, tmp_path / "undisturbed")]
    assert weights[0] == weights[1]
    assert len([line for line in read_metrics(run / "metrics.jsonl") if "loss" in line]) == STEPS


@pytest.mark.slow
def test_a_disk_too_small_is_said_before_the_first_step(corpus: Path, tmp_path: Path, small_disk: Path) -> None:
    filler = fill(small_disk, 1_000_000)
    recipe = write_recipe(tmp_path / "recipe.toml", tiny_plan())
    done = bertsmith(*pretrain_arguments(recipe, corpus, small_disk / "run"))
    assert done.returncode == 1
    assert "MB are free there" in done.stderr
    assert not (small_disk / "run" / "metrics.jsonl").exists()
    os.unlink(filler)
    assert bertsmith(*pretrain_arguments(recipe, corpus, small_disk / "run")).returncode == 0
