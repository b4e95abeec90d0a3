"""What `pretrain` does: a recipe and a corpus to a run with its model, card and report. Heavy imports stay inside."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bertsmith import config, console, store
from bertsmith.config import Flags
from bertsmith.recipe import Recipe, load_recipe

if TYPE_CHECKING:
    from bertsmith.training.plan import PretrainingPlan

Result = dict[str, Any]


def pretrain(
    recipe: str | Path,
    corpus: str | Path | Sequence[str | Path],
    out: Path,
    init: str | Path | None = None,
    flags: Flags | None = None,
    teacher: str | Path | None = None,
) -> Result:
    """A corpus to a run: train, validate, save `out/model` and its card, write `out/report.html`. It resumes.

    `corpus`: a folder, or several of one tokenizer with weights, ["new:0.8", "old:0.2"]. `init`: a model folder, a run
    or a checkpoint whose weights to start from; sizes of the model are then its own, unless flags say otherwise.
    `teacher`: likewise, for a recipe that distils; a student that starts from its layers has its width.
    """
    if os.environ.get("RANK", "0") == "0":  # under torchrun the first rank locks the folder for all
        store.refuse_locked(Path(out))
    from bertsmith.data.mixture import parse_shares
    from bertsmith.report.model_card import write_card
    from bertsmith.report.pretraining import write_report
    from bertsmith.tasks.trained import model_folder
    from bertsmith.training.advice import advice_for_step
    from bertsmith.training.pretraining import pretrain as train

    shares = parse_shares([corpus] if isinstance(corpus, str | Path) else corpus)
    folder, taught_by = (model_folder(Path(path)) if path else None for path in (init, teacher))
    chosen = recipe_for(recipe, flags, folder, taught_by)
    plan = plan_of(chosen)
    plan = replace(plan, recipe_advice=advice_for_step(plan_of(load_recipe(recipe)), plan))
    result = train(plan, shares, Path(out), folder, taught_by)
    if not console.is_quiet():  # the first rank writes for all
        folders = [share.folder for share in shares]
        write_card(Path(out), *folders)
        console.say(f"report: {write_report(Path(out), *folders)}")
    return asdict(result)


def recipe_for(
    recipe: str | Path, flags: Flags | None, folder: Path | None = None, teacher: Path | None = None
) -> Recipe:
    """The recipe for a model that starts from the weights in a folder, or from layers of its teacher: their sizes,
    unless the flags ask for others.
    """
    chosen = load_recipe(recipe, flags)
    if folder is not None:
        from bertsmith.training.starting import fields_of

        return load_recipe(recipe, flags, fields_of(folder, chosen.model.family))
    if teacher is None:
        return chosen
    from bertsmith.training.student import inherited_fields, teacher_config

    return load_recipe(recipe, flags, inherited_fields(chosen.objectives.distillation, teacher_config(teacher)))


def plan_of(chosen: Recipe) -> PretrainingPlan:
    """The parts of a recipe that pretraining reads."""
    from bertsmith.training.plan import PretrainingPlan

    return PretrainingPlan(
        seed=chosen.seed,
        model=chosen.model,
        cut=chosen.cut,
        masking=chosen.masking,
        objectives=chosen.objectives,
        training=chosen.training,
        long_phase=chosen.long_phase,
        recipe_text=config.dump(chosen),
        recipe_name=chosen.name,
    )
