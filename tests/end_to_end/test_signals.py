"""Signals, locks and lost ranks, on the real command."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from bertsmith import store
from bertsmith.training.checkpoint import steps_in
from bertsmith.training.logs import read_metrics
from bertsmith.training.pretraining import pretrain
from tests.tiny_runs import bertsmith, command, environment, pretrain_arguments, tiny_plan, write_recipe

LONG = 100_000  # steps: never reached


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    return write_recipe(
        tmp_path / "recipe.toml", tiny_plan(steps=LONG, workers=2, save_every=1000, validate_every=LONG)
    )


class Started:
    """A command in a process group of its own, as a terminal would start it."""

    def __init__(self, recipe: Path, corpus: Path, run: Path, torchrun: int = 0) -> None:
        self.run = run
        self.process = subprocess.Popen(
            command(*pretrain_arguments(recipe, corpus, run), torchrun=torchrun),
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def wait_for_step(self, step: int) -> None:
        deadline = time.monotonic() + 120
        while not any(line["step"] >= step for line in read_metrics(self.run / "metrics.jsonl")):
            assert self.process.poll() is None, self.process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def end(self, seconds: float) -> tuple[int, str]:
        """Exit code and what was said; fails when it takes longer."""
        _, said = self.process.communicate(timeout=seconds)
        return self.process.returncode, said


@pytest.fixture
def start(recipe: Path, corpus: Path, tmp_path: Path) -> Iterator[Callable[..., Started]]:
    begun: list[Started] = []

    def starter(torchrun: int = 0) -> Started:
        begun.append(Started(recipe, corpus, tmp_path / "run", torchrun))
        return begun[-1]

    yield starter
    for started in begun:
        if started.process.poll() is None:
            os.killpg(started.process.pid, signal.SIGKILL)
            started.process.wait()


def one_line(said: str) -> str:
    assert "Traceback" not in said
    (line,) = [line for line in said.splitlines() if line.startswith("bertsmith: ")]
    return line


def test_sigterm_saves_and_exits_75_and_the_run_goes_on_exactly(
    start: Callable[..., Started], corpus: Path, tmp_path: Path
) -> None:
    started = start()
    started.wait_for_step(5)
    started.process.terminate()
    code, said = started.end(20)
    assert code == 75
    (step,) = steps_in(started.run / "checkpoints")
    assert one_line(said).startswith(
        f"bertsmith: stopped by SIGTERM after step {step} of {LONG}; a checkpoint is saved"
    )
    again = start()
    again.wait_for_step(step + 3)
    again.process.terminate()
    assert again.end(20)[0] == 75
    last = steps_in(started.run / "checkpoints")[0]
    # the same steps of an undisturbed run: save every step up to there and compare
    plan = tiny_plan(steps=LONG, validate_every=LONG, save_every=1, keep=1)
    assert train_to(plan, corpus, tmp_path / "undisturbed", last) == hashes(started.run, last)


def train_to(plan, corpus: Path, run: Path, step: int) -> list[str]:
    from bertsmith import interrupt
    from bertsmith.errors import Stopped

    real = interrupt.requested
    interrupt.requested = lambda: "SIGTERM" if steps_in(run / "checkpoints")[:1] == [step - 1] else ""
    try:
        with pytest.raises(Stopped):
            pretrain(plan, corpus, run)
    finally:
        interrupt.requested = real
    return hashes(run, step)


def hashes(run: Path, step: int) -> list[str]:
    folder = run / "checkpoints" / f"step-{step}"
    return [store.hash_file(folder / name) for name in ("model.safetensors", "optimizer.safetensors")]


def test_ctrl_c_reaches_the_whole_group_and_exits_130(start: Callable[..., Started]) -> None:
    started = start()
    started.wait_for_step(3)
    os.killpg(started.process.pid, signal.SIGINT)
    code, said = started.end(20)
    assert code == 130
    assert "a checkpoint is saved" in one_line(said)
    assert len(steps_in(started.run / "checkpoints")) == 1


def test_a_second_run_on_the_same_folder_is_refused_and_the_first_goes_on(
    start: Callable[..., Started], recipe: Path, corpus: Path
) -> None:
    started = start()
    started.wait_for_step(1)
    second = bertsmith(*pretrain_arguments(recipe, corpus, started.run), PYTHONPROFILEIMPORTTIME="1")
    assert second.returncode == 1
    assert one_line(second.stderr) == f"bertsmith: {started.run} is in use by process {started.process.pid}"
    loaded = {line.rpartition("|")[2].strip() for line in second.stderr.splitlines()}
    assert "bertsmith.store" in loaded
    assert "torch" not in loaded, "loading it takes most of the two seconds a refusal may take"
    assert started.process.poll() is None


@pytest.mark.slow
def test_a_killed_run_leaves_no_lock_and_no_workers(start: Callable[..., Started]) -> None:
    started = start()
    started.wait_for_step(2)
    workers = psutil.Process(started.process.pid).children(recursive=True)
    assert len(workers) == 2
    started.process.kill()
    started.process.wait()
    assert psutil.wait_procs(workers, timeout=5)[1] == []
    again = start()
    again.wait_for_step(2)


@pytest.mark.slow
def test_a_killed_worker_is_one_line(start: Callable[..., Started]) -> None:
    started = start()
    started.wait_for_step(2)
    psutil.Process(started.process.pid).children()[0].kill()
    code, said = started.end(20)
    assert code == 1
    assert "a loader worker ended early" in one_line(said)


def test_a_lost_rank_ends_all_within_fifteen_seconds(start: Callable[..., Started]) -> None:
    started = start(torchrun=2)
    started.wait_for_step(2)
    ranks = [child for child in psutil.Process(started.process.pid).children() if "bertsmith" in child.cmdline()]
    assert len(ranks) == 2
    ranks[1].kill()
    code, said = started.end(15)
    assert code != 0
    assert "another rank has ended" in said
    assert psutil.wait_procs(ranks, timeout=1)[1] == []


@pytest.mark.slow
def test_sigterm_to_torchrun_saves_once_for_all_ranks(start: Callable[..., Started]) -> None:
    started = start(torchrun=2)
    started.wait_for_step(2)
    started.process.terminate()
    _, said = started.end(40)
    assert "stopped by SIGTERM after step" in said
    assert len(steps_in(started.run / "checkpoints")) == 1
