"""What a precision costs: one judgement of a model in fp32 and in that precision, before anyone relies on it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, NamedTuple, TypeVar

from bertsmith.serving.engine import Precision
from bertsmith.serving.precision import Auto, at_precision
from bertsmith.tasks.evaluation import Evaluation
from bertsmith.tasks.trained import Trained

R = TypeVar("R")


class InPrecision(NamedTuple, Generic[R]):
    """precision: that was taken. found: what was found in it. exact: the same in fp32; None where that was taken."""

    precision: Precision
    found: R
    exact: R | None


def judged_in(trained: Trained, precision: Precision | Auto, judge: Callable[[Trained], R]) -> InPrecision[R]:
    """What `judge` finds of a model that computes in a precision, and beside it what it finds in fp32."""
    exact = judge(trained)
    if precision != "fp32":
        model, taken = at_precision(trained, precision)
        if taken != "fp32":
            return InPrecision(taken, judge(trained._replace(model=model)), exact)
    return InPrecision("fp32", exact, None)


def same_predictions(one: Evaluation, other: Evaluation) -> float:
    """The share of examples of which both say the same: label, choice, tags or answer, whatever its probability."""
    same = sum(first[0] == second[0] for first, second in zip(one.predictions, other.predictions, strict=True))
    return same / max(1, one.examples)
