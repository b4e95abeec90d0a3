"""What int8 costs: the same task, or the same masked text, in fp32 and in int8, before anyone relies on it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from bertsmith import console
from bertsmith.serving.engine import Precision
from bertsmith.serving.precision import at_precision
from bertsmith.tasks.evaluation import evaluate
from bertsmith.tasks.finetuning_config import TaskConfig
from bertsmith.tasks.masked_lm import evaluate_masked_lm
from bertsmith.tasks.task import Task
from bertsmith.tasks.trained import Trained


class QuantizationLoss(NamedTuple):
    """precision: that was compared. metrics: name -> (in fp32, in that precision).

    same: the share of examples with the same prediction; None where predictions are numbers, or there are none.
    """

    precision: Precision
    metrics: dict[str, tuple[float, float]]
    same: float | None


def loss_on_task(
    trained: Trained,
    task: Task,
    examples: Sequence[Any],
    settings: TaskConfig | None = None,
    precision: Precision = "int8",
) -> QuantizationLoss:
    """The metrics of a task on labelled examples in both precisions, said in one line. Errors as in `evaluate`."""
    model, taken = at_precision(trained, precision)
    exact, other = (evaluate(one, task, examples, settings) for one in (trained, trained._replace(model=model)))
    pairs = {name: (value, other.metrics[name]) for name, value in exact.metrics.items()}
    first = [[prediction[0] for prediction in one.predictions] for one in (exact, other)]  # label, choice, tags, text
    same = None
    if task.type not in ("regression", "similarity"):
        same = sum(one == two for one, two in zip(*first, strict=True)) / max(1, len(examples))
    return _told(QuantizationLoss(taken, pairs, same), f"{len(examples):,} examples of {task.name}")


def loss_on_text(
    trained: Trained, documents: Iterable[Sequence[str]], seed: int = 0, precision: Precision = "int8"
) -> QuantizationLoss:
    """The masked-LM figures of a text (documents: lists of clean lines) in both precisions, said in one line.

    Errors as in `evaluate_masked_lm`.
    """
    text = [list(document) for document in documents]
    model, taken = at_precision(trained, precision)
    exact, other = (
        evaluate_masked_lm(one, trained.tokenizer, text, seed, trained.max_length) for one in (trained.model, model)
    )
    pairs = {name: (float(exact[name]), float(other[name])) for name in ("loss", "accuracy", "word_accuracy")}
    return _told(QuantizationLoss(taken, pairs, None), f"{exact['masked']:,} masked tokens")


def _told(loss: QuantizationLoss, where: str) -> QuantizationLoss:
    figures = ", ".join(f"{name} {exact:.4f} -> {other:.4f}" for name, (exact, other) in loss.metrics.items())
    same = "" if loss.same is None else f", {loss.same:.1%} of the predictions are the same"
    console.say(f"fp32 -> {loss.precision} on {where}: {figures}{same}")
    return loss
