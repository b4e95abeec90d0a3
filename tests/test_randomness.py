"""The counter hash: one function in numpy and in compiled code, fixed for ever, and random enough."""

import numpy as np
import pytest

from bertsmith import randomness
from bertsmith.randomness import below_one, draw, draw_one, key, permutation, permute, uniform, uniform_at


def test_values_never_change():
    """Resuming a run under a later version must draw the same masks: these are part of the format."""
    assert int(key(0, "mask", 3)) == 14441818728012767388
    assert draw(np.uint64(0), [0, 1, 2]).tolist() == [  # the reference output of SplitMix64 seeded with 0
        16294208416658607535,
        7960286522194355700,
        487617019471545679,
    ]
    assert permutation(key(1, "order", 0), 8).tolist() == [6, 5, 2, 0, 7, 1, 3, 4]


def test_numpy_and_compiled_code_agree():
    stream = key(7, "test")
    counters = np.array([0, 1, 5, 2**31, 2**40])
    assert draw(stream, counters).tolist() == [draw_one(stream, int(i)) for i in counters]
    assert uniform(stream, counters).tolist() == [uniform_at(stream, int(i)) for i in counters]


def test_keys_differ_by_every_part():
    keys = [key(0, "a"), key(1, "a"), key(0, "b"), key(0, "a", 0), key(0, "a", 1), key(0, "a", 0, 0), key(-1, "a")]
    assert len({int(k) for k in keys}) == len(keys)


def test_uniform_is_uniform():
    values = uniform(key(0, "test"), np.arange(200_000))
    assert values.min() >= 0.0 and values.max() < 1.0
    counts = np.bincount((values * 100).astype(int), minlength=100)
    chi_square = float(((counts - 2000) ** 2 / 2000).sum())
    assert 50 < chi_square < 160  # 99 degrees of freedom
    neighbours = np.corrcoef(values[:-1], values[1:])[0, 1]
    assert abs(neighbours) < 0.01


def test_below_covers_its_range_evenly():
    stream = key(0, "test")
    counts = np.bincount([below_one(np.uint64(draw_one(stream, i)), 7) for i in range(7000)])
    assert counts.size == 7 and counts.min() > 850


@pytest.mark.parametrize("size", [1, 2, 3, 10, 1000, 4097])
def test_permutation_is_one(size):
    order = permutation(key(0, "order", size), size)
    assert sorted(order.tolist()) == list(range(size))
    some = np.array([0, size - 1, size // 2])
    assert permute(key(0, "order", size), size, some).tolist() == order[some].tolist()


def test_permutations_are_as_likely_as_each_other():
    seen: dict[tuple[int, ...], int] = {}
    for number in range(6000):
        order = tuple(permutation(key(3, "order", number), 3).tolist())
        seen[order] = seen.get(order, 0) + 1
    assert len(seen) == 6
    assert min(seen.values()) > 900 and max(seen.values()) < 1100


def test_permutation_leaves_no_order():
    order = permutation(key(0, "order", 5), 10_000)
    assert abs(np.corrcoef(order, np.arange(10_000))[0, 1]) < 0.03
    assert np.mean(np.abs(np.diff(order)) == 1) < 0.002


def test_streams_of_neighbouring_keys_are_unrelated():
    first = uniform(randomness.key(0, "mask", 0), np.arange(10_000))
    second = uniform(randomness.key(0, "mask", 1), np.arange(10_000))
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.03
