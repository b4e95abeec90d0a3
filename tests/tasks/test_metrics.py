"""Metrics against numbers worked out by hand from their definitions, and against slow and plain computations."""

from __future__ import annotations

import math
import random
from dataclasses import replace

import numpy as np
import pytest

from bertsmith.errors import BertsmithError
from bertsmith.tasks import metrics_cmrc, metrics_squad
from bertsmith.tasks.decoding import ranked
from bertsmith.tasks.examples import Answer, AnswerExample, ChoiceExample, TaggedExample, TextExample
from bertsmith.tasks.metrics import ranking, score
from bertsmith.tasks.predictions import Answered, Chosen, Classified, Compared, Prediction, Regressed, Tagged
from bertsmith.tasks.sentence_pairs import METRICS
from bertsmith.tasks.table import TASKS
from bertsmith.tasks.threshold import best_threshold, threshold_sample
from tests.tiny_tasks import task_of

exactly = {"rel": 0, "abs": 1e-6}


def classified(task: str, gold: str, predicted: str) -> dict[str, float]:
    examples = [TextExample("", "text", None, label) for label in gold]
    return score(TASKS[task], examples, [Classified(label, {}) for label in predicted])


def test_accuracy_f1_and_matthews() -> None:
    gold, predicted = "1110001011", "1101001010"  # 4 right ones, 3 right zeros, 1 wrong one, 2 missed
    assert classified("sst2", gold, predicted) == pytest.approx({"accuracy": 0.7}, **exactly)
    assert classified("mrpc", gold, predicted) == pytest.approx({"f1": 8 / 11, "accuracy": 0.7}, **exactly)
    matthews = (4 * 3 - 1 * 2) / math.sqrt((4 + 1) * (4 + 2) * (3 + 1) * (3 + 2))
    assert classified("cola", gold, predicted) == pytest.approx({"matthews": matthews, "accuracy": 0.7}, **exactly)
    assert list(classified("cola", gold, predicted))[0] == "matthews"
    assert classified("cola", "1010", "1111") == {"matthews": 0.0, "accuracy": 0.5}
    assert classified("qqp", "000", "000") == {"f1": 0.0, "accuracy": 1.0}


def test_macro_f1_is_the_mean_over_classes() -> None:
    task = replace(TASKS["sst2"], metrics=("accuracy", "macro_f1"), labels=())
    examples = [TextExample("", "", None, label) for label in "aabbc"]
    found = score(task, examples, [Classified(label, {}) for label in "abbba"])
    assert found == pytest.approx({"accuracy": 0.6, "macro_f1": (0.5 + 0.8 + 0.0) / 3}, **exactly)


def ranks(values: list[float]) -> list[float]:
    """Ranks from 1, those of equal values averaged."""
    return [sum(v < x for v in values) + (sum(v == x for v in values) + 1) / 2 for x in values]


def correlation(a: list[float], b: list[float]) -> float:
    mean_a, mean_b = sum(a) / len(a), sum(b) / len(b)
    product = sum((x - mean_a) * (y - mean_b) for x, y in zip(a, b, strict=True))
    return product / math.sqrt(sum((x - mean_a) ** 2 for x in a) * sum((y - mean_b) ** 2 for y in b))


def test_pearson_and_spearman() -> None:
    gold, predicted = [0.0, 1.5, 5.0, 3.2, 3.2, 4.1], [0.3, 1.0, 3.9, 4.4, 2.0, 2.0]
    examples = [TextExample("", "a", "b", value) for value in gold]
    found = score(TASKS["stsb"], examples, [Regressed(value) for value in predicted])
    expected = {"pearson": correlation(gold, predicted), "spearman": correlation(ranks(gold), ranks(predicted))}
    assert found == pytest.approx(expected, **exactly)
    assert score(TASKS["stsb"], examples, [Regressed(2.5)] * 6) == {"pearson": 0.0, "spearman": 0.0}


def test_choices() -> None:
    examples = [ChoiceExample("", "", "", ("a", "b", "c"), label) for label in (0, 1, 2)]
    assert score(TASKS["race"], examples, [Chosen(c, ()) for c in (0, 1, 1)]) == pytest.approx({"accuracy": 2 / 3})


def tagged(gold: list[str], predicted: list[str]) -> dict[str, float]:
    examples = [TaggedExample("", tuple(tags.split()), tuple(tags.split()), True) for tags in gold]
    return score(TASKS["ner"], examples, [Tagged(tuple(tags.split()), ()) for tags in predicted])


def test_entities_are_right_as_a_whole() -> None:
    gold = ["B-PER I-PER O B-LOC", "B-ORG B-ORG I-ORG O", "O O"]  # 4 entities
    predicted = ["B-PER I-PER O B-ORG", "B-ORG I-ORG I-ORG O", "B-LOC O"]  # 4, of which 1 is right
    assert tagged(gold, predicted) == pytest.approx({"f1": 1 / 4, "precision": 1 / 4, "recall": 1 / 4}, **exactly)
    # As conlleval: an I that continues nothing begins an entity, and so does one of another kind.
    found = tagged(["O B-A I-A B-A", "B-B O"], ["O I-A I-A I-B", "O O"])
    assert found == pytest.approx({"f1": 2 / 5, "precision": 1 / 2, "recall": 1 / 3}, **exactly)
    assert tagged(["S-A B-B E-B"], ["S-A B-B I-B"])["recall"] == 1.0
    assert tagged(["O O"], ["O O"]) == {"f1": 0.0, "precision": 0.0, "recall": 0.0}
    with pytest.raises(BertsmithError, match="sentence 2: 1 tags for 2 words"):
        tagged(["O", "O O"], ["O", "O"])


@pytest.mark.parametrize(
    ("predicted", "gold", "exact", "f1"),
    [
        ("The  Cat!", "a cat", 1, 1),
        ("cat, dog", "the dog", 0, 2 / 3),
        ("theatre", "atre", 0, 0),
        ("to be or not to be", "to be", 0, 4 / 8),
        ("U.S.", "us", 1, 1),
        ("twenty-one", "twenty one", 0, 0),
        ("x the", "the x a", 1, 1),
    ],
)
def test_squad_answers_as_they_are_compared(predicted: str, gold: str, exact: float, f1: float) -> None:
    assert metrics_squad.exact(predicted, gold) == exact
    assert metrics_squad.word_f1(predicted, gold) == pytest.approx(f1, **exactly)


def test_squad_without_words() -> None:
    assert metrics_squad.word_f1("the", "a") == 0.0
    assert metrics_squad.word_f1_or_none("the", "a") == 1.0
    assert metrics_squad.word_f1_or_none("", "cat") == 0.0


def asked(*answers: str) -> AnswerExample:
    return AnswerExample("", "", "", tuple(Answer(text, 0) for text in answers), not answers)


def answered(text: str, no_answer: float = 0.0, best: str = "") -> Answered:
    return Answered(text, 0, len(text), 1.0, no_answer, best)


def test_squad1() -> None:
    examples = [asked("Bonn", "the city of Bonn"), asked("Anna"), asked("red car")]
    found = score(TASKS["squad1"], examples, [answered("city Bonn"), answered("anna."), answered("blue")])
    assert found == pytest.approx({"f1": (0.8 + 1 + 0) / 3, "exact": 1 / 3}, **exactly)


def test_squad2_with_thresholds() -> None:
    examples = [asked("Bonn"), asked("red car", "the"), asked(), asked(), asked("Anna")]
    predictions = [
        answered("Bonn", -3.0, "Bonn"),
        answered("car", -1.0, "car"),
        answered("", 2.0, "wrong"),
        answered("wrong", -2.0, "wrong"),
        answered("", 0.5, "Anna"),
    ]
    found = score(TASKS["squad2"], examples, predictions)
    # Least doubtful first: Bonn 2+1, wrong 2+1-1, car +2/3 (F1), Anna +1, wrong -1.
    expected = {
        "f1": (1 + 2 / 3 + 1 + 0 + 0) / 5,
        "exact": 2 / 5,
        "best_f1": (2 + 1 - 1 + 2 / 3 + 1) / 5,
        "best_exact": 3 / 5,
        "has_answer_f1": (1 + 2 / 3 + 0) / 3,
        "has_answer_exact": 1 / 3,
        "no_answer_f1": 1 / 2,
        "no_answer_exact": 1 / 2,
        "best_threshold": -3.0,
        "best_f1_threshold": 0.5,
    }
    assert found == pytest.approx(expected, **exactly)


def test_the_best_threshold_is_the_best_of_all() -> None:
    rng = random.Random(0)
    for _ in range(50):
        count = rng.randint(1, 12)
        has = [rng.random() < 0.6 for _ in range(count)]
        texts = [rng.choice(["", "answer", "answer"]) for _ in range(count)]
        scores = [rng.choice([0.0, 0.5, 1.0]) if h else float(not text) for h, text in zip(has, texts, strict=True)]
        doubts = rng.sample(range(-50, 50), count)  # all different
        best, _ = metrics_squad.best_threshold(scores, texts, has, doubts)
        of_all = [
            sum(s if d <= threshold else float(not h) for s, h, d in zip(scores, has, doubts, strict=True)) / count
            for threshold in [-100, *doubts]
        ]
        assert best == pytest.approx(max(of_all), **exactly)


@pytest.mark.parametrize(
    ("text", "units"),
    [
        ("光荣和ω-force", "光 荣 和 ωforce"),
        ("《三国志》，3.5%。", "三 国 志 3.5 %"),
        ("约1,200 km/h的 New York", "约 1,200 kmh 的 new york"),
        ("a, b (c) 'dog'", "a , b ( c ) ' dog '"),
        ("it's John. B. can't", "it 's john. b. ca n't"),
        ("the end.", "the end ."),
        ('say "hi"', "say `` hi ''"),
        ("cannot; wait...", "can not ; wait ..."),
        ("１２ａ", "１２ａ"),
        ("", ""),
    ],
)
def test_units_of_chinese_answers(text: str, units: str) -> None:
    assert metrics_cmrc.units(text) == units.split()


@pytest.mark.parametrize(
    ("predicted", "gold", "exact", "f1"),
    [
        ("《三国志》", "三国志。", 1, 1),
        ("武田信玄等人", "武田信玄", 0, 0.8),
        ("北京和上海", "上海和北京", 0, 2 / 5),  # the longest common run is two characters
        ("Omega Force", "omega", 0, 2 / 3),
        ("1994年", "1995年", 0, 1 / 2),
        ("", "甲", 0, 0),
    ],
)
def test_chinese_answers_as_they_are_compared(predicted: str, gold: str, exact: float, f1: float) -> None:
    assert metrics_cmrc.exact(predicted, gold) == exact
    assert metrics_cmrc.run_f1(predicted, gold) == pytest.approx(f1, **exactly)


def test_the_longest_run_against_trying_all() -> None:
    rng = random.Random(1)
    for _ in range(100):
        a, b = ("".join(rng.choices("abc", k=rng.randint(0, 9))) for _ in range(2))
        runs = [a[i:j] for i in range(len(a)) for j in range(i + 1, len(a) + 1)]
        assert metrics_cmrc.longest_run(a, b) == max((len(run) for run in runs if run in b), default=0)


@pytest.mark.parametrize("task", ["cmrc2018", "drcd"])
def test_cmrc(task: str) -> None:
    examples = [asked("武田信玄", "信玄"), asked("1994年")]
    found = score(TASKS[task], examples, [answered("武田信玄等人"), answered("1994年。")])
    assert found == pytest.approx({"f1": (0.8 + 1) / 2, "exact": 1 / 2}, **exactly)


def test_every_metric_of_every_task_is_there() -> None:
    for task in TASKS.values():
        label = task.labels[1] if task.labels else "B-X"
        examples, predictions = {
            "classification": (TextExample("", "", None, label), Classified(label, {})),
            "regression": (TextExample("", "", "", 1.0), Regressed(1.0)),
            "choice": (ChoiceExample("", "", "", ("a", "b"), 1), Chosen(1, (0.0, 1.0))),
            "tagging": (TaggedExample("", ("a",), (label,), True), Tagged((label,), (1.0,))),
            "answering": (asked("a b"), answered("a b")),
        }[task.type]
        found = score(task, [examples], [predictions])
        assert list(found)[: len(task.metrics)] == list(task.metrics)
        assert all(math.isfinite(value) for value in found.values())


def test_predictions_for_other_examples_are_refused() -> None:
    with pytest.raises(BertsmithError, match="no labelled example"):
        score(TASKS["sst2"], [], [])
    examples = [TextExample("", "", None, "1")]
    none: list[Prediction] = []
    with pytest.raises(BertsmithError, match="0 predictions for 1 examples"):
        score(TASKS["sst2"], examples, none)


# --- similarity ---


def test_rankings_by_hand() -> None:
    gold, scores = [True, False, True, False, True], [0.9, 0.8, 0.7, 0.3, 0.1]
    found = ranking(gold, scores)
    assert found["average_precision"] == pytest.approx((1 / 1 + 2 / 3 + 3 / 5) / 3)
    pairs = [
        (a, b) for a, x in zip(scores, gold, strict=True) for b, y in zip(scores, gold, strict=True) if x and not y
    ]
    assert found["auc"] == pytest.approx(sum(a > b for a, b in pairs) / len(pairs))
    assert ranking([True, True], [0.1, 0.2]) == {"average_precision": 1.0, "auc": 0.5}
    assert ranking([False], [0.1]) == {"average_precision": 0.0, "auc": 0.5}


def test_similarity_is_measured_as_the_data_allow() -> None:
    examples = [TextExample(str(i), "a", "b", label) for i, label in enumerate((1.0, 0.0, 1.0, 0.0))]
    compared = [Compared(cosine, rank, cosine >= 0.35) for cosine, rank in ((0.9, 1), (0.2, 4), (0.4, 2), (0.3, 1))]
    found = score(task_of("similarity"), examples, compared)
    assert found == {"average_precision": pytest.approx(1.0), "auc": pytest.approx(1.0)}
    assert score(replace(task_of("similarity"), metrics=METRICS["labelled"]), examples, compared)["accuracy"] == 1.0
    assert best_threshold(examples, compared) == pytest.approx(0.35)
    pairs = replace(task_of("similarity"), metrics=("retrieval", "mrr"))
    assert score(pairs, examples, compared) == {"retrieval": 0.5, "mrr": pytest.approx((1 + 1 / 4 + 1 / 2 + 1) / 4)}
    scored = replace(task_of("similarity"), metrics=("spearman", "pearson"))
    values = [example._replace(label=label) for example, label in zip(examples, (5.0, 1.0, 3.0, 2.0), strict=True)]
    found = score(scored, values, compared)
    assert found["spearman"] == pytest.approx(1.0) and list(found) == ["spearman", "pearson"]
    assert found["pearson"] == pytest.approx(float(np.corrcoef([5, 1, 3, 2], [0.9, 0.2, 0.4, 0.3])[0, 1]))


def test_partners_are_ranked_among_the_pairs_read_together() -> None:
    first = np.array([[1.0, 0.0], [0.0, 2.0], [1.0, 1.0]])
    second = np.array([[2.0, 0.0], [1.0, 0.0], [1.0, 1.0]])
    cosines = (first / np.linalg.norm(first, axis=1)[:, None]) @ (second / np.linalg.norm(second, axis=1)[:, None]).T
    found = ranked(cosines, 0.5)
    assert [pair.rank for pair in found] == [1, 2, 1], "a text that stands there twice is no nearer than itself"
    assert [pair.cosine for pair in found] == pytest.approx([1.0, 0.0, 1.0])
    assert [pair.together for pair in found] == [True, False, True]


@pytest.mark.parametrize("seed", range(6))
def test_the_threshold_is_as_good_as_any(seed: int) -> None:
    draw = random.Random(seed)
    examples = [TextExample("", "a", "b", float(draw.random() < 0.4)) for _ in range(30)]
    compared = [
        Compared(draw.choice([-0.5, 0.0, 0.1, 0.2, 0.6, 0.9]) + 0.2 * float(e.label or 0), 1, True) for e in examples
    ]

    def right(threshold: float) -> int:
        pairs = zip(examples, compared, strict=True)
        return sum((pair.cosine >= threshold) == (example.label == 1.0) for example, pair in pairs)

    assert right(best_threshold(examples, compared)) == max(right(place / 100) for place in range(-100, 101))
    assert best_threshold([], []) == 0.5 and threshold_sample(examples[:1]) == []
    assert len(threshold_sample(examples * 100)) == 1000 and threshold_sample(examples) == examples
