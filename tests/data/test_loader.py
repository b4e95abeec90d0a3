"""Loader workers: they end with their parent, outlive a signal to the whole group, and their death is one line."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

STREAM = """
import multiprocessing, sys
from bertsmith import interrupt
from bertsmith.data.batches import BatchSource
from bertsmith.data.config import CutConfig, MaskingConfig
from bertsmith.data.loader import stream
from bertsmith.errors import BertsmithError
from tests.helpers import SPECIAL, memory_corpus, random_documents
interrupt.install()
corpus = memory_corpus(random_documents(200))
source = BatchSource(corpus, CutConfig(), MaskingConfig(), batch_size=4, seed=0, special=SPECIAL)
batches = stream(source, 0, 100_000, workers=2)
try:
    next(batches)
    print(*[worker.pid for worker in multiprocessing.active_children()], flush=True)
    sys.stdin.readline()
    for _ in range(200):
        next(batches)
    print("fed", interrupt.requested(), flush=True)
except BertsmithError as error:
    print(f"bertsmith: {error}", flush=True)
"""

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


@pytest.fixture
def loader():
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [sys.executable, "-c", STREAM],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    workers = [int(pid) for pid in process.stdout.readline().split()]
    assert len(workers) == 2
    yield process, workers
    process.kill()
    process.communicate()


def alive(pids: list[int], wait: float = 0.0) -> bool:
    deadline = time.monotonic() + wait
    while any(Path(f"/proc/{pid}").exists() for pid in pids):
        if time.monotonic() > deadline:
            return True
        time.sleep(0.02)
    return False


def test_workers_end_with_their_killed_parent(loader):
    process, workers = loader
    assert alive(workers)
    process.kill()
    process.wait()
    assert not alive(workers, wait=5)


def test_a_signal_to_the_whole_group_does_not_stop_the_step(loader):
    process, workers = loader
    os.killpg(process.pid, signal.SIGTERM)
    time.sleep(0.3)
    assert alive(workers)
    assert process.communicate("\n", timeout=30)[0] == "fed SIGTERM\n"
    assert process.returncode == 0 and not alive(workers, wait=5)


def test_a_worker_that_was_killed_is_one_line(loader):
    process, workers = loader
    os.kill(workers[0], signal.SIGKILL)
    shown, errors = process.communicate("\n", timeout=60)
    assert shown.startswith("bertsmith: a loader worker ended early;") and shown.count("\n") == 1
    assert errors == "" and process.returncode == 0
