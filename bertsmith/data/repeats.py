"""Which documents were seen before, by 64-bit hash."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from bertsmith.compiled import kernel

FIRST_SLOTS = 2**16
EMPTY = np.uint64(0)


class Seen:
    """A set of 64-bit hashes in one array: 16 to 32 bytes for each, where a Python set takes 60 and more.

    Two different documents share a hash with probability 2**-64; among 10 million documents, in one of 370,000 corpora.
    """

    def __init__(self) -> None:
        self._slots = np.zeros(FIRST_SLOTS, dtype=np.uint64)
        self._count = 0

    def add(self, hashes: npt.NDArray[np.uint64]) -> npt.NDArray[np.bool_]:
        """Add hashes in order; True for each that was not there yet."""
        hashes = np.maximum(hashes, np.uint64(1))  # 0 marks an empty slot
        while 2 * (self._count + hashes.size) > self._slots.size:
            smaller = self._slots[self._slots != EMPTY]
            self._slots = np.zeros(2 * self._slots.size, dtype=np.uint64)
            _insert(self._slots, smaller, np.empty(smaller.size, dtype=np.bool_))
        new = np.empty(hashes.size, dtype=np.bool_)
        self._count += _insert(self._slots, hashes, new)
        return new


@kernel
def _insert(slots: npt.NDArray[np.uint64], hashes: npt.NDArray[np.uint64], new: npt.NDArray[np.bool_]) -> int:
    """Put hashes into their slots, or the next free one; returns how many were new."""
    last = np.uint64(slots.size - 1)
    added = 0
    for number in range(hashes.size):
        slot = hashes[number] & last
        while slots[slot] != EMPTY and slots[slot] != hashes[number]:
            slot = (slot + np.uint64(1)) & last
        new[number] = slots[slot] == EMPTY
        added += new[number]
        slots[slot] = hashes[number]
    return added
