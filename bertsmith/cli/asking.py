"""The verbs that judge models: evaluate and compare."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import App, Parameter

from bertsmith.cli.common import AsJson, Model, Paths, PlainSeed, Precision, given_flags, no_flags, print_result

evaluate = App(name="evaluate")


@evaluate.command(name="mlm")
def evaluate_mlm(
    *, model: Model, data: Paths, precision: Precision = "fp32", seed: PlainSeed = 0, as_json: AsJson = False
) -> None:
    """Hide 15 % of the words of a text and count how well the model restores them.

    In another precision the figures in fp32 stand beside, so that its price is seen before it is used.
    Fields of the reader are flags: --text.field body.

    Example: bertsmith evaluate mlm --from run --data valid.txt --json
    """
    from bertsmith import pipeline, rendering

    result = pipeline.evaluate_mlm(model, data, seed=seed, flags=given_flags(), precision=precision)
    print_result(result, as_json, rendering.values)


@evaluate.command(name="pairs")
def evaluate_pairs(
    *,
    model: Model,
    data: Paths,
    cut: Annotated[Literal["next_sentence", "sentence_order"], Parameter(help="what a pair is")] = "next_sentence",
    seed: PlainSeed = 0,
    as_json: AsJson = False,
) -> None:
    """Cut a text into true and false pairs of segments and let the model judge them.

    Fields of the reader and of the cut are flags: --text.field body, --cut.random-probability 0.5.

    Example: bertsmith evaluate pairs --from run --data valid.txt --json
    """
    from bertsmith import pipeline, rendering

    flags = {"cut.name": cut, **given_flags()}
    print_result(pipeline.evaluate_pairs(model, data, seed=seed, flags=flags), as_json, rendering.values)


@evaluate.command(name="minimal-pairs")
def evaluate_minimal_pairs(
    *,
    model: Model,
    data: Paths,
    limit: Annotated[int, Parameter(help="most pairs of each file, drawn by the seed; 0 = all")] = 0,
    seed: PlainSeed = 0,
    as_json: AsJson = False,
) -> None:
    """Pairs of sentences, one of them ungrammatical: how often the model finds the good one more probable.

    Reads JSON lines with sentence_good and sentence_bad, as BLiMP and ZhoBLiMP are published.

    Example: bertsmith evaluate minimal-pairs --from run --data blimp/ --json
    """
    from bertsmith import pipeline, rendering

    no_flags("evaluate minimal-pairs")
    print_result(pipeline.evaluate_minimal_pairs(model, data, seed=seed, limit=limit), as_json, rendering.minimal_pairs)


def compare(
    *models: Annotated[
        str, Parameter(help="runs, checkpoints or Hugging Face folders; the first is what the others are held against")
    ],
    data: Annotated[
        list[str] | None, Parameter(consume_multiple=True, negative=(), help="texts; each has columns of its own")
    ] = None,
    pairs: Annotated[
        list[str] | None, Parameter(consume_multiple=True, negative=(), help="files or folders of minimal pairs")
    ] = None,
    task: Annotated[str, Parameter(show_default=False, help="a task that all models were fine-tuned on")] = "",
    task_data: Annotated[
        Path | None, Parameter(help="data of the task: a file, or the folder with the validation part")
    ] = None,
    out: Annotated[Path | None, Parameter(help="folder for compare.html, the table with plots")] = None,
    seed: PlainSeed = 0,
    as_json: AsJson = False,
) -> None:
    """Models side by side: size on disk and in memory, time of a sentence on the CPU, quality, and what is kept of it.

    The first model is what the others are held against: of its parameters, time and quality they have such a share.
    Quality kept is told raw and above what knowing nothing reaches: the commonest token of a text, half of the minimal
    pairs, the majority class of a task.

    Bits per character compare between tokenizers; loss and accuracy only between models of one tokenizer.

    Example: bertsmith compare teacher student --data valid.txt --pairs blimp/ --out comparison
    """
    from bertsmith import pipeline, rendering

    of_task: dict[str, Any] = {"task": task, "task_data": task_data}
    result = pipeline.compare(models, data or [], pairs or [], out, seed=seed, flags=given_flags(), **of_task)
    print_result(result, as_json, rendering.comparison)
