"""Numbers for the tokens of sequences that come again, by which what was once worked out for them is found."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from bertsmith.data.plans import Plans


class Positions:
    """Numbers every token of the epochs before they repeat, row after row of each epoch's plan.

    A token keeps its number in every epoch in which its sequence comes again with the same mask.
    """

    def __init__(self, plans: Plans, period: int, first: int) -> None:
        """period: epochs after which all comes again, from 1. first: the number of the first token."""
        self._plans, self._period = plans, period
        self._firsts = [first]  # of each epoch reached so far
        self._opened = (-1, np.zeros(0, dtype=np.int64))  # the epoch asked for last, and where its rows start

    def starts(self, epoch: int, indices: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """The numbers of the first tokens of chosen rows of an epoch's plan: (rows,) int64."""
        number = epoch % self._period
        if self._opened[0] != number:
            lengths = self._plans.lengths(number)
            self._opened = (number, np.cumsum(lengths, dtype=np.int64) - lengths + self.end(number))
        return self._opened[1][indices]

    def end(self, epochs: int) -> int:
        """The number after the last one of so many epochs, at most the period."""
        while len(self._firsts) <= epochs:
            self._firsts.append(self._firsts[-1] + int(self._plans.lengths(len(self._firsts) - 1).sum()))
        return self._firsts[epochs]
