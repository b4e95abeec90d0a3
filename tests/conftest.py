"""Fixtures for every folder of tests."""

from __future__ import annotations

import os

# Tiny models gain nothing from threads, and parallel test runs wait for each other. Set before torch is imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import tempfile
from pathlib import Path

import pytest
from hypothesis import settings

from bertsmith import console, interrupt

# The same examples on every run, and no failure because a machine was busy.
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")

# What runs measure of this machine is kept apart from the user's.
os.environ["BERTSMITH_CACHE"] = tempfile.mkdtemp(prefix="bertsmith-tests-")

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
