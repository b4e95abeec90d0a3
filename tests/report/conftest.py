"""Folders that tests of reports read."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.report.finished import HOSTILE, Finished, make_corpus, make_run


@pytest.fixture(scope="session")
def english(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus of English and of lines that try to be HTML."""
    return make_corpus(tmp_path_factory.mktemp("english") / "corpus")


@pytest.fixture(scope="session")
def chinese(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus of Chinese."""
    return make_corpus(tmp_path_factory.mktemp("chinese") / "corpus", "chinese")


@pytest.fixture
def finished(tmp_path: Path, english: Path) -> Finished:
    """A run on the English corpus whose name tries to be HTML too."""
    return Finished(make_run(tmp_path / "run", english, name=HOSTILE), english)
