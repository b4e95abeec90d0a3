"""Answers from a fine-tuned model: labels, entities, answers to questions, and how alike two texts are."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, TypedDict, TypeVar, cast

import numpy as np
import torch

from bertsmith import interrupt
from bertsmith.console import Progress, warn
from bertsmith.errors import UsageError
from bertsmith.models.config import TaskHead
from bertsmith.serving.predictor import clean_text
from bertsmith.tasks.evaluation import predict, task_of
from bertsmith.tasks.examples import AnswerExample, TaggedExample, TextExample
from bertsmith.tasks.finetuning_config import TaskConfig
from bertsmith.tasks.forward import batches, device_of, single, starts_of
from bertsmith.tasks.predictions import Answered, Classified, Regressed, Tagged
from bertsmith.tasks.trained import Trained, load_trained
from bertsmith.tasks.words import word_spans
from bertsmith.text.han import contains_han

Text = str | tuple[str, str]
T = TypeVar("T")
CHUNK = 1024  # texts that are answered together: enough to sort by length, few enough to see progress

VERBS = {"sequence": "classify", "tokens": "tag", "span": "answer", "choice": "evaluate"}


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


class Similarity(TypedDict):
    """The cosine of two texts, or the value of a regression head."""

    score: float


class TaskPredictor:
    """A fine-tuned model, ready to answer. Its methods keep no state, so threads may share one.

    settings: how texts are read; None = as the model was fine-tuned.
    """

    def __init__(self, trained: Trained, settings: TaskConfig | None = None) -> None:
        self.trained, self.settings = trained, settings

    @classmethod
    def load(cls, path: str | Path, settings: TaskConfig | None = None) -> TaskPredictor:
        """Read a run or any Hugging Face folder of a supported family. Errors as in `load_trained`."""
        return cls(load_trained(path), settings)

    @property
    def head(self) -> TaskHead | None:
        """What the model decides; None for an encoder without a task head."""
        return self.trained.model.task

    def classify(self, texts: Sequence[Text]) -> list[Label]:
        """The likeliest label of each text, or pair of texts. UsageError for a model that has no labels."""
        head = self._require("sequence", "classify texts")
        examples = [_text_example(text, index, len(texts)) for index, text in enumerate(texts)]
        found: list[Label] = []
        for prediction in self._ask(examples):
            if isinstance(prediction, Regressed):
                found.append({"label": head.labels[0], "score": prediction.value})
            else:
                label = cast(Classified, prediction)
                found.append({"label": label.label, "score": label.probabilities[label.label]})
        return found

    def tag(self, texts: Sequence[str]) -> list[list[Entity]]:
        """The entities of each text. Words are runs of letters and digits and single signs; characters in Chinese."""
        self._require("tokens", "tag words")
        for index, text in enumerate(texts):
            clean_text(text, index, len(texts))  # a check alone: offsets are those of the text as it was given
        spans = [_words_of(text) for text in texts]
        examples = [
            TaggedExample(str(number), tuple(text[a:b] for a, b in places), None, not contains_han(text))
            for number, (text, places) in enumerate(zip(texts, spans, strict=True))
        ]
        predictions = cast(list[Tagged], self._ask(examples))
        return [
            [_entity(text, entity) for entity in entities_of(prediction, places)]
            for text, places, prediction in zip(texts, spans, predictions, strict=True)
        ]

    def answer(self, asked: Sequence[tuple[str, str]]) -> list[FoundAnswer]:
        """The answer to each (question, context), from the context."""
        self._require("span", "answer questions")
        examples = []
        for index, (question, context) in enumerate(asked):
            cleaned = clean_text(question, index, len(asked), "question")
            clean_text(context, index, len(asked), "context")  # offsets are those of the context as it was given
            examples.append(AnswerExample(str(index), context, cleaned, (), False))
        predictions = cast(list[Answered], self._ask(examples))
        return [{"answer": p.text, "score": p.score, "start": p.start, "end": p.end} for p in predictions]

    def similarity(self, pairs: Sequence[tuple[str, str]]) -> list[Similarity]:
        """How alike the texts of each pair are: what a regression head says, else the cosine of their mean vectors."""
        if self.head is not None and self.head.regression:
            return [{"score": label["score"]} for label in self.classify(pairs)]
        texts = [clean_text(text, index, len(pairs), "pair") for index, texts in enumerate(pairs) for text in texts]
        vectors = self._mean_vectors(texts)
        norms = np.maximum(np.linalg.norm(vectors, axis=1), 1e-12)
        cosines = (vectors[::2] * vectors[1::2]).sum(1) / (norms[::2] * norms[1::2])
        return [{"score": float(cosine)} for cosine in cosines]

    def _mean_vectors(self, texts: Sequence[str]) -> np.ndarray:
        """The mean of the last hidden states of each text, special tokens included: (texts, width) float32."""
        model, tokenizer, room = self.trained.model, self.trained.tokenizer, self.trained.max_length - 2
        token_ids = [tokenizer.encode_with_offsets(text)[0] for text in texts]
        if long := sum(len(ids) > room for ids in token_ids):
            warn(f"{long} of {len(texts)} texts are longer than the {room} tokens this model reads and were cut")
        sequences = [single(ids[:room].astype(np.int64), tokenizer.special) for ids in token_ids]
        found = np.zeros((len(texts), model.config.hidden_size), dtype=np.float32)
        with torch.inference_mode():
            for chosen, batch in batches(sequences, device_of(model)):
                hidden = model(batch).hidden_states.float().cpu().numpy()
                sums = np.add.reduceat(hidden, starts_of(batch), axis=0)
                found[chosen] = sums / batch.lengths.cpu().numpy()[:, None]
        return found

    def _require(self, kind: str, ability: str) -> TaskHead:
        head = self.head
        if head is None:
            raise UsageError(f"{self.trained.folder}: this model cannot {ability}: it has no task head; fine-tune it")
        if head.kind != kind:
            raise UsageError(f"{self.trained.folder}: this model cannot {ability}: its head is for {VERBS[head.kind]}")
        return head

    def _ask(self, examples: Sequence[Any]) -> list[Any]:
        return list(predict(self.trained, task_of(self.trained), examples, self.settings))


def in_chunks(items: Sequence[T], answer: Callable[[Sequence[T]], list[Any]], label: str) -> Iterator[Any]:
    """The answers to many items, a chunk at a time, with progress; Stopped or Interrupted between chunks."""
    with Progress(len(items), "texts", label) as progress:
        rest: Iterator[T] = iter(items)
        done = 0
        while chunk := list(islice(rest, CHUNK)):
            interrupt.check()
            yield from answer(chunk)
            done += len(chunk)
            progress.update(done)


def _text_example(text: Text, index: int, count: int) -> TextExample:
    if isinstance(text, str):
        return TextExample(str(index), clean_text(text, index, count), None, None)
    first, second = (clean_text(part, index, count, "pair") for part in text)
    return TextExample(str(index), first, second, None)


# --- entities ---


def _words_of(text: str) -> list[tuple[int, int]]:
    """Where the words of a text stand, as the tasks' files divide it: Chinese by character, white space left out."""
    if contains_han(text):
        return [(place, place + 1) for place, character in enumerate(text) if not character.isspace()]
    return [(int(start), int(stop)) for start, stop in word_spans(text)]


class Span(NamedTuple):
    """Words [first, stop) of one label, and the mean probability of their tags."""

    label: str
    start: int
    end: int
    score: float


def entities_of(prediction: Tagged, places: Sequence[Sequence[int]]) -> Iterator[Span]:
    """The entities that BIO or BIOES tags spell, by characters; an inside tag without a beginning begins one.

    places: (start, end) of each word.
    """
    first, label = 0, ""
    for number, tag in enumerate([*prediction.tags, "O"]):
        prefix, _, kind = tag.partition("-")
        kind = kind or tag  # a tag without a prefix is a label of its own
        if label and (prefix in ("O", "B", "S") or kind != label):
            scores = prediction.scores[first:number]
            yield Span(label, int(places[first][0]), int(places[number - 1][1]), sum(scores) / len(scores))
            label = ""
        if not label and prefix != "O":
            first, label = number, kind
        if label and prefix in ("E", "S"):
            scores = prediction.scores[first : number + 1]
            yield Span(label, int(places[first][0]), int(places[number][1]), sum(scores) / len(scores))
            label = ""


def _entity(text: str, span: Span) -> Entity:
    return {
        "word": text[span.start : span.end],
        "label": span.label,
        "start": span.start,
        "end": span.end,
        "score": span.score,
    }
