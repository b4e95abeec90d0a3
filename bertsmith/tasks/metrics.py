"""What predictions are worth: the field's own metrics, from 0 to 1 (correlations from -1 to 1)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from scipy import stats
from seqeval.metrics.sequence_labeling import precision_recall_fscore_support
from sklearn import metrics as sklearn_metrics

from bertsmith.errors import BertsmithError
from bertsmith.tasks.examples import Example
from bertsmith.tasks.metrics_cmrc import score_by_character
from bertsmith.tasks.metrics_squad import score_answers
from bertsmith.tasks.predictions import Compared, Prediction
from bertsmith.tasks.task import Task


def score(task: Task, examples: Sequence[Example], predictions: Sequence[Prediction]) -> dict[str, float]:
    """The metrics of a task over labelled examples and the prediction for each; those of `task.metrics` first.

    BertsmithError when there is no example, or not one prediction for each.
    """
    if not examples:
        raise BertsmithError(f"{task.name}: there is no labelled example to score")
    if len(examples) != len(predictions):
        raise BertsmithError(f"{task.name}: {len(predictions)} predictions for {len(examples)} examples")
    pairs: tuple[Any, Any] = (examples, predictions)
    match task.type:
        case "classification":
            found = _classification(task, *pairs)
        case "regression":
            found = correlations([float(example.label) for example in pairs[0]], [p.value for p in pairs[1]])
        case "choice":
            right = [example.label == chosen.choice for example, chosen in zip(*pairs, strict=True)]
            found = {"accuracy": sum(right) / len(right)}
        case "tagging":
            found = entities([e.tags for e in pairs[0]], [prediction.tags for prediction in pairs[1]])
        case "answering":
            found = score_by_character(*pairs) if task.by_character else score_answers(*pairs, task.no_answer)
        case "similarity":
            found = similarity(task.metrics, [float(example.label) for example in pairs[0]], pairs[1])
    first = {name: found[name] for name in task.metrics if name in found}
    return first | found if task.type == "answering" else first


def _classification(task: Task, examples: Sequence[Any], predictions: Sequence[Any]) -> dict[str, float]:
    gold = [str(example.label) for example in examples]
    predicted = [prediction.label for prediction in predictions]
    found = {"accuracy": sum(g == p for g, p in zip(gold, predicted, strict=True)) / len(gold)}
    if "matthews" in task.metrics:
        one = len({*gold, *predicted}) == 1  # scikit-learn gives 0 as well, with a warning
        found["matthews"] = 0.0 if one else float(sklearn_metrics.matthews_corrcoef(gold, predicted))
    if "f1" in task.metrics:
        found["f1"] = binary_f1(gold, predicted, task.labels[1])
    if "macro_f1" in task.metrics:
        found["macro_f1"] = float(
            cast(Any, sklearn_metrics).f1_score(gold, predicted, average="macro", zero_division=0)
        )
    return found


def binary_f1(gold: Sequence[str], predicted: Sequence[str], positive: str) -> float:
    """F1 of one class; 0 where it is neither there nor predicted."""
    right = sum(g == p == positive for g, p in zip(gold, predicted, strict=True))
    either = sum(g == positive for g in gold) + sum(p == positive for p in predicted)
    return 2 * right / either if either else 0.0


def correlations(gold: Sequence[float], predicted: Sequence[float]) -> dict[str, float]:
    """Pearson's and Spearman's correlation; 0 where all values of one side are equal, which correlate with nothing."""
    if len(set(gold)) < 2 or len(set(predicted)) < 2:
        return {"pearson": 0.0, "spearman": 0.0}
    return {"pearson": _first(stats.pearsonr(gold, predicted)), "spearman": _first(stats.spearmanr(gold, predicted))}


def similarity(metrics: Sequence[str], gold: Sequence[float], predicted: Sequence[Compared]) -> dict[str, float]:
    """Those of `metrics` that cosines are measured by.

    Of scores their correlations with the cosines. Of pairs that belong together (1) or not (0) how well the cosines
    rank them: average precision and the area under the ROC curve; and how many are on the right side of the threshold.
    Of texts that all belong together how often the
    partner is the nearest, and the mean of 1 / its place among the neighbours (mean reciprocal rank).
    """
    cosines = [pair.cosine for pair in predicted]
    found: dict[str, float] = {}
    if "spearman" in metrics:
        found |= correlations(gold, cosines)
    if "average_precision" in metrics:
        found |= ranking([score > 0 for score in gold], cosines)
        right = [(score > 0) == pair.together for score, pair in zip(gold, predicted, strict=True)]
        found["accuracy"] = sum(right) / len(right)
    if "retrieval" in metrics:
        found["retrieval"] = sum(pair.rank == 1 for pair in predicted) / len(predicted)
        found["mrr"] = sum(1 / pair.rank for pair in predicted) / len(predicted)
    return found


def ranking(gold: Sequence[bool], scores: Sequence[float]) -> dict[str, float]:
    """Average precision and area under the ROC curve; where all are of one class the share of true ones, and 0.5."""
    if len(set(gold)) < 2:
        return {"average_precision": sum(gold) / len(gold), "auc": 0.5}
    measure = cast(Any, sklearn_metrics)
    precision, area = measure.average_precision_score(gold, scores), measure.roc_auc_score(gold, scores)
    return {"average_precision": float(precision), "auc": float(area)}


def _first(result: Any) -> float:
    """The correlation of scipy's (correlation, p-value)."""
    return float(result[0])


def entities(gold: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]]) -> dict[str, float]:
    """Precision, recall and F1 of whole entities (seqeval): right only with the same words and the same kind."""
    for index, (wanted, found) in enumerate(zip(gold, predicted, strict=True)):
        if len(wanted) != len(found):
            raise BertsmithError(f"sentence {index + 1}: {len(found)} tags for {len(wanted)} words")
    pairs: Any = [list(tags) for tags in gold], [list(tags) for tags in predicted]
    precision, recall, f1, _ = cast(Any, precision_recall_fscore_support)(*pairs, average="micro", zero_division=0)
    return {"f1": float(f1), "precision": float(precision), "recall": float(recall)}
