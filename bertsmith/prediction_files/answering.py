"""The answers of a model to chunks of questions: what a worker process does."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from bertsmith import console
from bertsmith.errors import UsageError
from bertsmith.prediction_files.formats import FORMATS, Shape, plain
from bertsmith.prediction_files.parts import Cut, Part, Wrong
from bertsmith.prediction_files.questions import Chunk, Unusable
from bertsmith.prediction_files.verbs import ERROR, VERBS, Options, Text
from bertsmith.serving.precision import Precision
from bertsmith.serving.predictor import Predictor
from bertsmith.tasks.finetuning_config import TaskConfig


@dataclass
class Asking:
    """Whom to ask, and how. precision: never "auto", so that every process does the same."""

    verb: str
    model: Path
    precision: Precision
    settings: TaskConfig | None
    options: Options
    predictor: Predictor | None = field(default=None, repr=False)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "predictor": None}  # each process reads the model for itself

    def rows(self, chunk: Chunk) -> tuple[list[Any], Cut]:
        """One result for each row, {"error": why} for one that cannot be used; and how many texts were cut."""
        usable = [question for question in chunk.questions if not isinstance(question, Unusable)]
        cut: Cut = Counter()
        with one_thread():
            results = iter(self._answers(usable, cut))
        rows = [
            {ERROR: str(question)} if isinstance(question, Unusable) else next(results) for question in chunk.questions
        ]
        return rows, cut

    def _answers(self, texts: list[Text], cut: Cut) -> list[Any]:
        """The results, in halves where the predictor refuses one of the texts, so that only that one is lost."""
        if not texts:
            return []
        try:
            with console.counted() as counts:
                found = list(VERBS[self.verb].ask(self._loaded(), texts, self.options))
        except UsageError as error:
            if len(texts) == 1:
                return [{ERROR: str(error)}]
            half = len(texts) // 2
            return self._answers(texts[:half], cut) + self._answers(texts[half:], cut)
        cut.update(counts)
        return found

    def _loaded(self) -> Predictor:
        if self.predictor is None:
            self.predictor = Predictor.load(self.model, precision=self.precision, settings=self.settings)
        return self.predictor


@dataclass
class MakePart:
    """A chunk to its part of a file."""

    asking: Asking
    ending: str
    width: int

    def __call__(self, chunk: Chunk) -> Part:
        rows, cut = self.asking.rows(chunk)
        shape = Shape(VERBS[self.asking.verb], self.width)
        data = FORMATS[self.ending].encode(shape, rows)
        return Part(chunk.number, len(rows), wrong_in(rows, chunk.first), cut, data)


@dataclass
class MakeRows:
    """A chunk to its results as JSON knows them, and how many texts were cut."""

    asking: Asking

    def __call__(self, chunk: Chunk) -> tuple[list[Any], Cut]:
        rows, cut = self.asking.rows(chunk)
        return [plain(row) for row in rows], cut


def wrong_in(rows: Sequence[Any], first: int) -> Wrong:
    """The errors among consecutive results. first: the number of the first of them."""
    wrong: Wrong = {}
    for number, row in enumerate(rows, first):
        if isinstance(row, dict) and ERROR in row:
            count, place = wrong.get(row[ERROR], (0, number))
            wrong[row[ERROR]] = (count + 1, place)
    return wrong


@contextmanager
def one_thread() -> Iterator[None]:
    """One thread for every process: with more, the last bits of a product depend on how many there are."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
