"""The documents say what is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "bertsmith"


def test_the_map_names_every_file_once() -> None:
    listed = re.findall(r"^\| `([\w/]+\.py)` \| \S", (ROOT / "docs" / "map.md").read_text(), re.MULTILINE)
    present = [path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py")]
    assert sorted(listed) == sorted(present)


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_files_say_what_they_do_and_stay_small(path: Path) -> None:
    text = path.read_text()
    assert text.startswith('"""'), "a file begins with what it does"
    assert len(text.splitlines()) <= 300


def test_flags_in_the_documents_exist() -> None:
    """Every dotted flag that a document shows is a field of the recipe, of a fine-tuning, or the budget of a study."""
    from bertsmith import config
    from bertsmith.recipe import Recipe
    from bertsmith.studies.study import BudgetConfig
    from bertsmith.tasks.finetuning_config import FinetuningConfig

    budgets = {f"budget.{key}" for key in config.all_keys(BudgetConfig)}
    known = {*config.all_keys(Recipe), *config.all_keys(FinetuningConfig), *budgets}
    for path in [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]:
        for flag in re.findall(r"--([a-z_]+(?:\.[a-z_-]+)+)", path.read_text()):
            assert flag.replace("-", "_") in known, f"{path.name} shows --{flag}"
