"""kill -9 at random moments of a real command with loader workers: the weights are those of an undisturbed run."""

from __future__ import annotations

import random
import signal
import subprocess
import time
from pathlib import Path

import pytest

from bertsmith import store
from bertsmith.training.logs import read_metrics
from bertsmith.training.plan import PretrainingPlan
from bertsmith.training.pretraining import pretrain
from tests.tiny_runs import bertsmith, command, environment, pretrain_arguments, tiny_plan, write_recipe


def plan_of(steps: int, compile: str, workers: int) -> PretrainingPlan:
    return tiny_plan(
        steps=steps, compile=compile, workers=workers, save_every=3, log_every=2, micro_batch=3, validate_every=0
    )


def start_and_kill(arguments: list[str], run: Path, step: int, pause: float) -> bool:
    """Start a command and kill it and it alone `pause` seconds after it logged `step`; False when it ended before."""
    process = subprocess.Popen(
        arguments, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    deadline = time.monotonic() + 300
    while process.poll() is None and last_step(run) < step:
        assert time.monotonic() < deadline, f"step {step} was never reached"
        time.sleep(0.01)
    time.sleep(pause)
    process.send_signal(signal.SIGKILL)
    return process.wait() == -signal.SIGKILL


def last_step(run: Path) -> int:
    return max((line["step"] for line in read_metrics(run / "metrics.jsonl")), default=0)


def sha256(run: Path) -> str:
    return store.hash_file(run / "model" / "model.safetensors")


def check(corpus: Path, folder: Path, kills: int, steps: int, compile: str, workers: int, seed: int) -> None:
    recipe = write_recipe(folder / "recipe.toml", plan_of(steps, compile, workers))
    pretrain(plan_of(steps, compile, workers), corpus, folder / "undisturbed")
    draw, killed = random.Random(seed), 0
    arguments = command(*pretrain_arguments(recipe, corpus, folder / "killed"))
    for step in sorted(draw.sample(range(steps * 3 // 4), kills)):
        killed += start_and_kill(arguments, folder / "killed", step, draw.uniform(0, 0.05))
    assert killed >= kills / 2
    last = bertsmith(*pretrain_arguments(recipe, corpus, folder / "killed"), timeout=600)
    assert last.returncode == 0, last.stderr
    assert sha256(folder / "killed") == sha256(folder / "undisturbed")


def test_killed_with_two_workers(corpus: Path, tmp_path: Path) -> None:
    check(corpus, tmp_path, kills=1, steps=20, compile="off", workers=2, seed=0)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
def test_killed_at_twenty_points(corpus: Path, tmp_path: Path, workers: int) -> None:
    check(corpus, tmp_path, kills=20, steps=200, compile="off", workers=workers, seed=workers + 1)


@pytest.mark.slow
def test_killed_while_compiled(corpus: Path, tmp_path: Path) -> None:
    check(corpus, tmp_path, kills=5, steps=200, compile="on", workers=2, seed=9)
