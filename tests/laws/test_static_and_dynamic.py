"""Static and dynamic masking differ in masking.copies alone: the same sequences in the same order, other masks."""

from __future__ import annotations

import numpy as np
import pytest

from bertsmith.data.batches import BatchSource, MicroBatch
from bertsmith.data.config import CutConfig, MaskingConfig
from bertsmith.data.cuts import CUTS
from tests.helpers import SPECIAL, memory_corpus, random_documents

CORPUS = memory_corpus(random_documents(12), random_documents(8, seed=1))


def source(cut: str, copies: int, unit: str) -> BatchSource:
    config = CutConfig(cut, length=64, copies=2)  # type: ignore[arg-type]
    masking = MaskingConfig(copies=copies, unit=unit, budget="stochastic")  # type: ignore[arg-type]
    objectives = ("masked_lm", "pair") if config.makes_pairs else ("masked_lm",)
    return BatchSource(CORPUS, config, masking, 12, seed=3, special=SPECIAL, objectives=objectives)


def original(batch: MicroBatch) -> tuple[list[int], ...]:
    """All but the masks: ids with the labels put back, types, lengths, pairs."""
    ids = batch.token_ids.copy()
    rows, labels = batch.targets["masked_lm"]
    ids[rows] = labels
    pairs = batch.targets["pair"][1].tolist() if "pair" in batch.targets else []
    return ids.tolist(), batch.type_ids.tolist(), batch.lengths.tolist(), pairs


def masks(of: BatchSource, epoch: int) -> list[list[int]]:
    """Which tokens of the whole epoch are chosen, in the order of the plan."""
    return of.make(epoch, np.arange(of.rows_per_epoch(epoch))).targets["masked_lm"][0].tolist()


@pytest.mark.parametrize("unit", ["token", "word", "ngram"])
@pytest.mark.parametrize("cut", CUTS)
def test_copies_change_the_masks_alone(cut: str, unit: str) -> None:
    static, dynamic = source(cut, 1, unit), source(cut, 0, unit)
    last = sum(static.steps_per_epoch(epoch) for epoch in range(3))
    assert last >= 3
    differing = 0
    for number in range(last):
        assert static.place(number) == dynamic.place(number)
        fixed, new = static.whole(number), dynamic.whole(number)
        assert original(fixed) == original(new)
        differing += fixed.targets["masked_lm"][0].tolist() != new.targets["masked_lm"][0].tolist()
    assert differing >= last - static.steps_per_epoch(0) > 0, "the first epoch is the only one alike"


@pytest.mark.parametrize("cut", CUTS)
def test_copies_are_met_again_and_dynamic_masks_never(cut: str) -> None:
    """The cut returns after two epochs, so epochs 0, 2 and 4 have the same sequences."""
    few, dynamic = source(cut, 4, "token"), source(cut, 0, "token")
    assert masks(few, 0) == masks(few, 4) != masks(few, 2)
    assert len({str(masks(dynamic, epoch)) for epoch in (0, 2, 4)}) == 3
    assert all(masks(few, epoch) == masks(dynamic, epoch) for epoch in range(4)), "below the copies static is dynamic"
