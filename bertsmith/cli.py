"""The command line: every verb parses, then calls one function of pipeline.py. Heavy imports stay inside the verbs.

Every field of a recipe is a flag (`--training.steps 300`, `--training.steps=300`). Dotted flags are taken out of the
arguments before cyclopts sees them, because their types belong to the configs and are checked strictly there.
"""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import App, CycloptsError, Parameter

from bertsmith import console, interrupt
from bertsmith.errors import BertsmithError, UsageError

Flags = dict[str, str]

AsJson = Annotated[bool, Parameter(name="--json", negative=(), help="print the result alone, as JSON, on stdout")]
PlainSeed = Annotated[int, Parameter(name="--seed", help="everything random follows from it")]
Unused = Annotated[int, Parameter(name="--seed", help="accepted by every verb; nothing is random here")]
Seed = Annotated[int | None, Parameter(help="everything random follows from it [default: the recipe's, 0]")]
Model = Annotated[str, Parameter(name="--from", help="a run, a checkpoint or a Hugging Face folder")]
Paths = Annotated[list[str], Parameter(consume_multiple=True, negative=(), help="files, folders or globs")]
Recipe = Annotated[str, Parameter(help="a shipped name (see bertsmith recipes) or a TOML file")]

FIELDS = "Every field of the recipe is a flag too: --training.steps 300. `bertsmith recipes NAME` lists them."

# Verbs whose loops ask interrupt.check() where their work is safe; in the others a signal just ends the process.
STOPPABLE = ("prepare", "pretrain", "evaluate", "predict", "demo")

app = App(
    name="bertsmith",
    help="From raw text to a BERT: prepare a corpus, pretrain, evaluate, predict.",
    help_epilogue="Start with: bertsmith demo",
    help_flags=["--help", "-h"],
    version_flags=["--version"],
    help_format="markdown",
    end_of_options_delimiter="--",
    suppress_keyboard_interrupt=False,
)
evaluate = App(name="evaluate", help="Score a model on text it has not seen.")
predict = App(name="predict", help="Ask a model.")
app.command(evaluate)
app.command(predict)

_flags: Flags = {}  # the dotted flags of this command line


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command line and end the process with its exit code: 0, 1, 2, 75 or 130 (see errors.py)."""
    sys.exit(run(sys.argv[1:] if arguments is None else arguments))


def run(arguments: Sequence[str]) -> int:
    """Run one command line; returns its exit code. Every mistake is one line on stderr, never a traceback."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # what a terminal cannot show is escaped, which is valid JSON too
            stream.reconfigure(errors="backslashreplace")
    try:
        rest = _take_flags(list(arguments))
        if rest and rest[0] in STOPPABLE:
            interrupt.install()
        app(rest or ["--help"], exit_on_error=False, print_error=False, result_action="return_value")
        sys.stdout.flush()
        return 0
    except BrokenPipeError:  # whoever read the result has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except SystemExit as error:
        return error.code if isinstance(error.code, int) else 1
    except KeyboardInterrupt:
        return _fail("interrupted", 130)
    except CycloptsError as error:
        return _fail(_one_line(error), 2)
    except BertsmithError as error:
        return _fail(str(error), error.exit_code)
    except OSError as error:
        from bertsmith.store import explain

        return _fail(str(explain(error)), 1)
    except Exception as error:
        if os.environ.get("BERTSMITH_TRACEBACK"):
            raise
        kind = type(error).__name__
        advice = "BERTSMITH_TRACEBACK=1 shows where"
        return _fail(f"unexpected {kind}: {' '.join(str(error).split())[:300]} ({advice})", 1)


def _fail(message: str, code: int) -> int:
    for line in message.splitlines():
        console.error(line)
    return code


def _one_line(error: CycloptsError) -> str:
    text = " ".join(str(error).split())
    return text[:1].lower() + text[1:] if text else "wrong usage; see --help"


def _take_flags(arguments: list[str]) -> list[str]:
    """Take `--table.field value` and `--table.field=value` out of the arguments, up to a lone `--`."""
    _flags.clear()
    rest: list[str] = []
    while arguments:
        argument = arguments.pop(0)
        if argument == "--":
            return [*rest, argument, *arguments]
        name, equals, value = argument.removeprefix("--").partition("=")
        if not argument.startswith("--") or "." not in name:
            rest.append(argument)
            continue
        if not equals:
            if not arguments or arguments[0].startswith("--"):
                raise UsageError(f"--{name}: wants a value")
            value = arguments.pop(0)
        _flags[name] = value
    return rest


def _recipe_flags(seed: int | None) -> Flags:
    return _flags if seed is None else {**_flags, "seed": str(seed)}


def _no_flags(verb: str) -> None:
    if _flags:
        raise UsageError(f"--{next(iter(_flags))}: {verb} takes no fields of a recipe")


def _print(result: Any, as_json: bool, text: Callable[[Any], str]) -> None:
    """The result on stdout, on the first rank alone."""
    if console.is_quiet():
        return
    if as_json:
        print(json.dumps(result, ensure_ascii=False, allow_nan=False))
    else:
        print(text(result))


# --- corpus and model -------------------------------------------------------------------------------------------


@app.command
def prepare(
    recipe: Recipe,
    /,
    *,
    text: Paths,
    out: Annotated[Path, Parameter(help="folder of the corpus")],
    tokenizer: Annotated[str, Parameter(help="a vocab.txt or a model folder to use instead of training one")] = "",
    workers: Annotated[int, Parameter(help="processes; 0 = one per core. The corpus does not depend on it")] = 0,
    seed: Seed = None,
    as_json: AsJson = False,
) -> None:
    """Turn text files into a corpus: clean, split, train a tokenizer, tokenise.

    Reads .txt (a blank line between documents), .jsonl and .parquet, also .gz. The same line again, after a stop,
    starts anew; after the end it prints the same result.

    Example: bertsmith prepare bert-mini --text books/ notes.txt --out corpus
    """
    from bertsmith import pipeline, rendering

    result = pipeline.prepare(
        recipe, text, out, tokenizer=tokenizer or None, workers=workers, flags=_recipe_flags(seed)
    )
    _print(result, as_json, rendering.values)


@app.command
def pretrain(
    recipe: Recipe,
    /,
    *,
    corpus: Annotated[Path, Parameter(help="folder made by prepare")],
    out: Annotated[Path, Parameter(help="folder of the run")],
    init: Annotated[Path | None, Parameter(help="a model folder whose weights to start from")] = None,
    seed: Seed = None,
    as_json: AsJson = False,
) -> None:
    """Train a model on a corpus; the result is OUT/model, a Hugging Face folder, and OUT/report.html.

    The same line again resumes a stopped run exactly where its newest checkpoint stands.
    Under torchrun --nproc-per-node N -m bertsmith pretrain ... the run is shared by N processes.

    Example: bertsmith pretrain bert-mini --corpus corpus --out run --training.minutes 40
    """
    from bertsmith import pipeline, rendering

    _print(pipeline.pretrain(recipe, corpus, out, init, flags=_recipe_flags(seed)), as_json, rendering.values)


# --- evaluation and prediction ----------------------------------------------------------------------------------


@evaluate.command(name="mlm")
def evaluate_mlm(*, model: Model, data: Paths, seed: PlainSeed = 0, as_json: AsJson = False) -> None:
    """Hide 15 % of the words of a text and count how well the model restores them.

    Fields of the reader are flags: --text.field body.

    Example: bertsmith evaluate mlm --from run --data valid.txt --json
    """
    from bertsmith import pipeline, rendering

    _print(pipeline.evaluate_mlm(model, data, seed=seed, flags=_flags), as_json, rendering.values)


@evaluate.command(name="pairs")
def evaluate_pairs(
    *,
    model: Model,
    data: Paths,
    cut: Annotated[Literal["next_sentence"], Parameter(help="what a pair is")] = "next_sentence",
    seed: PlainSeed = 0,
    as_json: AsJson = False,
) -> None:
    """Cut a text into true and false pairs of segments and let the model judge them.

    Fields of the reader and of the cut are flags: --text.field body, --cut.random-probability 0.5.

    Example: bertsmith evaluate pairs --from run --data valid.txt --json
    """
    from bertsmith import pipeline, rendering

    flags = {"cut.name": cut, **_flags}
    _print(pipeline.evaluate_pairs(model, data, seed=seed, flags=flags), as_json, rendering.values)


Input = Annotated[Path | None, Parameter(name="--input", help="read the texts from a file instead, one per line")]
Output = Annotated[Path | None, Parameter(name="--output", help="write the results there, one JSON per line")]


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

    _no_flags("predict")
    asked = _asked(texts, input)
    results = pipeline.fill_mask(model, asked, top_k=top_k)
    _answer(results, output, as_json, single=input is None and len(asked) == 1, text=rendering.fillings(asked))


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

    _no_flags("predict")
    pairs = _pairs(texts, input)
    results = pipeline.next_sentence(model, pairs)
    _answer(results, output, as_json, single=input is None and len(pairs) == 1, text=rendering.judgements(pairs))


def _asked(texts: Sequence[str], source: Path | None) -> list[str]:
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
    asked = _asked(texts, source)
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
    try:
        return [line.removesuffix("\r") for line in source.read_text("utf-8-sig").split("\n") if line.strip()]
    except UnicodeDecodeError as error:
        raise UsageError(f"{source}: is not UTF-8 text (byte {error.start})") from error


def _answer(results: list[Any], output: Path | None, as_json: bool, single: bool, text: Callable[[Any], str]) -> None:
    if output is not None:
        from bertsmith.store import write_atomic

        lines = [json.dumps(result, ensure_ascii=False, allow_nan=False) + "\n" for result in results]
        write_atomic(output, "".join(lines).encode())
        console.say(f"{len(results)} results in {output}")
        return
    if as_json:
        _print(results[0] if single else results, True, text)
    else:
        _print(results, False, text)


# --- looking ----------------------------------------------------------------------------------------------------


@app.command
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

    result = pipeline.inspect(subject, recipe=recipe, flags=_recipe_flags(seed))
    _print(result, as_json, rendering.inspection)


@app.command
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
        _print(pipeline.show_recipe(name, flags=_recipe_flags(seed)), as_json, rendering.recipe_fields)
    else:
        _no_flags("recipes without a name")
        _print(pipeline.list_recipes(), as_json, rendering.recipe_list)


@app.command
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

    _no_flags("doctor")
    _print(machine.examine(seconds, seed), as_json, machine.render)


@app.command
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

    _no_flags("demo")
    _print(pipeline.demo(out, seed=seed), as_json, documentation.render)
