"""What a fine-tuned model is asked from the command line: predict classify, tag, answer and similarity."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from bertsmith.cli.asking import Output, asked_texts, predict
from bertsmith.cli.common import AsJson, Model, Unused, given_flags, print_result
from bertsmith.errors import UsageError

if TYPE_CHECKING:
    from bertsmith.predicting import Verb
    from bertsmith.tasks.user_table import Columns

Texts = Annotated[str, Parameter(help="texts; several give a list of results")]
Pairs = Annotated[str, Parameter(help="two texts; more pairs give a list of results")]


@Parameter(name="*")
@dataclass(frozen=True)
class FileFlags:
    """Where texts are read from instead of the command line, and where results go."""

    input: Annotated[
        Path | None, Parameter(help="read the texts from a table (.csv, .tsv, .jsonl) or a text file, one per line")
    ] = None
    text: Annotated[
        str,
        Parameter(show_default=False, help="column of the text, or of the question, in the table [default: guessed]"),
    ] = ""
    output: Output = None

    @property
    def columns(self) -> tuple[str, ...]:
        """As named, the first text first."""
        return (self.text,)


@Parameter(name="*")
@dataclass(frozen=True)
class PairFileFlags(FileFlags):
    """The same with a second text."""

    second: Annotated[
        str, Parameter(show_default=False, help="column of the second text, or of the context, in the table")
    ] = ""

    @property
    def columns(self) -> tuple[str, ...]:
        """As named, the first text first."""
        return (self.text, self.second)


NO_FILE, NO_PAIRS = FileFlags(), PairFileFlags()


@predict.command(name="classify")
def predict_classify(
    *texts: Texts,
    model: Model,
    pairs: Annotated[bool, Parameter(negative=(), help="the texts are pairs, two by two")] = False,
    file: PairFileFlags = NO_PAIRS,
    seed: Unused = 0,
    as_json: AsJson = False,
) -> None:
    """The likeliest label of a text, and its probability; of a regression the score.

    Example: bertsmith predict classify --from ft-bank "my card has not arrived"
    """
    if file.input is not None:
        _from_file("classify", model, file, texts, as_json)
        return
    asked = asked_texts(texts, None)
    several: Sequence[Any] = _two_by_two(asked, "--pairs") if pairs else asked
    from bertsmith import pipeline

    results = pipeline.classify(model, several, flags=given_flags())
    _answer(results, several, file.output, as_json)


@predict.command(name="tag")
def predict_tag(
    *texts: Texts,
    model: Model,
    file: FileFlags = NO_FILE,
    seed: Unused = 0,
    as_json: AsJson = False,
) -> None:
    """The entities of a text: their words, labels, places and probabilities.

    Example: bertsmith predict tag --from ft-ner "The risk of breast cancer is raised."
    """
    if file.input is not None:
        _from_file("tag", model, file, texts, as_json)
        return
    asked = asked_texts(texts, None)
    from bertsmith import pipeline

    _answer(pipeline.tag(model, asked, flags=given_flags()), asked, file.output, as_json)


@predict.command(name="answer")
def predict_answer(
    *questions: Annotated[str, Parameter(help="questions; several give a list of results")],
    model: Model,
    context: Annotated[str, Parameter(show_default=False, help="the text that holds the answer")] = "",
    file: PairFileFlags = NO_PAIRS,
    seed: Unused = 0,
    as_json: AsJson = False,
) -> None:
    """The answer to a question out of a text, "" where the text holds none.

    Example: bertsmith predict answer --from ft-squad --context "It was written in 2026." "When was it written?"
    """
    if file.input is not None:
        if context:
            raise UsageError("--context and --input: with a file the context stands beside each question")
        _from_file("answer", model, file, questions, as_json)
        return
    asked = [(question, context) for question in asked_texts(questions, None)]
    if not context:
        raise UsageError("answer wants --context TEXT, the text that holds the answer")
    asked_texts([context], None)
    from bertsmith import pipeline

    _answer(
        pipeline.answer(model, asked, flags=given_flags()), [question for question, _ in asked], file.output, as_json
    )


@predict.command(name="similarity")
def predict_similarity(
    *texts: Pairs,
    model: Model,
    file: PairFileFlags = NO_PAIRS,
    seed: Unused = 0,
    as_json: AsJson = False,
) -> None:
    """How alike two texts are: what a regression head says, else the cosine of the encoder's mean vectors.

    Example: bertsmith predict similarity --from run "A man plays a guitar." "Someone makes music."
    """
    if file.input is not None:
        _from_file("similarity", model, file, texts, as_json)
        return
    asked = _two_by_two(asked_texts(texts, None), "similarity")
    from bertsmith import pipeline

    _answer(pipeline.similarity(model, asked, flags=given_flags()), asked, file.output, as_json)


def _two_by_two(texts: Sequence[str], what: str) -> list[tuple[str, str]]:
    if len(texts) % 2:
        raise UsageError(f"{what} wants texts in pairs, not {len(texts)}")
    return list(zip(texts[::2], texts[1::2], strict=True))


def _from_file(verb: Verb, model: str, file: FileFlags, texts: Sequence[str], as_json: bool) -> None:
    if texts or file.input is None:
        raise UsageError("give texts or --input FILE, one of the two")
    from bertsmith import pipeline, rendering

    results = pipeline.predict_file(verb, model, file.input, _columns(*file.columns), file.output, flags=given_flags())
    if file.output is None:
        print_result(results, as_json, rendering.answers(None))


def _columns(text: str, second: str = "") -> Columns | None:
    if not (text or second):
        return None
    from bertsmith.tasks.user_table import Columns

    return Columns(text=text, second=second)


def _answer(results: list[Any], asked: Sequence[Any], output: Path | None, as_json: bool) -> None:
    from bertsmith import rendering
    from bertsmith.cli.asking import write_or_print

    text: Callable[[Any], str] = rendering.answers(asked)
    write_or_print(results, output, as_json, single=len(asked) == 1, text=text)
