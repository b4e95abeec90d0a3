"""What a task head says of texts: their labels, the entities in them, the answers to questions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypedDict, cast

from bertsmith.console import warn_of
from bertsmith.errors import UsageError
from bertsmith.models.config import TaskHead, TaskKind
from bertsmith.serving.entities import Span, entities_of, words_of
from bertsmith.serving.texts import clean_pair, clean_text
from bertsmith.tasks.evaluation import asking, predictions, task_of
from bertsmith.tasks.examples import AnswerExample, Example, TaggedExample, TextExample
from bertsmith.tasks.finetuning_config import TaskConfig
from bertsmith.tasks.predictions import Answered, Classified, Regressed, Tagged
from bertsmith.tasks.trained import Trained
from bertsmith.text.han import contains_han

Text = str | tuple[str, str]
"""One text, or two that are read together."""

VERBS: dict[TaskKind, str] = {"sequence": "classify", "tokens": "tag", "span": "answer", "choice": "evaluate"}
CUT: dict[str, str] = {
    "sequence": "texts are longer than this model reads: their end was left out",
    "tokens": "texts hold a word longer than this model reads: its end was left out",
    "span": "questions are longer than half of what this model reads: their end was left out",
}


class Label(TypedDict):
    """The likeliest label and its probability; of a regression its value."""

    label: str
    score: float


class Entity(TypedDict):
    """A stretch of text, text[start:end], and the mean probability of its tags."""

    word: str
    label: str
    start: int
    end: int
    score: float


class FoundAnswer(TypedDict):
    """context[start:end], "" where the context holds no answer, and its probability."""

    answer: str
    score: float
    start: int
    end: int


def classify(trained: Trained, texts: Sequence[Text], settings: TaskConfig | None) -> list[Label]:
    """The label of each text, or pair of texts. Errors and warnings as in Predictor."""
    head = require_kind(trained, "sequence", "classify texts")
    examples = [_text_example(text, index, len(texts)) for index, text in enumerate(texts)]
    found: list[Label] = []
    for prediction in _ask(trained, examples, settings):
        if isinstance(prediction, Regressed):
            found.append({"label": head.labels[0], "score": prediction.value})
        else:
            label = cast(Classified, prediction)
            found.append({"label": label.label, "score": label.probabilities[label.label]})
    return found


def tag(trained: Trained, texts: Sequence[str], settings: TaskConfig | None) -> list[list[Entity]]:
    """The entities of each text. Errors and warnings as in Predictor."""
    require_kind(trained, "tokens", "tag words")
    for index, text in enumerate(texts):
        clean_text(text, index, len(texts))  # a check alone: offsets are those of the text as it was given
    spans = [words_of(text) for text in texts]
    examples = [
        TaggedExample(str(number), tuple(text[a:b] for a, b in places), None, not contains_han(text))
        for number, (text, places) in enumerate(zip(texts, spans, strict=True))
    ]
    found = cast(list[Tagged], _ask(trained, examples, settings))
    return [
        [_entity(text, entity) for entity in entities_of(prediction, places)]
        for text, places, prediction in zip(texts, spans, found, strict=True)
    ]


def answer(trained: Trained, asked: Sequence[tuple[str, str]], settings: TaskConfig | None) -> list[FoundAnswer]:
    """The answer to each (question, context). Errors and warnings as in Predictor."""
    require_kind(trained, "span", "answer questions")
    examples = []
    for index, texts in enumerate(asked):
        question, _ = clean_pair(texts, index, len(asked))
        examples.append(AnswerExample(str(index), texts[1], question, (), False))  # offsets: of the context as given
    found = cast(list[Answered], _ask(trained, examples, settings))
    return [{"answer": p.text, "score": p.score, "start": p.start, "end": p.end} for p in found]


def require_kind(trained: Trained, kind: TaskKind, ability: str) -> TaskHead:
    """The model's task head; UsageError naming what the model has unless it is of this kind."""
    head = trained.model.task
    if head is None:
        raise UsageError(f"{trained.folder}: this model cannot {ability}: it has no task head; fine-tune it")
    if head.kind != kind:
        raise UsageError(f"{trained.folder}: this model cannot {ability}: its head is for {VERBS[head.kind]}")
    return head


def _ask(trained: Trained, examples: Sequence[Example], settings: TaskConfig | None) -> list[Any]:
    """The predictions for all examples; a warning counts those that were cut."""
    task = task_of(trained)
    asked = asking(trained, task, settings)
    found = list(predictions(trained.model, task, asked.labels, examples, asked.encoder, asked.config))
    if trained.model.task is not None:
        warn_of(asked.encoder.truncated, len(examples), CUT[trained.model.task.kind])
    return found


def _text_example(text: Text, index: int, count: int) -> TextExample:
    if isinstance(text, str):
        return TextExample(str(index), clean_text(text, index, count), None, None)
    first, second = clean_pair(text, index, count)
    return TextExample(str(index), first, second, None)


def _entity(text: str, span: Span) -> Entity:
    word = text[span.start : span.end]
    return {"word": word, "label": span.label, "start": span.start, "end": span.end, "score": span.score}
