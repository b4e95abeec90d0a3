"""Randomness as a function: every draw is a hash of (seed, purpose, numbers, counter), never the state of a generator.

The hash is the finaliser of SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014)
applied to a key plus a multiple of the golden ratio: `draw(key, i) = mix(key + (i + 1) * GAMMA)`. A key is such a draw
itself, so streams nest: seed and purpose -> epoch -> row -> draw. The same values come out of numpy (`draw`,
`uniform`) and of compiled code (`draw_one`, `uniform_one`, `below_one`), on every machine and in every version.
"""

from __future__ import annotations

import hashlib

import numpy as np
import numpy.typing as npt

from bertsmith.compiled import kernel

UInt64s = npt.NDArray[np.uint64]

GAMMA = np.uint64(0x9E3779B97F4A7C15)
MULTIPLIER_1 = np.uint64(0xBF58476D1CE4E5B9)
MULTIPLIER_2 = np.uint64(0x94D049BB133111EB)
ONE = np.uint64(1)
SHIFT_11, SHIFT_27, SHIFT_30, SHIFT_31, SHIFT_32 = (np.uint64(n) for n in (11, 27, 30, 31, 32))
UNIT = 2.0**-53

PERMUTATION_ROUNDS = 64  # near a random permutation; every round halves what is left of the old order


@kernel
def mix(value: np.uint64) -> np.uint64:
    """SplitMix64's finaliser: a bijection of 64 bits in which every input bit moves every output bit."""
    value = (value ^ (value >> SHIFT_30)) * MULTIPLIER_1
    value = (value ^ (value >> SHIFT_27)) * MULTIPLIER_2
    return value ^ (value >> SHIFT_31)


@kernel
def draw_one(key: np.uint64, counter: int) -> np.uint64:
    """Draw number `counter` (from 0) of the stream `key`: 64 random bits. May itself serve as a key."""
    return mix(key + (np.uint64(counter) + ONE) * GAMMA)


@kernel
def uniform_one(bits: np.uint64) -> float:
    """64 random bits as a float in [0, 1), from the upper 53."""
    return np.float64(bits >> SHIFT_11) * UNIT


@kernel
def uniform_at(key: np.uint64, counter: int) -> float:
    """`uniform` for one counter, also from plain Python."""
    return uniform_one(draw_one(key, counter))


@kernel
def below_one(bits: np.uint64, bound: int) -> int:
    """64 random bits as an integer in [0, bound), bound < 2**32; no value is favoured by more than bound / 2**32."""
    return int(np.int64(((bits >> SHIFT_32) * np.uint64(bound)) >> SHIFT_32))


def key(seed: int, purpose: str, *numbers: int) -> np.uint64:
    """The key of one stream of draws. `purpose` is a short name; `numbers` are its epoch, part, row and so on."""
    label = hashlib.blake2b(purpose.encode(), digest_size=8).digest()
    value = np.uint64(seed % 2**64)
    for number in (int.from_bytes(label, "little"), *numbers):
        value = np.uint64(_nested(value, np.uint64(number % 2**64)))
    return value


@kernel
def _nested(outer: np.uint64, number: np.uint64) -> np.uint64:
    return mix(outer + (number + ONE) * GAMMA)


def draw(key: np.uint64, counters: npt.ArrayLike) -> UInt64s:
    """64 random bits for each counter, in numpy; equal to `draw_one` for each."""
    values = np.asarray(counters).astype(np.uint64)
    with np.errstate(over="ignore"):
        values = key + (values + ONE) * GAMMA
        values = (values ^ (values >> SHIFT_30)) * MULTIPLIER_1
        values = (values ^ (values >> SHIFT_27)) * MULTIPLIER_2
    return values ^ (values >> SHIFT_31)


def uniform(key: np.uint64, counters: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """A float in [0, 1) for each counter."""
    return (draw(key, counters) >> SHIFT_11).astype(np.float64) * UNIT


@kernel
def permute(key: np.uint64, size: int, positions: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Where a random permutation of range(size) sends each of `positions`, without building the permutation.

    Swap-or-not (Hoang, Morris, Rogaway: An Enciphering Scheme Based on a Card Shuffle, 2012): each round pairs x with
    shift - x modulo size and swaps the pair on a bit both agree on, so any size has its permutation at no memory.
    """
    result = np.empty(positions.size, dtype=np.int64)
    shifts = np.empty(PERMUTATION_ROUNDS, dtype=np.int64)
    keys = np.empty(PERMUTATION_ROUNDS, dtype=np.uint64)
    for turn in range(PERMUTATION_ROUNDS):
        shifts[turn] = np.int64(draw_one(key, 2 * turn) % np.uint64(size))
        keys[turn] = draw_one(key, 2 * turn + 1)
    for index in range(positions.size):
        place = positions[index]
        for turn in range(PERMUTATION_ROUNDS):
            partner = shifts[turn] - place
            if partner < 0:
                partner += size
            if draw_one(keys[turn], max(place, partner)) >> np.uint64(63):
                place = partner
        result[index] = place
    return result


def permutation(key: np.uint64, size: int) -> npt.NDArray[np.int64]:
    """The whole permutation of range(size) that `permute` answers for one position at a time."""
    return permute(key, size, np.arange(size))
