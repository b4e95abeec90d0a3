"""Where a model for a task goes wrong: the worst mistakes, which classes it takes for which, how sure it is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy.stats import rankdata

from bertsmith.tasks.examples import AnswerExample, ChoiceExample, TaggedExample, TextExample
from bertsmith.tasks.predictions import Answered, Chosen, Classified, Compared, Prediction, Regressed, Tagged

LONGEST = 600  # characters of a text that are shown
BINS = 10
LEAST_MISPLACED = 0.25  # of all pairs: a cosine that stands so far from its score is a mistake


class Mistake(NamedTuple):
    """One wrong answer. weight: how bad it is, by the model's own sureness or by its distance from the truth."""

    place: str
    text: str
    second: str
    truth: str
    given: str
    weight: float
    note: str


def worst_mistakes(examples: Sequence[Any], predictions: Sequence[Prediction], count: int = 25) -> list[Mistake]:
    """The mistakes that the model was surest of, or that are farthest off, the worst first."""
    compared = [prediction for prediction in predictions if isinstance(prediction, Compared)]
    if compared:
        return sorted(_misplaced(examples, compared), key=lambda mistake: -mistake.weight)[:count]
    found = [
        mistake
        for example, prediction in zip(examples, predictions, strict=True)
        if (mistake := _mistake(example, prediction)) is not None
    ]
    return sorted(found, key=lambda mistake: -mistake.weight)[:count]


def _mistake(example: Any, prediction: Prediction) -> Mistake | None:
    match example, prediction:
        case TextExample(name, first, second, label), Classified(given, shares):
            if given == str(label):
                return None
            sure = shares.get(given, 0.0)
            note = f"{sure:.1%} sure; the truth got {shares.get(str(label), 0.0):.1%}"
            return Mistake(name, _short(first), _short(second or ""), str(label), given, sure, note)
        case TextExample(name, first, second, label), Regressed(value):
            off = abs(value - float(label or 0.0))
            shown = _short(second or "")
            return Mistake(name, _short(first), shown, f"{label:g}", f"{value:.2f}", off, f"{off:.2f} off")
        case ChoiceExample(name, context, question, choices, label), Chosen(choice, shares):
            if choice == label or label is None:
                return None
            note = f"{shares[choice]:.1%} sure"
            text = _short(context)
            return Mistake(name, text, question, choices[label], choices[choice], shares[choice], note)
        case TaggedExample(), Tagged():
            return _wrong_tags(example, prediction)
        case AnswerExample(), Answered():
            return _wrong_answer(example, prediction)
    raise TypeError(f"{type(example).__name__} has no prediction of type {type(prediction).__name__}")


def _misplaced(examples: Sequence[TextExample], predictions: Sequence[Compared]) -> Iterator[Mistake]:
    """Pairs whose cosines stand elsewhere among all cosines than their scores among all scores; where all belong
    together, those whose partner is not the nearest.
    """
    labels, cosines = [float(example.label or 0.0) for example in examples], [pair.cosine for pair in predictions]
    if len(set(labels)) > 1:
        places = [rankdata(values) / len(values) for values in (labels, cosines)]
        weights = [float(weight) for weight in abs(places[0] - places[1])]
        notes = [
            f"nearer than {mine:.0%} of the pairs; by its score, than {wanted:.0%}"
            for wanted, mine in zip(*places, strict=True)
        ]
    else:
        weights = [pair.rank - 1.0 for pair in predictions]
        notes = [f"{pair.rank - 1} of those it was held against are nearer" for pair in predictions]
    for example, pair, weight, note in zip(examples, predictions, weights, notes, strict=True):
        if weight > LEAST_MISPLACED:
            texts = _short(example.first), _short(example.second or "")
            truth = f"{float(example.label or 0.0):g}"
            yield Mistake(example.name, *texts, truth, f"cosine {pair.cosine:.2f}", weight, note)


def _wrong_tags(example: TaggedExample, prediction: Tagged) -> Mistake | None:
    tags = example.tags or ()
    wrong = [i for i, (gold, given) in enumerate(zip(tags, prediction.tags, strict=True)) if gold != given]
    if not wrong:
        return None
    between = " " if example.spaced else ""
    truth = [f"{example.words[i]} ({tags[i]})" for i in wrong[:8]]
    given = [f"{example.words[i]} ({prediction.tags[i]})" for i in wrong[:8]]
    sure = sum(prediction.scores[i] for i in wrong)
    note = f"{len(wrong)} of {len(tags)} tags wrong"
    text = _short(between.join(example.words))
    return Mistake(example.name, text, "", ", ".join(truth), ", ".join(given), sure, note)


def _wrong_answer(example: AnswerExample, prediction: Answered) -> Mistake | None:
    """Shown around where the answer stands, or where the model thought it stands."""
    right = {"".join(answer.text.lower().split()) for answer in example.answers} or {""}
    if "".join(prediction.text.lower().split()) in right:
        return None
    truth = example.answers[0].text if example.answers else "(no answer)"
    start = example.answers[0].start if example.answers else prediction.start
    begin = max(0, start - LONGEST // 2)
    text = ("…" if begin else "") + _short(example.context[begin:])
    given = prediction.text or "(no answer)"
    return Mistake(example.name, text, example.question, truth, given, prediction.score, f"{prediction.score:.1%} sure")


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


# --- classes ---


class ClassFigures(NamedTuple):
    """One class: how many examples it has, how many of them are found, how many of those called so are right."""

    label: str
    examples: int
    recall: float
    precision: float
    taken_for: str


def outcomes(examples: Sequence[Any], predictions: Sequence[Prediction]) -> list[tuple[str, str]]:
    """(truth, given) of every example of a classification; of tagging, of every word."""
    found: list[tuple[str, str]] = []
    for example, prediction in zip(examples, predictions, strict=True):
        if isinstance(prediction, Classified):
            found.append((str(example.label), prediction.label))
        elif isinstance(prediction, Tagged):
            found += zip(example.tags or (), prediction.tags, strict=False)
    return found


def confusion(pairs: Sequence[tuple[str, str]], labels: Sequence[str]) -> np.ndarray:
    """Counts by truth (rows) and what was given (columns), in the order of the labels: int64."""
    place = {label: number for number, label in enumerate(labels)}
    counts = np.zeros((len(labels), len(labels)), dtype=np.int64)
    for truth, given in pairs:
        if truth in place and given in place:
            counts[place[truth], place[given]] += 1
    return counts


def class_figures(counts: np.ndarray, labels: Sequence[str]) -> list[ClassFigures]:
    """Every class that occurs, the worst found first."""
    found = []
    for number, label in enumerate(labels):
        total, called, right = counts[number].sum(), counts[:, number].sum(), counts[number, number]
        if not total:
            continue
        others = Counter({labels[i]: int(n) for i, n in enumerate(counts[number]) if i != number and n})
        taken = ", ".join(f"{name} ({count})" for name, count in others.most_common(3))
        found.append(ClassFigures(label, int(total), right / total, right / called if called else 0.0, taken))
    return sorted(found, key=lambda figures: (figures.recall, -figures.examples))


# --- sureness ---


class Calibration(NamedTuple):
    """How sure a model is against how often it is right, in bins of sureness that hold examples.

    error: expected calibration error (Naeini et al., 2015), the mean gap between the two, weighted by examples.
    """

    sure: list[float]
    right: list[float]
    counts: list[int]
    error: float


def calibration(examples: Sequence[Any], predictions: Sequence[Prediction]) -> Calibration | None:
    """The calibration of a classification or a choice; None of other tasks."""
    sure: list[float] = []
    right: list[bool] = []
    for example, prediction in zip(examples, predictions, strict=True):
        if isinstance(prediction, Classified):
            sure.append(prediction.probabilities.get(prediction.label, 0.0))
            right.append(prediction.label == str(example.label))
        elif isinstance(prediction, Chosen):
            sure.append(prediction.probabilities[prediction.choice])
            right.append(prediction.choice == example.label)
    if not sure:
        return None
    values, hits = np.array(sure), np.array(right, dtype=float)
    bins = np.minimum((values * BINS).astype(int), BINS - 1)
    means, shares, counts = [], [], []
    for number in range(BINS):
        chosen = bins == number
        if chosen.any():
            means.append(float(values[chosen].mean()))
            shares.append(float(hits[chosen].mean()))
            counts.append(int(chosen.sum()))
    gaps = [n * abs(mean - share) for mean, share, n in zip(means, shares, counts, strict=True)]
    return Calibration(means, shares, counts, sum(gaps) / len(values))
