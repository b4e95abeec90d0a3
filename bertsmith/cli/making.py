"""The verbs that make something: prepare, pretrain, import, demo."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from bertsmith.cli.common import AsJson, Paths, PlainSeed, Recipe, Seed, Unused, no_flags, print_result, recipe_flags


def prepare(
    recipe: Recipe,
    /,
    *,
    text: Paths,
    out: Annotated[Path, Parameter(help="folder of the corpus")],
    tokenizer: Annotated[str, Parameter(help="a vocab.txt or a model folder to use instead of training one")] = "",
    workers: Annotated[
        int, Parameter(help="processes; 0 = one per core, eight at most; the corpus does not depend on it")
    ] = 0,
    seed: Seed = None,
    as_json: AsJson = False,
) -> None:
    """Turn text files into a corpus: clean, split, train a tokenizer, tokenise.

    Reads .txt (a blank line between documents), .jsonl and .parquet, also .gz. The same line again, after a stop,
    starts anew; after the end it prints the same result.

    Every field of the recipe is a flag: --tokenizer.size 8000. `bertsmith recipes NAME` lists them.

    Example: bertsmith prepare bert-mini --text books/ notes.txt --out corpus
    """
    from bertsmith import pipeline, rendering

    result = pipeline.prepare(recipe, text, out, tokenizer=tokenizer or None, workers=workers, flags=recipe_flags(seed))
    print_result(result, as_json, rendering.values)


def pretrain(
    recipe: Recipe,
    /,
    *,
    corpus: Annotated[
        list[str], Parameter(help="folder made by prepare; several, of one tokenizer, with weights as FOLDER:WEIGHT")
    ],
    out: Annotated[Path, Parameter(help="folder of the run")],
    init: Annotated[
        Path | None, Parameter(help="a model folder, a run or a checkpoint whose weights to start from")
    ] = None,
    teacher: Annotated[
        Path | None, Parameter(help="for a distil recipe: a run or a model folder that the new model learns from")
    ] = None,
    seed: Seed = None,
    as_json: AsJson = False,
) -> None:
    """Train a model on a corpus; the result is OUT/model, a Hugging Face folder, and OUT/report.html.

    The same line again resumes a stopped run exactly where its newest checkpoint stands.
    Under torchrun --nproc-per-node N -m bertsmith pretrain ... the run is shared by N processes.

    Every field of the recipe is a flag: --training.steps 300. `bertsmith recipes NAME` lists them.

    Example: bertsmith pretrain bert-mini --corpus corpus --out run --training.minutes 40
    """
    from bertsmith import pipeline, rendering

    result = pipeline.pretrain(recipe, corpus, out, init, flags=recipe_flags(seed), teacher=teacher)
    print_result(result, as_json, rendering.values)


def import_(
    folder: Annotated[Path, Parameter(help="a Hugging Face folder with pytorch_model.bin")],
    /,
    *,
    out: Annotated[Path, Parameter(help="folder of the model to write")],
    seed: Unused = 0,
    as_json: AsJson = False,
) -> None:
    """Turn published weights that are not in safetensors into a model folder, without running anything in them.

    A pytorch_model.bin is a pickle; it is read by a reader that builds tensors and nothing else, or refused.

    Example: bertsmith import chinese-bert-wwm --out wwm
    """
    from bertsmith import pipeline, rendering

    no_flags("import")
    print_result(pipeline.import_model(folder, out), as_json, rendering.values)


def demo(
    *,
    out: Annotated[Path, Parameter(help="folder for the text, the corpus and the run")] = Path("demo"),
    seed: PlainSeed = 0,
    as_json: AsJson = False,
) -> None:
    """The whole way in minutes, offline, on text every Python has: its own documentation.

    Example: bertsmith demo --out demo
    """
    from bertsmith import demo as documentation
    from bertsmith import pipeline

    no_flags("demo")
    print_result(pipeline.demo(out, seed=seed), as_json, documentation.render)
