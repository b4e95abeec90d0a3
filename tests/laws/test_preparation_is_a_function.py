"""Laws 1 and 4 for preparation: the bytes of a corpus depend on text and config alone, and it is whole or absent."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bertsmith.data import preparation
from bertsmith.data.preparation import prepare_corpus
from bertsmith.text.config import TextConfig
from bertsmith.tokenizers.config import TokenizerConfig

ROOT = Path(__file__).parents[2]

PREPARE = """
import sys
from pathlib import Path
from bertsmith import interrupt
from bertsmith.data import preparation, reading, writer
from bertsmith.errors import BertsmithError
from bertsmith.text.config import TextConfig
from bertsmith.tokenizers.config import TokenizerConfig
preparation.SMALL_INPUT, reading.CHUNK_CHARACTERS, writer.PART_TOKENS = 0, 4000, 5000
interrupt.install()
print("ready", flush=True)
try:
    preparation.prepare_corpus([sys.argv[1]], Path(sys.argv[2]), TokenizerConfig(size=500), TextConfig(), workers=2)
except BertsmithError as error:
    print(f"bertsmith: {error}", file=sys.stderr)
    sys.exit(error.exit_code)
"""


def write_text(path: Path) -> Path:
    """About 400 kB, no two documents alike, so that preparing them takes a moment."""
    lines = []
    for number in range(4000):
        lines.append(" ".join(f"word{(number * step) % 997}" for step in range(2, 14)) + ".\n")
        lines.append("" if number % 4 else "\n")
    path.write_text("".join(lines))
    return path


@pytest.fixture
def text(tmp_path: Path) -> Path:
    return write_text(tmp_path / "text.txt")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The corpus of a run that nobody killed."""
    folder = tmp_path_factory.mktemp("undisturbed")
    assert start(write_text(folder / "text.txt"), folder / "corpus").wait() == 0
    return tree(folder / "corpus")


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def start(text: Path, out: Path, **environment: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", PREPARE, str(text), str(out)],
        env=os.environ | {"PYTHONPATH": str(ROOT)} | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    return process


def test_the_bytes_do_not_depend_on_the_workers(text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(preparation, "SMALL_INPUT", 0)
    monkeypatch.setattr("bertsmith.data.reading.CHUNK_CHARACTERS", 10_000)
    monkeypatch.setattr("bertsmith.data.writer.PART_TOKENS", 20_000)
    made = []
    for workers in (1, 2, 3):
        prepare_corpus([str(text)], tmp_path / str(workers), TokenizerConfig(size=500), TextConfig(), workers=workers)
        made.append(tree(tmp_path / str(workers)))
    assert made[0] == made[1] == made[2]
    assert len([name for name in made[0] if name.startswith("train-")]) > 2


@pytest.mark.parametrize(
    "point",
    [
        *(pytest.param(point, marks=pytest.mark.slow) for point in ("corpus.opened", "corpus.before-manifest")),
        *("corpus.part", "corpus.after-manifest"),
    ],
)
def test_killed_anywhere_the_same_line_again_gives_the_same_bytes(
    point: str, text: Path, tmp_path: Path, undisturbed: dict[str, bytes]
):
    assert start(text, tmp_path / "corpus", BERTSMITH_CRASH_POINT=point).wait() == -signal.SIGKILL
    assert not (tmp_path / "corpus").exists()
    assert start(text, tmp_path / "corpus").wait() == 0
    assert tree(tmp_path / "corpus") == undisturbed
    assert {path.name for path in tmp_path.iterdir()} == {"text.txt", "corpus"}


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 75), (signal.SIGINT, 130)])
@pytest.mark.parametrize("delay", [0.1, 1.0])
def test_signals_end_it_in_one_line_with_nothing_left(number: int, code: int, delay: float, text: Path, tmp_path: Path):
    process = start(text, tmp_path / "corpus")
    time.sleep(delay)
    process.send_signal(number)
    _, shown = process.communicate(timeout=30)
    if process.returncode in (0, -number) and (tmp_path / "corpus").exists():  # it was faster, and at most leaving
        return
    assert process.returncode == code
    assert shown.splitlines()[-1].startswith("bertsmith: ") and "Traceback" not in shown
    assert [path.name for path in tmp_path.iterdir()] == ["text.txt"]


@pytest.mark.slow
@pytest.mark.parametrize("delay", [0.05 * number for number in range(1, 41, 3)])
def test_killed_at_any_time_the_same_line_again_gives_the_same_bytes(
    delay: float, text: Path, tmp_path: Path, undisturbed: dict[str, bytes]
):
    process = start(text, tmp_path / "corpus")
    time.sleep(delay)
    process.kill()
    if process.wait() != 0:
        assert not (tmp_path / "corpus").exists() or tree(tmp_path / "corpus") == undisturbed
    assert start(text, tmp_path / "corpus").wait() == 0
    assert tree(tmp_path / "corpus") == undisturbed
    assert {path.name for path in tmp_path.iterdir()} == {"text.txt", "corpus"}
