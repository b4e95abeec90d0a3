"""What all cuts share: one plan for each part of the corpus, and sequences out of its rows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bertsmith import interrupt
from bertsmith.data.config import CutConfig
from bertsmith.data.corpus import Corpus, Part
from bertsmith.data.cuts.examples import PART, Examples, Rows
from bertsmith.data.cuts.template import Template


@dataclass(frozen=True)
class Cut(ABC):
    """A way to cut a corpus into sequences: a function of (seed, plan number) and the corpus."""

    config: CutConfig
    template: Template
    seed: int

    @property
    def has_pairs(self) -> bool:
        """Whether its rows carry a label for the pair objective."""
        return self.config.makes_pairs

    def plan_number(self, epoch: int) -> int:
        """Which plan an epoch uses: epochs of the same number are cut alike. Cuts repeat after `copies` epochs."""
        return epoch % self.config.copies if self.config.copies else epoch

    def plan(self, corpus: Corpus, epoch: int) -> Rows:
        """The rows of an epoch: (rows, 6) int32, part, a_start, a_stop, b_start, b_stop, label."""
        planned = [np.empty((0, 6), dtype=np.int32)]
        for number, part in enumerate(corpus.parts):
            interrupt.check()
            rows = np.empty((self._most_rows(part), 6), dtype=np.int32)
            rows[:, PART] = number
            count = self._plan_part(part, self.plan_number(epoch), number, rows)
            planned.append(rows[:count].copy())
        return np.concatenate(planned)

    def build(self, corpus: Corpus, rows: Rows) -> Examples:
        """The sequences of some rows, in the order given."""
        return self.template.fill(corpus, rows)

    def lengths(self, corpus: Corpus, rows: Rows) -> npt.NDArray[np.int64]:
        """Tokens of each row, special tokens included: (rows,) int64."""
        return self.template.lengths(corpus, rows)

    @abstractmethod
    def _most_rows(self, part: Part) -> int:
        """More rows than these a part cannot give."""

    @abstractmethod
    def _plan_part(self, part: Part, plan_number: int, part_number: int, rows: Rows) -> int:
        """Write a part's rows, all but the part's number, into `rows`; returns how many they are."""
