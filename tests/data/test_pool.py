"""Worker processes: in order, bounded, ended with whoever started them."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bertsmith import interrupt
from bertsmith.data.pool import IN_FLIGHT, Pool
from bertsmith.errors import BertsmithError, Stopped


class Work:
    """A task that can be sent to a worker: sleeps, fails, dies or answers."""

    def __call__(self, item: object) -> object:
        if item == "refuse":
            raise BertsmithError("file.txt:3: refused")
        if item == "break":
            raise ZeroDivisionError("division by zero")
        if item == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if item == "pid":
            return os.getpid()
        if isinstance(item, float):
            time.sleep(item)
        if item == "large":
            return bytes(5_000_000)
        return item


@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_results_come_in_order(count: int):
    items = [0.05, 0.0, 0.02, 0.0, 0.0, 0.01, 0.0]
    with Pool(Work(), count) as pool:
        assert list(pool.map(items)) == items
        assert list(pool.map(iter([]))) == []
        assert list(pool.map(["again"])) == ["again"]


def test_large_items_and_results_do_not_block():
    with Pool(Work(), 2) as pool:
        items = [bytes(3_000_000), "large"] * 6
        assert [len(result) if isinstance(result, bytes) else 0 for result in pool.map(items)] == [
            3_000_000,
            5_000_000,
        ] * 6


def test_few_items_are_under_way_at_a_time():
    taken = 0

    def items():
        nonlocal taken
        for number in range(50):
            taken += 1
            yield number

    with Pool(Work(), 2) as pool:
        results = pool.map(items())
        next(results)
        assert taken <= 2 * IN_FLIGHT + 1


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ("refuse", "^file.txt:3: refused$"),
        ("break", r"a worker process failed \(ZeroDivisionError: division by zero\)"),
        ("die", r"worker process \d+ ended early \(exit -9\)"),
    ],
)
def test_what_goes_wrong_is_one_line(item: str, message: str):
    with Pool(Work(), 2) as pool, pytest.raises(BertsmithError, match=message):
        list(pool.map([1, 2, item, 3, 4, 5, 6, 7, 8]))


def test_leaving_ends_the_workers():
    with Pool(Work(), 2) as pool:
        pids = set(pool.map(["pid"] * 6))
        assert len(pids) == 2 and os.getpid() not in pids
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)


def test_a_request_to_stop_is_heard(monkeypatch: pytest.MonkeyPatch):
    with Pool(Work(), 2) as pool:
        results = pool.map(iter(int, 1))
        next(results)
        monkeypatch.setattr(interrupt, "_requested", "SIGTERM")
        with pytest.raises(Stopped):
            for _ in results:
                pass


PARENT = """
import sys, time
from bertsmith.data.pool import Pool
from tests.data.test_pool import Work
with Pool(Work(), 2) as pool:
    print(*pool.map(["pid"] * 2), flush=True)
    for _ in pool.map([30.0, 30.0]):
        pass
"""


@pytest.mark.skipif(sys.platform != "linux", reason="asks the kernel for the signal")
def test_workers_die_with_their_parent():
    """A script without `if __name__ == "__main__"`, killed in the middle of its work."""
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True, env=environment) as parent:
        assert parent.stdout is not None
        pids = parent.stdout.readline().split()
        assert len(pids) == 2
        parent.kill()
        parent.wait()
        deadline = time.monotonic() + 5
        while any(Path(f"/proc/{pid}").exists() for pid in pids) and time.monotonic() < deadline:
            time.sleep(0.02)
        assert not any(Path(f"/proc/{pid}").exists() for pid in pids)
