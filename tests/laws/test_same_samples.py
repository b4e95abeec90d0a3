"""Law 1 and 3: a batch is a function of its global step, whatever machine asks for it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bertsmith.batch import Batch
from bertsmith.data.batches import BatchSource
from bertsmith.data.config import CutConfig, MaskingConfig
from bertsmith.data.cuts import CUTS
from bertsmith.data.loader import stream
from bertsmith.errors import BertsmithError, UsageError
from tests.helpers import SPECIAL, memory_corpus, random_documents

CORPUS = memory_corpus(random_documents(60), random_documents(40, seed=1))
PAIRS = CutConfig(length=64, copies=2)
PACKED = CutConfig(name="full_sentences", length=64)
ALL = [CutConfig(name=name, length=64, copies=2) for name in CUTS]
WORDS = MaskingConfig(unit="word", budget="stochastic", copies=0)

Sequence = tuple[list[int], list[int], list[tuple[int, int]], int]


def source(cut: CutConfig = PAIRS, masking: MaskingConfig | None = None, **changes) -> BatchSource:
    objectives = ("masked_lm", "pair") if cut.makes_pairs else ("masked_lm",)
    settings: dict[str, Any] = {"batch_size": 12, "seed": 3, "special": SPECIAL, "objectives": objectives} | changes
    return BatchSource(CORPUS, cut, masking or MaskingConfig(), **settings)


def sequences(batches: list[Batch]) -> list[Sequence]:
    """The sequences of some micro-batches: ids, types, (position, label) of what is masked, pair label."""
    found = []
    for batch in batches:
        rows, labels = batch.targets["masked_lm"]
        starts = torch.cumsum(batch.lengths, 0) - batch.lengths
        for number, (start, length) in enumerate(zip(starts.tolist(), batch.lengths.tolist(), strict=True)):
            mine = (rows >= start) & (rows < start + length)
            targets = list(zip((rows[mine] - start).tolist(), labels[mine].tolist(), strict=True))
            pair = int(batch.targets["pair"].labels[number]) if "pair" in batch.targets else -1
            ids, types = batch.token_ids[start : start + length], batch.type_ids[start : start + length]
            found.append((ids.tolist(), types.tolist(), targets, pair))
    return found


def steps(of: BatchSource, numbers: range) -> list[list[Sequence]]:
    return [sequences(of.step(number)) for number in numbers]


def cut_name(cut: object) -> str | None:
    return cut.name if isinstance(cut, CutConfig) else None


@pytest.mark.parametrize(("cut", "masking"), [*((cut, MaskingConfig()) for cut in ALL), (PACKED, WORDS)], ids=cut_name)
@pytest.mark.parametrize("world", [2, 4, 5])
@pytest.mark.parametrize("micro_batch", [0, 1, 3, 5])
def test_ranks_and_micro_batches_share_the_same_samples(cut, masking, world: int, micro_batch: int):
    wanted = steps(source(cut, masking), range(3))
    ranks = [source(cut, masking, rank=rank, world=world, micro_batch=micro_batch) for rank in range(world)]
    for step in range(3):
        shares = [rank.step(step) for rank in ranks]
        assert len({len(share) for share in shares}) == 1  # every rank takes part in every micro-step
        assert sum((sequences(share) for share in shares), []) == wanted[step]
        if micro_batch and not cut.equal_tokens:
            assert max(batch.lengths.numel() for share in shares for batch in share) <= micro_batch


@pytest.mark.parametrize("cut", ALL, ids=cut_name)
@pytest.mark.parametrize("workers", [0, 1, 2])
def test_workers_change_nothing(cut: CutConfig, workers: int, tmp_path: Path):
    whole = source(cut)
    begin, end = 2, 2 * whole.steps_per_epoch(0) + 3  # into the third epoch
    streamed = stream(source(cut, plans=tmp_path), begin, end, workers)
    assert [sequences(batches) for batches in streamed] == steps(whole, range(begin, end))


@pytest.mark.parametrize("cut", ALL, ids=cut_name)
def test_steps_may_be_asked_in_any_order(cut: CutConfig):
    wanted = steps(source(cut), range(12))
    late = source(cut)
    assert [sequences(late.step(step)) for step in reversed(range(12))] == wanted[::-1]


@pytest.mark.parametrize("cut", ALL, ids=cut_name)
def test_a_resumed_stream_goes_on_where_it_stopped(cut: CutConfig, tmp_path: Path):
    """Several resumes inside one epoch and over its end, with plans kept on disk."""
    whole = [sequences(batches) for batches in stream(source(cut), 0, 20, 0)]
    resumed = []
    for start in (0, 7, 14):
        resumed += [sequences(batches) for batches in stream(source(cut, plans=tmp_path), start, start + 7, 0)]
    assert resumed[:20] == whole


def test_an_epoch_holds_every_row_once_and_drops_its_remainder():
    of = source()
    rows, per_epoch = of.rows_per_epoch(0), of.steps_per_epoch(0)
    assert per_epoch == rows // 12
    seen = np.concatenate([of.indices(step)[1] for step in range(per_epoch)])
    assert len(set(seen.tolist())) == seen.size == per_epoch * 12 and seen.max() < rows
    assert of.place(per_epoch - 1) == (0, per_epoch - 1) and of.place(per_epoch) == (1, 0)


def test_the_order_is_new_each_epoch_and_the_masks_repeat():
    of = source(PACKED, MaskingConfig(copies=2))
    per_epoch = of.steps_per_epoch(0)
    orders = [np.concatenate([of.indices(e * per_epoch + s)[1] for s in range(per_epoch)]) for e in range(3)]
    assert orders[0].tolist() != orders[1].tolist() != orders[2].tolist()
    row = np.array([5])
    masks = [of.make(epoch, row).targets["masked_lm"][0].tolist() for epoch in range(3)]
    assert masks[0] == masks[2] != masks[1]


def test_a_sequence_does_not_depend_on_its_batch():
    of = source()
    together = sequences([of.make(0, np.array([4, 9, 2])).to_batch()])
    alone = [sequences([of.make(0, np.array([row])).to_batch()])[0] for row in (4, 9, 2)]
    assert together == alone


def test_static_and_dynamic_masks_differ_in_the_copies_alone():
    static, dynamic = source(PACKED, MaskingConfig(copies=1)), source(PACKED, MaskingConfig(copies=0))
    assert sequences(static.step(0)) == sequences(dynamic.step(0))
    later = static.steps_per_epoch(0)
    assert (static.indices(later)[1] == dynamic.indices(later)[1]).all()
    assert sequences(static.step(later)) != sequences(dynamic.step(later))


def test_seed_and_purpose_change_the_samples():
    first = sequences(source().step(0))
    assert first != sequences(source(seed=4).step(0))
    assert first != sequences(source(purpose="validation").step(0))


def test_objectives_decide_the_targets():
    plain = source(objectives=("pair",)).step(0)[0]
    assert set(plain.targets) == {"pair"} and SPECIAL.mask not in plain.token_ids
    assert set(source(PACKED).step(0)[0].targets) == {"masked_lm"}
    with pytest.raises(UsageError, match="objectives.use.*full_sentences"):
        source(PACKED, objectives=("masked_lm", "pair"))


def test_too_little_text_for_a_batch_is_one_line():
    with pytest.raises(BertsmithError, match=r"has \d+ sequences, fewer than one batch of 9999"):
        source(batch_size=9999).step(0)
    with pytest.raises(BertsmithError, match="fewer than one batch"):  # and from a worker, without its traceback
        list(stream(source(batch_size=9999), 0, 1, 1))
    with pytest.raises(UsageError, match="training.batch_size is 3, fewer than the 4 ranks"):
        source(batch_size=3, world=4)
