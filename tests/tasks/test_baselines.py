"""Baselines give predictions of the task's own kind, learn what is easy, and cost little; noise has a size."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from bertsmith.tasks.baselines import MAJORITY, TFIDF, cheap_baselines, majority
from bertsmith.tasks.examples import AnswerExample, ChoiceExample, TaggedExample, TextExample
from bertsmith.tasks.metrics import score
from bertsmith.tasks.predictions import Answered, Chosen, Classified, Compared, Regressed, Tagged
from bertsmith.tasks.standard_error import standard_error
from bertsmith.tasks.task import Task
from bertsmith.tasks.tfidf import guess
from tests.tiny_tasks import choices, questions, scores, tagged_texts, task_of, texts

EXAMPLES: dict[str, Any] = {
    "classification": texts,
    "regression": scores,
    "choice": choices,
    "tagging": tagged_texts,
    "answering": questions,
}


def task(kind: str) -> Task:
    return task_of(kind, ("bad", "good") if kind == "classification" else ())


@pytest.mark.parametrize("kind", EXAMPLES)
def test_both_baselines_are_scored_as_the_model_is(kind: str) -> None:
    examples = EXAMPLES[kind](36)
    found = cheap_baselines(task(kind), examples[:24], examples[24:])
    assert set(found) == {MAJORITY, TFIDF}
    assert all(set(values) >= set(task(kind).metrics) for values in found.values())
    assert all(math.isfinite(value) for values in found.values() for value in values.values())


def test_the_commonest_answer() -> None:
    train = [TextExample("", "a", None, label) for label in ("x", "y", "y")]
    [found] = majority(task_of("classification", ("x", "y")), train, train[:1])
    assert found == Classified("y", {"x": 1 / 3, "y": 2 / 3})
    scored = [TextExample("", "a", "b", value) for value in (1.0, 4.0)]
    assert majority(task_of("regression"), scored, scored[:1]) == [Regressed(2.5)]
    tagged = [TaggedExample("", ("a", "b", "b"), ("O", "B-X", "B-X"), True)]
    [tags] = majority(task_of("tagging"), tagged, [TaggedExample("", ("b", "new"), None, True)])
    assert tags == Tagged(("B-X", "B-X"), (1.0, 2 / 3))
    chosen = [ChoiceExample("", "c", "q", ("a", "b", "c"), 2), ChoiceExample("", "c", "q", ("a", "b"), 0)]
    found = majority(task_of("choice"), [*chosen, chosen[0]], chosen)
    assert [prediction.choice for prediction in found if isinstance(prediction, Chosen)] == [2, 0]
    asked = [AnswerExample("", "one two three", "q", (), True)]
    [none] = majority(task_of("answering", no_answer=True), asked, asked)
    assert isinstance(none, Answered) and none.text == "" and none.no_answer > 0
    [some] = majority(task_of("answering"), questions(1), questions(1))
    assert isinstance(some, Answered) and some.text


def test_tfidf_learns_words_pairs_and_characters() -> None:
    labels = ("bad", "good")
    train, asked = texts(60), texts(30, 60)
    assert score(task_of("classification", labels), asked, guess(task_of("classification", labels))(train, asked))[
        "accuracy"
    ] == pytest.approx(1.0)
    pairs = scores(60)
    found = guess(task_of("regression"))(pairs[:45], pairs[45:])
    assert score(task_of("regression"), pairs[45:], found)["pearson"] > 0.8
    chinese = [TextExample(str(i), f"这{'很好' if i % 2 else '很差'}的酒店{i}", None, labels[i % 2]) for i in range(40)]
    zh = replace(task_of("classification", labels), language="zh")
    assert score(zh, chinese[30:], guess(zh)(chinese[:30], chinese[30:]))["accuracy"] == 1.0


def test_tfidf_tags_and_finds_sentences() -> None:
    examples = tagged_texts(60)
    found = guess(task_of("tagging"))(examples[:40], examples[40:])
    assert score(task_of("tagging"), examples[40:], found)["f1"] > 0.95
    asked = [AnswerExample("", "A cat sat there. The dog ran home. It rained.", "Where did the dog go?", (), False)]
    [answer] = guess(task_of("answering"))(asked, asked)
    assert isinstance(answer, Answered)
    assert answer.text == "The dog ran home." == asked[0].context[answer.start : answer.end]


def test_the_standard_error_of_an_accuracy_is_that_of_a_share() -> None:
    examples = [TextExample(str(i), "a", None, "x") for i in range(100)]
    predictions = [Classified("x" if i < 80 else "y", {"x": 0.5, "y": 0.5}) for i in range(100)]
    found = standard_error(task_of("classification", ("x", "y")), examples, predictions, "accuracy")
    assert found == pytest.approx(math.sqrt(0.8 * 0.2 / 100))


def test_the_standard_error_of_other_metrics_is_near_that_of_theory() -> None:
    examples = [TextExample(str(i), "a", "b", math.sin(i)) for i in range(400)]
    predictions = [Regressed(math.sin(i) + 0.7 * math.cos(37.3 * i)) for i in range(400)]
    task_ = task_of("regression")
    pearson = score(task_, examples, predictions)["pearson"]
    theory = (1 - pearson**2) / math.sqrt(400)
    assert standard_error(task_, examples, predictions, "pearson") == pytest.approx(theory, rel=0.5)
    assert standard_error(task_, examples[:1], predictions[:1], "pearson") == 0.0


def test_cosines_of_tfidf_and_of_nothing() -> None:
    task = task_of("similarity")
    pairs = [
        TextExample("a", "the cat sat", "the cat ran", 1.0),
        TextExample("b", "a dog", "they went home", 0.0),
        TextExample("c", "it was late", "was it late ?", 1.0),
    ]
    near, far, third = guess(task)(pairs, pairs)
    assert isinstance(near, Compared) and isinstance(far, Compared) and isinstance(third, Compared)
    assert near.cosine > far.cosine == 0.0 and near.rank == 1 and third.rank == 1
    assert score(task, pairs, [near, far, third])["average_precision"] == 1.0
    assert score(task, pairs, majority(task, pairs, pairs))["average_precision"] == pytest.approx(2 / 3)
    zh = [TextExample("z", "花呗怎么还款", "怎么还花呗", 1.0), TextExample("y", "借呗", "余额宝", 0.0)]
    first, second = guess(replace(task, language="zh"))(zh, zh)
    assert isinstance(first, Compared) and isinstance(second, Compared) and first.cosine > second.cosine
