"""What a model says of the examples of a task, one prediction for each example."""

from __future__ import annotations

from typing import NamedTuple


class Classified(NamedTuple):
    """The likeliest label, and the probability of every label."""

    label: str
    probabilities: dict[str, float]


class Regressed(NamedTuple):
    """A score in the unit of the labels."""

    value: float


class Chosen(NamedTuple):
    """Which choice, from 0, and the probability of each."""

    choice: int
    probabilities: tuple[float, ...]


class Tagged(NamedTuple):
    """A tag for each word, and its probability."""

    tags: tuple[str, ...]
    scores: tuple[float, ...]


class Answered(NamedTuple):
    """The answer that was chosen: context[start:end]; "" where none was.

    no_answer: how much better no answer scores than `best`, the best answer there is: higher = rather no answer.
    score: the probability of what was chosen.
    """

    text: str
    start: int
    end: int
    score: float
    no_answer: float
    best: str = ""


class Compared(NamedTuple):
    """The cosine of two texts, and the place of the second one among its neighbours: 1 = none is nearer to the first.

    The neighbours are the second texts of the examples that were read together, 512 at most. together: whether the two
    are said to belong together (TaskConfig.threshold).
    """

    cosine: float
    rank: int
    together: bool


Prediction = Classified | Regressed | Chosen | Tagged | Answered | Compared
