"""What people read: on stderr, in readable units, harmless when nobody reads it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from bertsmith import console


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0"),
        (7, "7"),
        (0.5, "0.5"),
        (999, "999"),
        (999.96, "1k"),
        (1234, "1.23k"),
        (1_234_567, "1.23M"),
        (999_999, "1M"),
        (110_106_428, "110M"),
        (3.2e9, "3.2G"),
        (5e13, "50T"),
        (-1234, "-1.23k"),
    ],
)
def test_count(number: float, text: str) -> None:
    assert console.count(number) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.0s"),
        (9.94, "9.9s"),
        (59.4, "59s"),
        (60, "1m 0s"),
        (200, "3m 20s"),
        (3599.7, "1h 0m"),
        (7260, "2h 1m"),
        (90000, "1d 1h"),
        (float("inf"), "unknown"),
        (float("nan"), "unknown"),
    ],
)
def test_duration(seconds: float, text: str) -> None:
    assert console.duration(seconds) == text


def test_size() -> None:
    assert [console.size(n) for n in (0, 999, 1000, 108e6, 2.5e9)] == ["0 B", "999 B", "1 kB", "108 MB", "2.5 GB"]


def test_a_table_aligns_numbers_right_and_counts_wide_characters() -> None:
    text = console.render_table("title", [["今天", 1234], ["ab", 5]], ["word", "times"])
    assert text == "title\nword  times\n----  -----\n今天  1,234\nab        5"


def test_everything_goes_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    console.say("progress")
    console.warn("careful")
    console.table("title", [["a", 1]], ["x", "y"])
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.splitlines()[:3] == ["progress", "warning: careful", "title"]


def test_quiet_ranks_still_warn(capsys: pytest.CaptureFixture[str]) -> None:
    console.set_quiet(True)
    console.say("progress")
    console.table("title", [["a", 1]], ["x", "y"])
    with console.Progress(10, "steps") as progress:
        progress.update(5)
    console.warn("careful")
    console.error("failed")
    assert capsys.readouterr().err == "warning: careful\nbertsmith: failed\n"


def test_progress_in_a_log_is_a_plain_line_now_and_then(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [0.0]
    monkeypatch.setattr(console.time, "monotonic", lambda: clock[0])
    with console.Progress(1000, "steps", "train") as progress:
        for done in range(100, 1001, 100):
            progress.update(done, f"loss {done}")
            clock[0] += 4.0
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 3  # every 12 s of 36
    assert lines[0] == "train | 400 of 1k steps (40%) | 25 steps/s | loss 400 | 24s left"


def test_progress_after_a_resume_counts_only_new_work(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [0.0]
    monkeypatch.setattr(console.time, "monotonic", lambda: clock[0])
    with console.Progress(1000, "steps") as progress:
        progress.update(900)
        clock[0] = 10.0
        progress.update(910)
    assert "1 steps/s" in (line := capsys.readouterr().err)
    assert "1m 30s left" in line


def test_progress_of_unknown_length(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr(console.time, "monotonic", lambda: clock[0])
    with console.Progress(0, "B") as progress:
        progress.update(0)
        clock[0] = 10.0
        progress.update(30_000_000)
    assert capsys.readouterr().err == "30 MB | 3 MB/s\n"


SPEAK = "from bertsmith import console; [console.say('今天 %d' % i) for i in range(100)]; print('result')"


def test_nobody_reading_the_progress_does_not_stop_the_work() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run([sys.executable, "-c", SPEAK], stdout=subprocess.PIPE, stderr=writing)
    os.close(writing)
    assert (done.returncode, done.stdout) == (0, b"result\n")


def test_a_terminal_without_the_characters_gets_escapes() -> None:
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    done = subprocess.run([sys.executable, "-c", SPEAK], capture_output=True, env=environment)
    assert done.returncode == 0
    assert done.stderr.splitlines()[0] == b"\\u4eca\\u5929 0"


def test_the_same_advice_is_given_once_where_many_runs_are_part_of_one(capsys: pytest.CaptureFixture[str]) -> None:
    with console.advised_once():
        for line in ("a rate", "a rate", "rows"):
            console.advise(line)
    for _ in range(2):
        console.advise("a rate")
    assert capsys.readouterr().err.splitlines() == ["a rate", "rows", "a rate", "a rate"]
