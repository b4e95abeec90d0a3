"""What needs no pretraining, beside every result: the commonest answer, and a linear model on TF-IDF features.

Both are asked through the same predictions and metrics as the model, so that figures compare.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from typing import Any, cast

from bertsmith import console, interrupt
from bertsmith.tasks import tfidf
from bertsmith.tasks.examples import AnswerExample, ChoiceExample, TaggedExample, TextExample
from bertsmith.tasks.forward import POOL
from bertsmith.tasks.metrics import score
from bertsmith.tasks.predictions import Answered, Chosen, Classified, Compared, Prediction, Regressed, Tagged
from bertsmith.tasks.task import Task

MAJORITY, TFIDF, RANDOM, UNTRAINED = "majority", "tfidf", "random_weights", "untrained"
"""The baselines by the name they have in results."""

Guess = Callable[[Sequence[Any], Sequence[Any]], list[Prediction]]
"""Learns from the first examples and answers the second ones."""


def cheap_baselines(task: Task, train: Sequence[Any], asked: Sequence[Any]) -> dict[str, dict[str, float]]:
    """{baseline: metrics} of those that cost seconds: the commonest answer, and TF-IDF."""
    guesses: dict[str, Guess] = {
        MAJORITY: lambda known, wanted: majority(task, known, wanted),
        TFIDF: tfidf.guess(task),
    }
    found: dict[str, dict[str, float]] = {}
    for name, guess in guesses.items():
        interrupt.check("what is trained is kept; type the same line again to go on")
        console.say(f"baseline: {DESCRIPTIONS[name]}")
        found[name] = score(task, asked, guess(train, asked))
    return found


DESCRIPTIONS = {
    MAJORITY: "the commonest answer of the training part",
    TFIDF: "TF-IDF with a linear model",
    RANDOM: "the same encoder from random weights",
    UNTRAINED: "the encoder as it was before, mean of its tokens",
}
"""The baselines for readers."""

TITLES = {MAJORITY: "majority", TFIDF: "TF-IDF", RANDOM: "random weights", UNTRAINED: "before training"}
"""The same in a word."""


def majority(task: Task, train: Sequence[Any], asked: Sequence[Any]) -> list[Prediction]:
    """The commonest label, the mean score, the commonest tag of each word, the commonest place among the choices, or
    no answer where the task knows such questions (else the start of the context).
    """
    if task.type == "classification":
        counts = Counter(str(example.label) for example in cast(Sequence[TextExample], train))
        shares = {label: count / counts.total() for label, count in sorted(counts.items())}
        return [Classified(counts.most_common(1)[0][0], shares)] * len(asked)
    if task.type == "similarity":
        together = 2 * sum(float(example.label or 0.0) > 0 for example in train) >= len(train)
        return [Compared(0.0, min(len(asked), POOL), together)] * len(asked)
    if task.type == "regression":
        values = [float(example.label) for example in train if example.label is not None]
        return [Regressed(sum(values) / max(1, len(values)))] * len(asked)
    if task.type == "tagging":
        return _tags_of_words(train, asked)
    if task.type == "choice":
        return _commonest_choice(train, asked)
    return [_first_words(example, train) for example in asked]


def _tags_of_words(train: Sequence[TaggedExample], asked: Sequence[TaggedExample]) -> list[Prediction]:
    """Each word gets the tag it has most often; a word never seen gets the commonest tag of all."""
    of_word: dict[str, Counter[str]] = defaultdict(Counter)
    overall: Counter[str] = Counter()
    for example in train:
        for word, tag in zip(example.words, example.tags or (), strict=False):
            of_word[word][tag] += 1
            overall[tag] += 1
    default, seen = overall.most_common(1)[0] if overall else ("O", 0)
    unknown = (default, seen / max(1, overall.total()))
    best = {word: (tags.most_common(1)[0][0], max(tags.values()) / tags.total()) for word, tags in of_word.items()}
    found: list[Prediction] = []
    for example in asked:
        chosen = [best.get(word, unknown) for word in example.words]
        found.append(Tagged(tuple(tag for tag, _ in chosen), tuple(share for _, share in chosen)))
    return found


def _commonest_choice(train: Sequence[ChoiceExample], asked: Sequence[ChoiceExample]) -> list[Prediction]:
    counts = Counter(example.label for example in train if example.label is not None)
    found: list[Prediction] = []
    for example in asked:
        possible = range(len(example.choices))
        best = max(possible, key=lambda place: (counts[place], -place))
        total = sum(counts[place] + 1 for place in possible)
        found.append(Chosen(best, tuple((counts[place] + 1) / total for place in possible)))
    return found


def _first_words(example: AnswerExample, train: Sequence[AnswerExample]) -> Prediction:
    """No answer, where the training part has such questions; else the first words of the context."""
    start = example.context[:50].rsplit(" ", 1)[0] if " " in example.context[:50] else example.context[:10]
    if any(known.impossible for known in train):
        return Answered("", 0, 0, 1.0, 1.0, start)
    return Answered(start, 0, len(start), 1.0, -1.0, start)
