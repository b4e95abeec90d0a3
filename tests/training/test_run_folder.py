"""What a start finds in the folder it is given."""

from __future__ import annotations

from pathlib import Path

import pytest

from bertsmith.errors import UsageError
from bertsmith.training.run_folder import RunFolder


def test_a_start_killed_between_its_two_files_may_be_repeated(tmp_path: Path) -> None:
    (tmp_path / "recipe.toml").write_text("seed = 0\n")
    (tmp_path / ".lock").touch()
    folder = RunFolder(tmp_path)
    folder.refuse_foreign()
    assert sorted(path.name for path in tmp_path.iterdir()) == [".lock", "recipe.toml"]
    folder.recipe_file.rename(tmp_path / "other.toml")
    with pytest.raises(UsageError, match="holds no run"):
        folder.refuse_foreign()


def test_a_folder_with_other_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "recipe.toml").write_text("seed = 0\n")
    (tmp_path / "thesis.txt").touch()
    with pytest.raises(UsageError, match="holds no run"):
        RunFolder(tmp_path).refuse_foreign()
