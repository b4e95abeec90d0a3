"""Batches of labelled examples as a function of the step."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bertsmith.data.labelled import Kind, LabelledExample, LabelledSource
from bertsmith.data.sequences import TokenSequence, type_ids_of
from bertsmith.errors import BertsmithError, UsageError

NO_ROWS = np.zeros(0, dtype=np.int64)


def example(number: int, kind: Kind = "sequence") -> LabelledExample:
    """Tokens, all of them its number; the label is the number too."""

    def sequence(length: int) -> TokenSequence:
        return TokenSequence(np.full(length, number, dtype=np.uint16), (length + 1) // 2)

    if kind == "choice":
        return LabelledExample((sequence(3), sequence(4)), NO_ROWS, np.array([number % 2]))
    if kind == "tokens":
        return LabelledExample((sequence(4),), np.array([1, 2]), np.array([number, number + 1]))
    if kind == "span":
        return LabelledExample((sequence(4),), NO_ROWS, np.array([[1, 2]]))
    return LabelledExample((sequence(3 + number % 4),), NO_ROWS, np.array([number]))


def source(count: int = 10, kind: Kind = "sequence", **values: Any) -> LabelledSource:
    return LabelledSource([example(i, kind) for i in range(count)], kind, **{"batch_size": 4, "seed": 0, **values})


def test_an_epoch_holds_every_example_once_in_an_order_of_its_own() -> None:
    batches = source()
    assert batches.steps_per_epoch(0) == 3
    epochs = [[batches.indices(3 * epoch + step).tolist() for step in range(3)] for epoch in range(2)]
    for epoch in epochs:
        assert [len(step) for step in epoch] == [4, 4, 2]
        assert sorted(sum(epoch, [])) == list(range(10))
    assert epochs[0] != epochs[1]
    assert source(seed=1).indices(0).tolist() != epochs[0][0]
    assert batches.place(5) == (1, 2)


def test_examples_of_a_batch_are_of_similar_length_and_long_ones_are_not_all_together() -> None:
    made = [LabelledExample((TokenSequence(np.zeros(3 + n % 40), 3),), NO_ROWS, np.array([n])) for n in range(900)]
    batches = LabelledSource(made, "sequence", 8, 0)
    filled, means = [], []
    for step in range(batches.steps_per_epoch(0)):
        lengths = batches.whole(step).lengths
        filled.append(lengths.sum() / (lengths.max() * len(lengths)))
        means.append(lengths.mean())
    assert np.mean(filled) > 0.75
    thirds = [np.mean(means[start : start + 37]) for start in (0, 37, 74)]
    assert max(thirds) - min(thirds) < 8


@pytest.mark.parametrize("world", [1, 2, 4])
@pytest.mark.parametrize("limits", [{}, {"micro_batch": 1}, {"tokens_at_once": 8}])
def test_the_global_batch_is_the_same_for_all(world: int, limits: dict[str, Any]) -> None:
    for step in range(6):
        found: list[int] = []
        for rank in range(world):
            for micro in source(rank=rank, world=world, **limits).arrays(step):
                found += micro.targets["labelled"][1].tolist() if micro.targets else []
        assert found == source().indices(step).tolist()


def test_a_rank_without_a_share_has_an_empty_batch() -> None:
    (batch,) = source(9, rank=0, world=2).step(2)
    assert not batch.lengths.numel() and not batch.targets


def test_micro_batches_stay_below_their_tokens() -> None:
    for step in range(3):
        micros = source(batch_size=8, tokens_at_once=12).arrays(step)
        assert all(micro.lengths.sum() <= 12 for micro in micros)
        assert any(len(micro.lengths) > 1 for micro in micros)
    assert [len(micro.lengths) for micro in source(tokens_at_once=1).arrays(0)] == [1] * 4


def test_rows_of_tokens_are_those_of_the_flat_batch() -> None:
    (batch,) = source(3, "tokens").step(0)
    rows, labels = batch.targets["labelled"]
    assert rows.tolist() == [1, 2, 5, 6, 9, 10]
    assert labels.tolist()[::2] == batch.token_ids[rows].tolist()[::2]


def test_spans_and_choices() -> None:
    (batch,) = source(3, "span").step(0)
    assert batch.targets["labelled"].labels.tolist() == [[1, 2]] * 3
    (batch,) = source(3, "choice").step(0)
    assert batch.groups.tolist() == [0, 0, 1, 1, 2, 2]
    assert batch.lengths.tolist() == [3, 4] * 3
    assert batch.targets["labelled"].rows.tolist() == [0, 1, 2]


def test_types_begin_anew_in_every_sequence() -> None:
    sequences = [TokenSequence(np.zeros(4), 4), TokenSequence(np.zeros(3), 1), TokenSequence(np.zeros(2), 2)]
    assert type_ids_of(sequences).tolist() == [0, 0, 0, 0, 0, 1, 1, 0, 0]


def test_no_example_and_too_many_ranks() -> None:
    with pytest.raises(BertsmithError, match="no labelled example"):
        source(0)
    with pytest.raises(UsageError, match="fewer than the 8 ranks"):
        source(world=8)
