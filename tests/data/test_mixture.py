"""Several corpora as one: shares, and the laws that hold for one corpus."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest

from bertsmith.data import mixture
from bertsmith.data.batches import BatchSource
from bertsmith.data.config import CutConfig, MaskingConfig
from bertsmith.data.corpus import Corpus
from bertsmith.data.loader import stream
from bertsmith.data.mixture import (
    CorpusShare,
    MixedCorpus,
    Mixture,
    open_batches,
    open_mixed,
    parse_shares,
    sequences_of,
)
from bertsmith.errors import UsageError
from tests.helpers import SPECIAL, VOCABULARY, memory_corpus, random_documents
from tests.tiny_runs import make_corpus

CUTS = ("next_sentence", "full_sentences", "doc_sentences")


def two_corpora() -> MixedCorpus:
    """Ids of the first are even, those of the second odd, so that a token tells where it comes from."""
    corpora = []
    for number, documents in enumerate((40, 15)):
        made = [
            [[token // 2 * 2 + number for token in sentence] for sentence in document]
            for document in random_documents(documents, seed=number)
        ]
        corpora.append(memory_corpus([[[max(t, 6 + number) for t in s] for s in d] for d in made]))
    return MixedCorpus(("new", "old"), (0.75, 0.25), tuple(corpora))


def batches(corpus: MixedCorpus | Corpus, cut: str, monkeypatch: pytest.MonkeyPatch, **changes: int) -> Mixture:
    monkeypatch.setattr(mixture, "BatchSource", partial(BatchSource, special=SPECIAL))  # there is no tokenizer to ask
    sizes = {"batch_size": 8, "seed": 0, "rank": 0, "world": 1, "micro_batch": 0, **changes}
    objectives = ("masked_lm", "pair") if cut == "next_sentence" else ("masked_lm",)
    config = CutConfig(cut, length=64, copies=0)  # type: ignore[arg-type]
    made = open_batches(corpus, config, MaskingConfig(copies=0), plans=None, objectives=objectives, **sizes)
    assert isinstance(made, Mixture)
    return made


@pytest.mark.parametrize(
    ("shares", "batch_size", "expected"),
    [
        ((0.8, 0.2), 10, [8, 2]),
        ((0.5, 0.5), 7, [4, 3]),
        ((0.999, 0.001), 16, [15, 1]),
        ((0.62, 0.28, 0.1), 16, [10, 4, 2]),
        ((1 / 3, 1 / 3, 1 / 3), 3, [1, 1, 1]),
    ],
)
def test_shares_become_whole_sequences(shares: tuple[float, ...], batch_size: int, expected: list[int]) -> None:
    assert sequences_of(shares, batch_size) == expected


def test_a_batch_smaller_than_the_corpora_is_refused() -> None:
    with pytest.raises(UsageError, match="fewer than the 3 corpora"):
        sequences_of((0.4, 0.4, 0.2), 2)


@pytest.mark.parametrize("cut", CUTS)
def test_every_step_is_the_same_step_of_each_corpus(cut: str, monkeypatch: pytest.MonkeyPatch) -> None:
    mixed = batches(two_corpora(), cut, monkeypatch)
    assert [member.batch_size for member in mixed.members] == [6, 2]
    for number in (0, 5, 30):
        whole = mixed.whole(number)
        parts = [member.whole(number) for member in mixed.members]
        assert np.array_equal(whole.token_ids, np.concatenate([part.token_ids for part in parts]))
        assert whole.lengths.size == sum(part.lengths.size for part in parts)
        rows, labels = whole.targets["masked_lm"]
        border = parts[0].token_ids.size
        assert set(labels[rows < border] % 2) <= {0}
        assert set(labels[rows >= border] % 2) <= {1}
        assert labels.size > 0
    assert mixed.members[0].place(30) != mixed.members[1].place(30), "epochs advance separately"


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize(("world", "micro_batch"), [(1, 3), (2, 0), (3, 2), (8, 0)])
def test_ranks_and_micro_batches_divide_the_same_step(
    cut: str, world: int, micro_batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = batches(two_corpora(), cut, monkeypatch)
    ranks = [
        batches(two_corpora(), cut, monkeypatch, rank=r, world=world, micro_batch=micro_batch) for r in range(world)
    ]
    for number in (0, 3):
        shares = [rank.arrays(number) for rank in ranks]
        assert len({len(share) for share in shares}) == 1
        pieces = [piece for share in shares for piece in share]
        expected = whole.whole(number)
        assert np.array_equal(np.concatenate([piece.token_ids for piece in pieces]), expected.token_ids)
        labels = np.concatenate([piece.targets["masked_lm"][1] for piece in pieces])
        assert np.array_equal(labels, expected.targets["masked_lm"][1])
        for piece in pieces:
            rows, _ = piece.targets["masked_lm"]
            assert rows.size == 0 or rows.max() < piece.token_ids.size


def test_loader_workers_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    steps = [list(stream(batches(two_corpora(), "next_sentence", monkeypatch), 2, 5, workers)) for workers in (0, 1)]
    for alone, by_worker in zip(*steps, strict=True):
        assert [b.token_ids.tolist() for b in alone] == [b.token_ids.tolist() for b in by_worker]


def test_counts_are_mixed_by_share() -> None:
    mixed = two_corpora()
    counts, tokens = mixed.token_counts(), sum(corpus.tokens for corpus in mixed.corpora)
    assert counts.shape == (VOCABULARY,)
    assert counts.sum() == pytest.approx(tokens)
    assert counts[0::2].sum() / tokens == pytest.approx(0.75)


def test_shares_as_typed(tmp_path: Path) -> None:
    (tmp_path / "a:b").mkdir()
    texts = ["new:0.8", "old:2", "plain", str(tmp_path / "a:b"), f"{tmp_path}/a:b:3"]
    assert parse_shares(texts) == [
        CorpusShare(Path("new"), 0.8),
        CorpusShare(Path("old"), 2.0),
        CorpusShare(Path("plain")),
        CorpusShare(tmp_path / "a:b"),
        CorpusShare(tmp_path / "a:b", 3.0),
    ]
    for bad in ("new:0", "new:-1", "new:x", "new:nan", "new:inf", "new:"):
        with pytest.raises(UsageError, match=f"--corpus {bad}: wants FOLDER or FOLDER:WEIGHT"):
            parse_shares([bad])


def test_corpora_of_two_tokenizers_are_refused(tmp_path: Path) -> None:
    first, second = make_corpus(tmp_path / "a" / "c", 10), make_corpus(tmp_path / "b" / "c", 10, seed=3)
    with pytest.raises(UsageError, match=r"its tokenizer_fingerprint is not that of .*--tokenizer .*tokenizer"):
        open_mixed([CorpusShare(first), CorpusShare(second)])
    with pytest.raises(UsageError, match="is given twice"):
        open_mixed([CorpusShare(first, 2.0), CorpusShare(first)])
    alone = open_mixed([CorpusShare(first, 3.0)])
    assert (alone.names, alone.shares) == (("c",), (1.0,))
    assert alone.fingerprint == Corpus.open(first).fingerprint
