"""The verbs that look: inspect, recipes, doctor."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from bertsmith.cli.common import AsJson, PlainSeed, Seed, no_flags, print_result, recipe_flags


def inspect(
    subject: Annotated[str, Parameter(help="a corpus, a model, a run or a recipe")],
    /,
    *,
    recipe: Annotated[str, Parameter(help="for a corpus: draw the masks of this recipe")] = "",
    seed: Seed = None,
    as_json: AsJson = False,
) -> None:
    """What a corpus, a model or a recipe holds: counts, masks drawn on real lines, parameters by part.

    Example: bertsmith inspect bert-base --model.layers 6
    """
    from bertsmith import pipeline, rendering

    result = pipeline.inspect(subject, recipe=recipe, flags=recipe_flags(seed))
    print_result(result, as_json, rendering.inspection)


def plan(
    *recipes: Annotated[str, Parameter(help="shipped names or TOML files; several stand side by side")],
    corpus: Annotated[Path | None, Parameter(help="plan with this corpus' vocabulary and lengths")] = None,
    teacher: Annotated[Path | None, Parameter(help="a model, a run or a checkpoint, for recipes that distil")] = None,
    seed: Seed = None,
    as_json: AsJson = False,
) -> None:
    """Parameters, memory, operations and time of a training, before it starts.

    Fields of the recipes are flags: --model.vocab-size 8000 where there is no corpus.

    Example: bertsmith plan bert-base albert-base --training.minutes 60
    """
    from bertsmith import pipeline, rendering

    print_result(pipeline.plan(recipes, corpus, recipe_flags(seed), teacher), as_json, rendering.plans)


def recipes(
    name: Annotated[str, Parameter(help="show every field of this one")] = "",
    /,
    *,
    seed: Seed = None,
    as_json: AsJson = False,
) -> None:
    """The shipped recipes, or every field of one with its value and meaning.

    Example: bertsmith recipes bert-mini --training.minutes 40
    """
    from bertsmith import pipeline, rendering

    if name:
        print_result(pipeline.show_recipe(name, flags=recipe_flags(seed)), as_json, rendering.recipe_fields)
    else:
        no_flags("recipes without a name")
        print_result(pipeline.list_recipes(), as_json, rendering.recipe_list)


def doctor(
    *,
    seconds: Annotated[float, Parameter(help="time spent measuring")] = 10.0,
    seed: PlainSeed = 0,
    as_json: AsJson = False,
) -> None:
    """What this machine has, how fast it multiplies matrices, what pays here and what is missing.

    Example: bertsmith doctor
    """
    from bertsmith import doctor as machine

    no_flags("doctor")
    print_result(machine.examine(seconds, seed), as_json, machine.render)
