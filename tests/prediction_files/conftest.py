"""The models that these tests share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.prediction_files.tiny import VERBS, write_model


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A model folder for each verb; tests only read them."""
    folder = tmp_path_factory.mktemp("models")
    found = {head: write_model(folder / head, head) for head in set(VERBS.values())}
    return {verb: found[head] for verb, head in VERBS.items()}
