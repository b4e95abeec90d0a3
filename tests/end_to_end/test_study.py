"""Two processes in one study's folder, one of them killed: every run once, and the same findings."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.tiny_runs import bertsmith, command, environment
from tests.tiny_runs import corpus as corpus
from tests.tiny_studies import TINY, write

SECONDS = 120.0
SAVED = "runs/*/checkpoints/*/manifest.json"


@pytest.mark.slow
def test_two_processes_and_a_kill(corpus: Path, tmp_path: Path) -> None:
    study, out = write(tmp_path, TINY.replace("steps = 4", "steps = 60")), tmp_path / "out"
    line = ["study", "run", study, "--corpus", corpus, "--out", out]
    started = [
        subprocess.Popen(
            command(*line), env=environment(), stdout=subprocess.DEVNULL, stderr=(tmp_path / f"{number}.txt").open("w")
        )
        for number in range(2)
    ]
    deadline = time.monotonic() + SECONDS
    while len({path.parents[2] for path in out.glob(SAVED)}) < 2 and time.monotonic() < deadline:
        time.sleep(0.1)
    started[0].send_signal(signal.SIGKILL)
    assert started[1].wait(SECONDS) == 0 and started[0].wait() == -signal.SIGKILL
    told = (tmp_path / "1.txt").read_text("utf-8")
    assert "resuming after step" in told, "the run that was killed is gone on with"
    scored = {path: path.stat().st_mtime_ns for path in out.glob("scores/*.json")}
    assert len(scored) == 4
    again = bertsmith(*line, "--json")
    assert again.returncode == 0 and json.loads(again.stdout)["finished"] == 4
    assert "run 1 of" not in again.stderr and scored == {path: path.stat().st_mtime_ns for path in scored}
    alone = bertsmith(*line[:-1], tmp_path / "alone" / "out", "--json")
    losses = [{run["name"]: run["scores"]["loss"] for run in json.loads(one.stdout)["runs"]} for one in (again, alone)]
    assert losses[0] == losses[1]
