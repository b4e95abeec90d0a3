"""The real command with worker processes: killed, stopped, with a dead worker, and over a large file."""

from __future__ import annotations

import random
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from bertsmith.prediction_files import job, questions
from bertsmith.prediction_files.formats import FORMATS
from tests.prediction_files.tiny import request, texts, write_input, write_model
from tests.tiny_runs import bertsmith, command, environment

ROWS = 6_000  # six chunks


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_input(tmp_path_factory.mktemp("source") / "in.csv", texts(ROWS))


@pytest.fixture(scope="module")
def whole(models: dict[str, Path], source: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The output of a run that nothing disturbed, by this process alone."""
    output = tmp_path_factory.mktemp("whole") / "out.parquet"
    job.write(request(models["embed"], source), output)
    return output.read_bytes()


def arguments(models: dict[str, Path], source: Path, output: Path, *more: str) -> list[str | Path]:
    return ["predict", "embed", "--from", models["embed"], "--input", source, "--output", output, *more]


class Started:
    """A command that makes predictions, in a process group of its own."""

    def __init__(self, line: list[str | Path], output: Path) -> None:
        self.parts = output.with_name(f"{output.name}.parts")
        self.process = subprocess.Popen(
            command(*line), env=environment(), stderr=subprocess.PIPE, text=True, start_new_session=True
        )

    def wait_for_parts(self, count: int) -> None:
        deadline = time.monotonic() + 300
        while len(list(self.parts.glob("part-*"))) < count:
            assert self.process.poll() is None, self.process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.005)

    def workers(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children()

    def end(self, seconds: float) -> tuple[int, str]:
        """Exit code and the one line that tells why; fails when it takes longer."""
        _, said = self.process.communicate(timeout=seconds)
        assert "Traceback" not in said
        (line,) = [line for line in said.splitlines() if line.startswith("bertsmith: ")]
        return self.process.returncode, line


@pytest.fixture
def started(models: dict[str, Path], source: Path, tmp_path: Path) -> Iterator[Started]:
    """A run with two workers that has kept its first chunk."""
    output = tmp_path / "out.parquet"
    found = Started(arguments(models, source, output, "--workers", "2"), output)
    found.wait_for_parts(1)
    yield found
    found.process.kill()
    found.process.communicate()


@pytest.mark.slow
def test_workers_give_the_same_bytes(models: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (questions, job):
        monkeypatch.setattr(module, "CHUNK_ROWS", 16)
    source = write_input(tmp_path / "in.jsonl", [*texts(100), None, *texts(50)])
    found = {}
    for workers in (1, 2):
        output = tmp_path / f"out-{workers}.parquet"
        result = job.write(request(models["embed"], source, workers=workers), output)
        assert (result["rows"], result["errors"]) == (151, 1)
        found[workers] = output.read_bytes()
    assert found[1] == found[2]


@pytest.mark.slow
def test_every_process_computes_the_same_bits_on_a_wide_model(tmp_path: Path) -> None:
    """Several times: whatever is chosen by the clock when a model is read would differ now and then."""
    model = write_model(tmp_path / "model", "none", hidden_size=256, intermediate_size=1024, layers=4)
    source = write_input(tmp_path / "in.txt", texts(4096))
    found = set()
    for number in range(4):
        output = tmp_path / f"out-{number}.parquet"
        job.write(request(model, source, workers=2), output)
        found.add(output.read_bytes())
    assert len(found) == 1


def test_kill_9_and_the_same_line_again(models: dict[str, Path], source: Path, whole: bytes, tmp_path: Path) -> None:
    line = arguments(models, source, tmp_path / "out.parquet", "--workers", "1")
    killed = bertsmith(*line, BERTSMITH_CRASH_POINT="predict.part@3")
    assert killed.returncode == -signal.SIGKILL and not (tmp_path / "out.parquet").exists()
    assert len(list((tmp_path / "out.parquet.parts").glob("part-*"))) == 3
    job.write(request(models["embed"], source), tmp_path / "out.parquet")
    assert (tmp_path / "out.parquet").read_bytes() == whole


@pytest.mark.slow
@pytest.mark.parametrize("ending", FORMATS)
def test_kill_9_at_any_moment(models: dict[str, Path], source: Path, tmp_path: Path, ending: str) -> None:
    undisturbed, output = tmp_path / f"whole{ending}", tmp_path / f"out{ending}"
    job.write(request(models["embed"], source), undisturbed)
    draw = random.Random(0)
    for parts in (1, 3, 4):
        begun = Started(arguments(models, source, output, "--workers", "2"), output)
        begun.wait_for_parts(parts)
        time.sleep(draw.uniform(0, 0.1))
        workers = begun.workers()
        begun.process.kill()
        begun.process.communicate()
        assert psutil.wait_procs(workers, timeout=5)[1] == []
    assert bertsmith(*arguments(models, source, output)).returncode == 0
    assert output.read_bytes() == undisturbed.read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 75), (signal.SIGINT, 130)])
def test_a_signal_is_heard_and_the_line_goes_on(
    started: Started,
    models: dict[str, Path],
    source: Path,
    whole: bytes,
    tmp_path: Path,
    number: signal.Signals,
    code: int,
) -> None:
    workers = started.workers()
    started.process.send_signal(number)
    ended, line = started.end(10)
    assert ended == code
    assert re.search(r"; [\d,]+ rows are kept; type the same line again to go on$", line)
    assert psutil.wait_procs(workers, timeout=5)[1] == []
    assert bertsmith(*arguments(models, source, tmp_path / "out.parquet")).returncode == 0
    assert (tmp_path / "out.parquet").read_bytes() == whole


@pytest.mark.slow
def test_a_dead_worker_ends_all_with_one_line(started: Started) -> None:
    workers = started.workers()
    workers[1].kill()
    code, line = started.end(10)
    assert code == 1 and "ended early" in line and "type the same line again" in line
    assert psutil.wait_procs(workers, timeout=5)[1] == []


@pytest.mark.slow
def test_memory_stays_the_same_for_a_file_fifty_times_as_large(models: dict[str, Path], tmp_path: Path) -> None:
    largest = []
    for rows in (60_000, 3_000_000):
        source, output = tmp_path / f"{rows}.jsonl", tmp_path / f"{rows}.parquet"
        with source.open("w") as file:
            file.writelines('{"text": "the cat"}\n' if i % 300 == 0 else '{"text": ""}\n' for i in range(rows))
        code = (
            "import resource, sys; from bertsmith import cli; code = cli.run(sys.argv[1:]); "
            "print(code, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
        )
        line = list(map(str, arguments(models, source, output, "--workers", "1")))
        done = subprocess.run([command()[0], "-c", code, *line], env=environment(), capture_output=True, text=True)
        ended, memory = map(int, done.stdout.split())
        assert ended == 0, done.stderr
        largest.append(memory)
    assert largest[1] < largest[0] + 50_000  # kB; the file alone is 40 MB, its rows as Python objects ten times that
