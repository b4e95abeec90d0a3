"""What `inspect` and `recipes` answer: which kind of thing a name means, and what it holds."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bertsmith import config, store
from bertsmith.config import Flags
from bertsmith.errors import UsageError
from bertsmith.recipe import Recipe, find_recipe, load_recipe, shipped

Result = dict[str, Any]


def inspect(subject: str, recipe: str = "", flags: Flags | None = None) -> Result:
    """Counts and masks of a corpus, or parameters by part of a model, a run or a recipe.

    `recipe` (of a corpus): whose cut and masking to draw; the one it was prepared with when "".
    """
    from bertsmith.report import inspection

    path = Path(subject)
    if (path / store.MANIFEST).is_file() and not (path / "config.json").is_file():
        return _inspect_corpus(path, recipe, flags)
    if recipe:
        raise UsageError(f"--recipe: {subject} is no corpus; only a corpus is drawn with a recipe's masks")
    if (path / "config.json").is_file() or (path / "model" / "config.json").is_file():
        from bertsmith.models.folder import load_model
        from bertsmith.tasks.trained import model_folder

        if flags:
            raise UsageError(f"--{next(iter(flags))}: {subject} is a model, whose fields are what they are")
        model = load_model(model_folder(path))
        return inspection.inspect_encoder(model.config, model.trained_heads, model.task)
    if path.is_dir() and not (path / "recipe.toml").is_file():
        raise UsageError(f"{subject}: holds no corpus, no model and no run")
    from bertsmith.objectives.table import needed_heads

    chosen = load_recipe(subject, flags)
    return inspection.inspect_encoder(chosen.model, needed_heads(chosen.objectives))


def _inspect_corpus(path: Path, recipe: str, flags: Flags | None) -> Result:
    from bertsmith.data.corpus import SPLITS, Corpus
    from bertsmith.report.inspection import inspect_corpus

    corpora = [Corpus.open(path, split, verify=True) for split in SPLITS]
    chosen = load_recipe(recipe, flags) if recipe else _recipe_of(path, corpora[0].details, flags)
    return inspect_corpus(corpora, chosen.cut, chosen.masking, chosen.seed)


def _recipe_of(corpus: Path, details: Mapping[str, Any], flags: Flags | None) -> Recipe:
    """The recipe a corpus was prepared with, under the flags given now."""
    import tomllib

    values = tomllib.loads(str(details["recipe"]))
    return config.build(Recipe, config.merge(values, config.parse_overrides(Recipe, flags or {})), str(corpus))


def list_recipes() -> list[Result]:
    """The shipped recipes, smallest first: name, description, sizes, budget."""
    found = []
    for name in shipped():
        recipe = load_recipe(name)
        unit, amount = recipe.training.budget
        found.append(
            {
                "name": name,
                "description": recipe.description,
                "layers": recipe.model.layers,
                "hidden_size": recipe.model.hidden_size,
                "learning_rate": recipe.training.learning_rate,
                "batch": f"{recipe.training.batch_size} x {recipe.cut.length}",
                "budget": f"{amount:,.10g} {unit}",
            }
        )
    return found


def show_recipe(name: str, flags: Flags | None = None) -> Result:
    """Every field of a recipe: its value, type and meaning, and the recipe as TOML."""
    recipe = load_recipe(name, flags)
    values = config.flat(recipe)
    rows = [
        {"key": key, "value": values[key], "type": kind, "help": meaning}
        for key, kind, _, meaning in config.fields(Recipe)
    ]
    return {"name": recipe.name, "file": str(find_recipe(name)), "fields": rows, "toml": config.dump(recipe)}
