"""Exact match and F1 of answers as SQuAD 1.1 and 2.0 define them (Rajpurkar et al., 2016 and 2018).

Answers are compared in lower case, without punctuation, without the articles a, an and the, with single spaces; the
best of all published answers counts. F1 is that of the bags of words. SQuAD 2.0 drops published answers of which
nothing is left, and its best threshold is the likelihood of no answer above which none is given.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Callable, Sequence

from bertsmith.tasks.examples import AnswerExample
from bertsmith.tasks.predictions import Answered

_ARTICLES = re.compile(r"\b(?:a|an|the)\b")
_WITHOUT_PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalized(text: str) -> str:
    """An answer as it is compared."""
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_WITHOUT_PUNCTUATION)).split())


def exact(predicted: str, gold: str) -> float:
    """1.0 when both are the same once they are normalized."""
    return float(normalized(predicted) == normalized(gold))


def word_f1(predicted: str, gold: str) -> float:
    """F1 of the words, each as often as it stands there; 0 when no word is in both."""
    words, wanted = normalized(predicted).split(), normalized(gold).split()
    common = sum((Counter(words) & Counter(wanted)).values())
    if not common:
        return 0.0
    precision, recall = common / len(words), common / len(wanted)
    return 2 * precision * recall / (precision + recall)


def word_f1_or_none(predicted: str, gold: str) -> float:
    """SQuAD 2.0's F1: where one of both has no words, 1.0 when the other has none either."""
    if not normalized(predicted) or not normalized(gold):
        return exact(predicted, gold)
    return word_f1(predicted, gold)


def score_answers(
    examples: Sequence[AnswerExample], predictions: Sequence[Answered], no_answer: bool
) -> dict[str, float]:
    """`exact` and `f1`, each the mean over questions.

    `no_answer`: by SQuAD 2.0's rules, with the means over questions that have an answer and those that have none, and
    `best_exact`, `best_f1`, `best_threshold`, `best_f1_threshold`: what the best answers would score if none were
    given where `no_answer` of the prediction is above a threshold, at the best threshold for each.
    """
    if not no_answer:
        texts = [prediction.text for prediction in predictions]
        return {
            "f1": _mean(_best(examples, texts, word_f1, no_answer=False)),
            "exact": _mean(_best(examples, texts, exact, no_answer=False)),
        }
    found: dict[str, float] = {}
    has_answer = [bool(example.answers) for example in examples]
    chosen = [prediction.text for prediction in predictions]
    forced = [prediction.best or prediction.text for prediction in predictions]
    doubts = [prediction.no_answer for prediction in predictions]
    for name, measure in (("f1", word_f1_or_none), ("exact", exact)):
        scores = _best(examples, chosen, measure, no_answer=True)
        found[name] = _mean(scores)
        for group, wanted in (("has_answer", True), ("no_answer", False)):
            part = [value for value, has in zip(scores, has_answer, strict=True) if has == wanted]
            if part:
                found[f"{group}_{name}"] = _mean(part)
        raw = _best(examples, forced, measure, no_answer=True)
        best, threshold = best_threshold(raw, forced, has_answer, doubts)
        found[f"best_{name}"] = best
        found["best_threshold" if name == "exact" else "best_f1_threshold"] = threshold
    return found


def _best(
    examples: Sequence[AnswerExample], texts: Sequence[str], measure: Callable[[str, str], float], no_answer: bool
) -> list[float]:
    """For each question the score against the published answer that fits best."""
    scores: list[float] = []
    for example, text in zip(examples, texts, strict=True):
        gold = [answer.text for answer in example.answers]
        if no_answer:
            gold = [answer for answer in gold if normalized(answer)] or [""]
        scores.append(max(measure(text, answer) for answer in gold))
    return scores


def best_threshold(
    scores: Sequence[float], texts: Sequence[str], has_answer: Sequence[bool], doubts: Sequence[float]
) -> tuple[float, float]:
    """(best mean, its threshold) when the answer of a question is dropped where its doubt is above the threshold.

    Starts with no answer at all, threshold 0, and admits one question after the other, the least doubtful first. An
    answer to a question that has none costs one; an empty one costs nothing.
    """
    total = best = float(sum(not has for has in has_answer))
    threshold = 0.0
    for index in sorted(range(len(scores)), key=lambda index: doubts[index]):
        if has_answer[index]:
            total += scores[index]
        elif texts[index]:
            total -= 1
        if total > best:
            best, threshold = total, doubts[index]
    return best / len(scores), threshold


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
