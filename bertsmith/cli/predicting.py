"""What a model is asked from the command line: `predict`, for texts and for files of texts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from cyclopts import App, Parameter

from bertsmith.cli.common import AsJson, Model, Precision, Unused, given_flags, no_flags
from bertsmith.cli.texts import (
    NO_FILE,
    NO_PAIRS,
    FileFlags,
    PairFileFlags,
    asked_texts,
    check_text,
    from_file,
    print_answers,
    two_by_two,
)
from bertsmith.errors import UsageError

Texts = Annotated[str, Parameter(help="texts; several give a list of results")]
Pairs = Annotated[str, Parameter(help="two texts; more pairs give a list of results")]
predict = App(
    name="predict",
    help="Ask a model: about texts, or about every row of a file.",
    help_epilogue="A file goes to a file: --input big.csv --output out.parquet. Type the line again to go on.",
)


@predict.command(name="fill-mask")
def predict_fill_mask(
    *texts: Annotated[str, Parameter(help="texts with [MASK]; several give a list of results")],
    model: Model,
    top_k: Annotated[int, Parameter(help="how many tokens for each [MASK]")] = 5,
    file: FileFlags = NO_FILE,
    precision: Precision = "fp32",
    seed: Unused = 0,
    as_json: AsJson = False,
) -> None:
    """The likeliest tokens for every [MASK] of a text.

    Example: bertsmith predict fill-mask --from run "Paris is the [MASK] of France."
    """
    no_flags("predict fill-mask")
    if file.input is not None:
        from_file("fill-mask", model, file, texts, precision, as_json, top_k=top_k)
        return
    asked = asked_texts(texts, file)
    from bertsmith import pipeline, rendering

    results = pipeline.fill_mask(model, asked, top_k=top_k, precision=precision)
    print_answers(results, asked, as_json, rendering.fillings(asked))


@predict.command(name="next-sentence")
def predict_next_sentence(
    *texts: Pairs,
    model: Model,
    file: PairFileFlags = NO_PAIRS,
    precision: Precision = "fp32",
    seed: Unused = 0,
    as_json: AsJson = False,
) -> None:
    """How likely the second text follows the first.

    Example: bertsmith predict next-sentence --from run "He was born in Paris." "He studied law there."
    """
    no_flags("predict next-sentence")
    if file.input is not None:
        from_file("next-sentence", model, file, texts, precision, as_json)
        return
    pairs = two_by_two(asked_texts(texts, file), "next-sentence")
    from bertsmith import pipeline, rendering

    results = pipeline.next_sentence(model, pairs, precision=precision)
    print_answers(results, pairs, as_json, rendering.judgements(pairs))


@predict.command(name="classify")
def predict_classify(
    *texts: Texts,
    model: Model,
    pairs: Annotated[bool, Parameter(negative=(), help="the texts are pairs, two by two")] = False,
    file: PairFileFlags = NO_PAIRS,
    precision: Precision = "fp32",
    seed: Unused = 0,
    as_json: AsJson = False,
) -> None:
    """The likeliest label of a text, and its probability; of a regression the score.

    Example: bertsmith predict classify --from ft-bank "my card has not arrived"
    """
    if file.input is not None:
        from_file("classify", model, file, texts, precision, as_json)
        return
    asked: Sequence[Any] = asked_texts(texts, file)
    asked = two_by_two(asked, "--pairs") if pairs else asked
    from bertsmith import pipeline, rendering

    results = pipeline.classify(model, asked, flags=given_flags(), precision=precision)
    print_answers(results, asked, as_json, rendering.answers(asked))


@predict.command(name="tag")
def predict_tag(
    *texts: Texts,
    model: Model,
    file: FileFlags = NO_FILE,
    precision: Precision = "fp32",
    seed: Unused = 0,
    as_json: AsJson = False,
) -> None:
    """The entities of a text: their words, labels, places and probabilities.

    Example: bertsmith predict tag --from ft-ner "The risk of breast cancer is raised."
    """
    if file.input is not None:
        from_file("tag", model, file, texts, precision, as_json)
        return
    asked = asked_texts(texts, file)
    from bertsmith import pipeline, rendering

    results = pipeline.tag(model, asked, flags=given_flags(), precision=precision)
    print_answers(results, asked, as_json, rendering.answers(asked))


@predict.command(name="answer")
def predict_answer(
    *questions: Annotated[str, Parameter(help="questions; several give a list of results")],
    model: Model,
    context: Annotated[str, Parameter(show_default=False, help="the text that holds the answer")] = "",
    file: PairFileFlags = NO_PAIRS,
    precision: Precision = "fp32",
    seed: Unused = 0,
    as_json: AsJson = False,
) -> None:
    """The answer to a question out of a text, "" where the text holds none.

    Example: bertsmith predict answer --from ft-squad --context "It was written in 2026." "When was it written?"
    """
    if file.input is not None:
        if context:
            raise UsageError("--context and --input: with a file the context stands beside each question")
        from_file("answer", model, file, questions, precision, as_json)
        return
    asked = [(question, context) for question in asked_texts(questions, file)]
    if not context:
        raise UsageError("answer wants --context TEXT, the text that holds the answer")
    check_text(context)
    from bertsmith import pipeline, rendering

    results = pipeline.answer(model, asked, flags=given_flags(), precision=precision)
    print_answers(results, asked, as_json, rendering.answers(questions))


@predict.command(name="similarity")
def predict_similarity(
    *texts: Pairs,
    model: Model,
    file: PairFileFlags = NO_PAIRS,
    precision: Precision = "fp32",
    seed: Unused = 0,
    as_json: AsJson = False,
) -> None:
    """How alike two texts are: what a regression head says, else the cosine of the encoder's vectors.

    Example: bertsmith predict similarity --from run "A man plays a guitar." "Someone makes music."
    """
    if file.input is not None:
        from_file("similarity", model, file, texts, precision, as_json)
        return
    asked = two_by_two(asked_texts(texts, file), "similarity")
    from bertsmith import pipeline, rendering

    results = pipeline.similarity(model, asked, flags=given_flags(), precision=precision)
    print_answers(results, asked, as_json, rendering.answers(asked))


@predict.command(name="embed")
def predict_embed(
    *texts: Texts,
    model: Model,
    pooling: Annotated[
        Literal["mean", "cls"] | None,
        Parameter(show_default=False, help="mean of all tokens, or the first one [default: as trained, else mean]"),
    ] = None,
    normalize: Annotated[
        bool | None, Parameter(show_default=False, help="to length 1 [default: as trained, else not]")
    ] = None,
    file: FileFlags = NO_FILE,
    precision: Precision = "fp32",
    seed: Unused = 0,
    as_json: AsJson = False,
) -> None:
    """The vector of a text.

    Example: bertsmith predict embed --from run --input texts.txt --output vectors.parquet
    """
    if file.input is not None:
        from_file("embed", model, file, texts, precision, as_json, pooling=pooling, normalize=normalize)
        return
    asked = asked_texts(texts, file)
    from bertsmith import pipeline, rendering

    results = pipeline.embed(
        model, asked, pooling=pooling, normalize=normalize, flags=given_flags(), precision=precision
    )
    print_answers(results, asked, as_json, rendering.answers(asked))
