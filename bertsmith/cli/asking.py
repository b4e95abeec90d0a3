"""The verbs that ask a model: evaluate and predict."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import App, Parameter

from bertsmith import console
from bertsmith.cli.common import AsJson, Model, Paths, PlainSeed, Unused, given_flags, no_flags, print_result
from bertsmith.errors import UsageError

Input = Annotated[Path | None, Parameter(name="--input", help="read the texts from a file instead, one per line")]
Output = Annotated[Path | None, Parameter(name="--output", help="write the results there, one JSON per line")]

evaluate = App(name="evaluate")
predict = App(name="predict", help="Ask a model.")


@evaluate.command(name="mlm")
def evaluate_mlm(*, model: Model, data: Paths, seed: PlainSeed = 0, as_json: AsJson = False) -> None:
    """Hide 15 % of the words of a text and count how well the model restores them.

    Fields of the reader are flags: --text.field body.

    Example: bertsmith evaluate mlm --from run --data valid.txt --json
    """
    from bertsmith import pipeline, rendering

    print_result(pipeline.evaluate_mlm(model, data, seed=seed, flags=given_flags()), as_json, rendering.values)


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


@predict.command(name="fill-mask")
def predict_fill_mask(
    *texts: Annotated[str, Parameter(help="texts with [MASK]; several give a list of results")],
    model: Model,
    top_k: Annotated[int, Parameter(help="how many tokens for each [MASK]")] = 5,
    input: Input = None,
    output: Output = None,
    seed: Unused = 0,
    as_json: AsJson = False,
) -> None:
    """The likeliest tokens for every [MASK] of a text.

    Example: bertsmith predict fill-mask --from run "Paris is the [MASK] of France."
    """
    from bertsmith import pipeline, rendering

    no_flags("predict")
    asked = asked_texts(texts, input)
    results = pipeline.fill_mask(model, asked, top_k=top_k)
    write_or_print(results, output, as_json, single=input is None and len(asked) == 1, text=rendering.fillings(asked))


@predict.command(name="next-sentence")
def predict_next_sentence(
    *texts: Annotated[str, Parameter(help="two texts; more pairs give a list of results")],
    model: Model,
    input: Annotated[Path | None, Parameter(help="read pairs from a file, one per line, a tab between")] = None,
    output: Output = None,
    seed: Unused = 0,
    as_json: AsJson = False,
) -> None:
    """How likely the second text follows the first.

    Example: bertsmith predict next-sentence --from run "He was born in Paris." "He studied law there."
    """
    from bertsmith import pipeline, rendering

    no_flags("predict")
    pairs = _pairs(texts, input)
    results = pipeline.next_sentence(model, pairs)
    write_or_print(results, output, as_json, single=input is None and len(pairs) == 1, text=rendering.judgements(pairs))


def asked_texts(texts: Sequence[str], source: Path | None) -> list[str]:
    """The texts of the command line or the lines of a file; UsageError unless it is exactly one of the two."""
    if bool(texts) == (source is not None):
        raise UsageError("give texts or --input FILE, one of the two")
    asked = list(texts) if source is None else _lines(source)
    for text in asked:
        if any("\ud800" <= character <= "\udfff" for character in text):
            raise UsageError(f"{text!r}: is not UTF-8 text")
    if not asked:
        raise UsageError(f"{source}: holds no text")
    return asked


def _pairs(texts: Sequence[str], source: Path | None) -> list[tuple[str, str]]:
    asked = asked_texts(texts, source)
    if source is None:
        if len(asked) % 2:
            raise UsageError(f"next-sentence wants texts in pairs, not {len(asked)}")
        return list(zip(asked[::2], asked[1::2], strict=True))
    pairs = []
    for number, line in enumerate(asked, 1):
        parts = line.split("\t")
        if len(parts) != 2:
            raise UsageError(f"{source}:{number}: wants two texts with a tab between, not {len(parts)}")
        pairs.append((parts[0], parts[1]))
    return pairs


def _lines(source: Path) -> list[str]:
    from bertsmith.tasks.texts import text_lines

    return text_lines(source)


def write_or_print(
    results: list[Any], output: Path | None, as_json: bool, single: bool, text: Callable[[Any], str]
) -> None:
    """Results into a file, one JSON a line, or on stdout."""
    if output is not None:
        from bertsmith.store import write_json_lines

        write_json_lines(output, results)
        console.say(f"{len(results)} results in {output}")
        return
    if as_json:
        print_result(results[0] if single else results, True, text)
    else:
        print_result(results, False, text)
