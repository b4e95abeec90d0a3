"""Measurements, kept per machine: two runs of the same line settle alike, however busy the machine is.

Without this, timing noise could choose bf16 for one run and fp32 for the next, and a run could not be compared with
another bit for bit. The file may be deleted at any time; the next run measures again.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from bertsmith import store
from bertsmith.errors import BertsmithError
from bertsmith.training.device import Device

T = TypeVar("T", str, bool, float)


def file() -> Path:
    """$BERTSMITH_CACHE/measurements.json, by default under $XDG_CACHE_HOME/bertsmith or ~/.cache/bertsmith."""
    own = os.environ.get("BERTSMITH_CACHE")
    base = Path(own) if own else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "bertsmith"
    return base / "measurements.json"


def remembered(
    what: str,
    circumstances: object,
    measure: Callable[[], T],
    device: Device,
    trusted: Callable[[], bool] = lambda: True,
) -> T:
    """What was measured earlier under the same circumstances (JSON), or what `measure` returns now.

    The ranks agree: all take the first one's memory, or all measure and take the first one's result. trusted: asked on
    the first rank after measuring; what is not trusted is not kept.
    """
    name = f"{what} {store.fingerprint(json.dumps(circumstances, sort_keys=True))[:16]}"
    found = device.on_main(lambda: _read().get(name))
    if found is not None:
        return found
    measured = measure()
    return device.on_main(lambda: _remember(name, measured) if trusted() else measured)


def _read() -> dict[str, T]:
    try:
        values = json.loads(file().read_bytes())
        return values if isinstance(values, dict) else {}
    except (OSError, ValueError, RecursionError):
        return {}


def _remember(name: str, measured: T) -> T:
    try:
        file().parent.mkdir(parents=True, exist_ok=True)
        store.write_json(file(), {**_read(), name: measured})
    except (OSError, BertsmithError):
        pass  # a home that cannot be written to: every run measures for itself
    return measured
