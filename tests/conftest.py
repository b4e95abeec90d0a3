"""Fixtures for every folder of tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from bertsmith import console, interrupt

SHARED_DATA = Path(__file__).resolve().parents[1].parent / "shared" / "data"


@pytest.fixture
def shared_data() -> Path:
    """Real corpora beside the project; tests that want them are skipped where they are missing."""
    if not SHARED_DATA.is_dir():
        pytest.skip("needs ../shared/data beside the project")
    return SHARED_DATA


@pytest.fixture(autouse=True)
def _fresh_process_state() -> None:
    """A test that asked to stop or to be quiet must not reach the next one."""
    interrupt.clear()
    console.set_quiet(False)
