"""Signals become requests; a second Ctrl-C does not wait."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from bertsmith import interrupt
from bertsmith.errors import Interrupted, Stopped


@pytest.fixture(autouse=True)
def _handlers() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    interrupt.install()
    yield
    interrupt.clear()
    for number, handler in before.items():
        signal.signal(number, handler)


def test_nothing_happens_without_a_signal() -> None:
    assert interrupt.requested() == ""
    interrupt.check()


def test_sigterm_is_stopped_with_75() -> None:
    os.kill(os.getpid(), signal.SIGTERM)
    assert interrupt.requested() == "SIGTERM"
    with pytest.raises(Stopped, match="stopped by SIGTERM; step 3 is saved") as caught:
        interrupt.check("step 3 is saved")
    assert caught.value.exit_code == 75


def test_control_c_is_interrupted_with_130() -> None:
    os.kill(os.getpid(), signal.SIGINT)
    with pytest.raises(Interrupted, match="interrupted; nothing was changed") as caught:
        interrupt.check()
    assert caught.value.exit_code == 130


def test_a_second_control_c_does_not_wait() -> None:
    os.kill(os.getpid(), signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGINT)


def test_a_second_sigterm_changes_nothing() -> None:
    os.kill(os.getpid(), signal.SIGTERM)
    os.kill(os.getpid(), signal.SIGTERM)
    assert interrupt.requested() == "SIGTERM"


def test_a_new_command_starts_without_a_request() -> None:
    os.kill(os.getpid(), signal.SIGTERM)
    interrupt.install()
    interrupt.check()
