"""What a teacher said is found again, and nothing that was not written as a whole is taken for it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bertsmith.errors import BertsmithError
from bertsmith.objectives.likeliest import Records, record_type
from bertsmith.objectives.teacher_cache import TeacherCache

TYPE = record_type(3, 100)
LENGTHS = [4, 2, 5]
STARTS = [10, 40, 21]


def said(first: int) -> Records:
    """Records of a whole batch of LENGTHS that tell themselves apart from those of another `first`."""
    records = np.zeros(sum(LENGTHS), dtype=TYPE)
    records["ids"] = np.arange(first, first + 3 * len(records)).reshape(-1, 3) % 100
    records["shares"], records["rest"] = -1.5, np.arange(len(records))
    return records


def never() -> Records:
    raise AssertionError("the teacher was asked")


@pytest.fixture
def cache(tmp_path: Path) -> TeacherCache:
    return TeacherCache(tmp_path / "cache", TYPE)


def test_what_was_said_once_is_not_asked_again(cache: TeacherCache, tmp_path: Path) -> None:
    assert np.array_equal(cache.lookup(STARTS, LENGTHS, lambda: said(0)), said(0))
    assert np.array_equal(cache.lookup(STARTS, LENGTHS, never), said(0))
    again = TeacherCache(tmp_path / "cache", TYPE)
    found = again.lookup([21, 40], [5, 2], never)
    assert np.array_equal(found, np.concatenate([said(0)[6:], said(0)[4:6]]))


def test_what_is_there_counts_where_the_rest_is_asked_for(cache: TeacherCache) -> None:
    cache.lookup(STARTS[:1], LENGTHS[:1], lambda: said(0)[:4])
    mixed = cache.lookup(STARTS, LENGTHS, lambda: said(50))
    assert np.array_equal(mixed[:4], said(0)[:4]) and np.array_equal(mixed[4:], said(50)[4:])
    assert np.array_equal(cache.lookup(STARTS, LENGTHS, never), mixed)


@pytest.mark.parametrize("damage", ["flipped", "half", "hole", "cut off", "elsewhere"])
def test_what_was_torn_is_asked_again(cache: TeacherCache, tmp_path: Path, damage: str) -> None:
    cache.lookup(STARTS, LENGTHS, lambda: said(0))
    path, size = tmp_path / "cache", TYPE.itemsize
    data = bytearray(path.read_bytes())
    if damage == "flipped":
        data[22 * size + 1] ^= 1
    elif damage == "half":
        data[23 * size : 26 * size] = bytes(3 * size)
    elif damage == "hole":
        data[21 * size : 26 * size] = bytes(5 * size)
    elif damage == "elsewhere":
        data[21 * size : 26 * size] = data[20 * size : 25 * size]
    path.write_bytes(data)
    if damage == "cut off":
        os.truncate(path, 25 * size)
    found = cache.lookup(STARTS, LENGTHS, lambda: said(7))
    assert np.array_equal(found[6:], said(7)[6:])
    assert np.array_equal(found[:4], said(0)[:4])
    assert np.array_equal(cache.lookup(STARTS, LENGTHS, never), found)


def test_a_full_disk_is_one_line(cache: TeacherCache, monkeypatch: pytest.MonkeyPatch) -> None:
    real: Any = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda file, data, place: real(file, data[:-1], place))
    with pytest.raises(BertsmithError, match="No space left on device; free some space and type the same line again"):
        cache.lookup(STARTS, LENGTHS, lambda: said(0))


def test_a_file_that_cannot_be_opened_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(BertsmithError, match="no such folder/cache: No such file or directory"):
        TeacherCache(tmp_path / "no such folder" / "cache", TYPE)


def test_a_finished_run_leaves_nothing(cache: TeacherCache, tmp_path: Path) -> None:
    cache.lookup(STARTS, LENGTHS, lambda: said(0))
    cache.flush()
    cache.remove()
    assert not list(tmp_path.iterdir())
