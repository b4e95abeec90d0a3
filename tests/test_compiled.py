"""Compiled code where its cache cannot be written."""

from typing import Any

import pytest

from bertsmith import compiled


def double(value: int) -> int:
    return 2 * value


def test_a_cache_that_cannot_be_written_is_done_without(monkeypatch: pytest.MonkeyPatch):
    original, asked = compiled.njit, []

    def read_only(**options: Any):
        asked.append(options)
        if options.get("cache"):
            raise RuntimeError("cannot cache function: no locator available")
        return original(**options)

    monkeypatch.setattr(compiled, "njit", read_only)
    assert compiled.kernel(double)(21) == 42
    assert asked == [{"cache": True, "nogil": True}, {"nogil": True}]
