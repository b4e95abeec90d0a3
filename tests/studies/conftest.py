"""What tests of studies share: runs without reports of their own, and a list of those that are trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bertsmith.studies import runs
from tests.tiny_runs import corpus as corpus

Trained = list[str]


@pytest.fixture(autouse=True)
def _no_reports_of_runs(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of the time of so small a run is its report, which has tests of its own."""
    monkeypatch.setattr("bertsmith.report.pretraining.write_report", lambda out, *folders: out / "report.html")


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> Trained:
    """The names of the runs that are trained, in their order."""
    found: Trained = []
    real = runs.pretrain

    def pretrain(recipe: Any, corpus: Any, out: Path, **options: Any) -> Any:
        found.append(out.name.rsplit("-", 1)[0])
        return real(recipe, corpus, out, **options)

    monkeypatch.setattr(runs, "pretrain", pretrain)
    return found
