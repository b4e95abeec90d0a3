"""What the tests of exports start from."""

from __future__ import annotations

from pathlib import Path

import pytest

from bertsmith.models.folder import save_model
from tests.stories import tiny_model, tiny_tokenizer


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with both pretraining heads."""
    folder = tmp_path_factory.mktemp("pretrained") / "model"
    folder.mkdir()
    tokenizer = tiny_tokenizer()
    save_model(tiny_model(tokenizer), folder, pad_token_id=tokenizer.special.pad)
    tokenizer.save(folder, 32)
    return folder
