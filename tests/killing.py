"""Runs that end where SIGKILL would end them, without a chance to save."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from bertsmith.training import run as run_module


class Killed(BaseException):
    """Ends a run at once: nothing in it catches this."""


def with_kills(train: Callable[[], Any], kills: Sequence[int], monkeypatch: pytest.MonkeyPatch) -> Any:
    """Train to the end; the process "dies" after each of the steps `kills`, when its line of metrics is written."""
    real = run_module.Run._log
    for kill in kills:

        def log(self: Any, step: Any, kill: int = kill) -> str:
            text = real(self, step)
            if step.number == kill:
                raise Killed
            return text

        monkeypatch.setattr(run_module.Run, "_log", log)
        with pytest.raises(Killed):
            train()
    monkeypatch.setattr(run_module.Run, "_log", real)
    return train()
