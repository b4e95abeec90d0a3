"""Crashes on demand, for tests."""

from __future__ import annotations

import os
import signal

_passed: dict[str, int] = {}


def crash_point(name: str) -> None:
    """Kill this process when BERTSMITH_CRASH_POINT is `name`, or `name@3` for its third time (fault injection)."""
    wanted = os.environ.get("BERTSMITH_CRASH_POINT")
    if not wanted:
        return
    _passed[name] = passed = _passed.get(name, 0) + 1
    if wanted in (name, f"{name}@{passed}"):
        os.kill(os.getpid(), signal.SIGKILL)
