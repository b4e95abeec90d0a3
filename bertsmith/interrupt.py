"""Signals that set a flag: every long loop asks `check()` where its work so far is safe."""

from __future__ import annotations

import signal
from types import FrameType

from bertsmith.errors import Interrupted, Stopped

_requested = ""


def install() -> None:
    """Turn SIGTERM and SIGINT into a request to stop; a second SIGINT raises KeyboardInterrupt at once.

    Must be called from the main thread.
    """
    clear()
    signal.signal(signal.SIGTERM, _request)
    signal.signal(signal.SIGINT, _request)


def _request(number: int, frame: FrameType | None) -> None:
    global _requested
    name = signal.Signals(number).name
    if name == "SIGINT" and _requested == "SIGINT":
        raise KeyboardInterrupt
    _requested = name


def requested() -> str:
    """The name of the signal that asked to stop, or ""."""
    return _requested


def clear() -> None:
    """Forget a request (a new command in the same process starts without one)."""
    global _requested
    _requested = ""


def check(state: str = "nothing was changed") -> None:
    """Raise Stopped (SIGTERM) or Interrupted (SIGINT) when a signal came; `state` says what became of the work."""
    if _requested == "SIGINT":
        raise Interrupted(f"interrupted; {state}")
    if _requested:
        raise Stopped(f"stopped by {_requested}; {state}")
