"""Several corpora as one: each step takes its sequences from all of them, in the proportion of their weights.

A domain can so be learnt without forgetting what a model knew (`--corpus new:0.8 --corpus old:0.2`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from bertsmith import store
from bertsmith.batch import Batch
from bertsmith.data.batches import MASKED_LM, BatchSource, MicroBatch
from bertsmith.data.config import CutConfig, MaskingConfig
from bertsmith.data.corpus import Corpus
from bertsmith.errors import UsageError

if TYPE_CHECKING:
    from bertsmith.tokenizers.tokenizer import Tokenizer


class CorpusShare(NamedTuple):
    """A corpus folder and its weight; only the ratio of weights counts."""

    folder: Path
    weight: float = 1.0


def parse_shares(texts: Sequence[str | Path]) -> list[CorpusShare]:
    """Shares as typed: FOLDER or FOLDER:WEIGHT. UsageError for a weight that is no number above 0."""
    shares = []
    for text in map(str, texts):
        folder, colon, weight = text.rpartition(":")
        if not colon or Path(text).is_dir():  # a folder may have a colon in its name
            shares.append(CorpusShare(Path(text)))
            continue
        try:
            number = float(weight)
        except ValueError:
            number = math.nan
        if not 0 < number < math.inf:
            raise UsageError(f"--corpus {text}: wants FOLDER or FOLDER:WEIGHT with a number above 0, not {weight!r}")
        shares.append(CorpusShare(Path(folder), number))
    return shares


@dataclass(frozen=True)
class MixedCorpus:
    """Corpora of one tokenizer with their shares (above 0, their sum is 1), and what training asks of all of them."""

    names: tuple[str, ...]
    shares: tuple[float, ...]
    corpora: tuple[Corpus, ...]

    @property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer that they share."""
        return self.corpora[0].tokenizer

    @property
    def vocab_size(self) -> int:
        """Size of its vocabulary."""
        return self.corpora[0].vocab_size

    @property
    def fingerprint(self) -> str:
        """One hash for all of them, in their order; of a single one its own."""
        if len(self.corpora) == 1:
            return self.corpora[0].fingerprint
        return store.fingerprint([corpus.fingerprint for corpus in self.corpora])

    def token_counts(self) -> npt.NDArray[np.float64]:
        """How often each token is met: (vocab_size,), each corpus in its share, in sum as many as they have tokens."""
        counts = [corpus.token_counts() for corpus in self.corpora]
        if len(counts) == 1:
            return counts[0].astype(np.float64)
        tokens = sum(int(count.sum()) for count in counts)
        return sum(
            (
                share * tokens * count / max(int(count.sum()), 1)
                for share, count in zip(self.shares, counts, strict=True)
            ),
            np.zeros(self.vocab_size),
        )


def open_mixed(shares: Sequence[CorpusShare], split: str = "train", verify: bool = False) -> MixedCorpus:
    """Open one split of corpus folders; they are called by the names of their folders.

    UsageError when one is named twice, or when they were not prepared with one tokenizer.
    """
    folders = [share.folder for share in shares]
    for folder in folders:
        if sum(folder.resolve() == other.resolve() for other in folders) > 1:
            raise UsageError(f"--corpus {folder}: is given twice; give it once, with the sum of the weights")
    corpora = tuple(
        Corpus.open(folder, "validation" if split == "validation" else "train", verify) for folder in folders
    )
    for folder, corpus in zip(folders, corpora, strict=True):
        if corpus.details["tokenizer_fingerprint"] != corpora[0].details["tokenizer_fingerprint"]:
            raise UsageError(
                f"{folder}: its tokenizer_fingerprint is not that of {folders[0]}; prepare one of them again with "
                f"--tokenizer {folders[0] / 'tokenizer'}"
            )
    names = [folder.resolve().name for folder in folders]
    if len(set(names)) < len(names):
        names = [str(folder) for folder in folders]
    total = sum(share.weight for share in shares)
    return MixedCorpus(tuple(names), tuple(share.weight / total for share in shares), corpora)


def sequences_of(shares: Sequence[float], batch_size: int) -> list[int]:
    """How many of a step's sequences each corpus gives: its share, rounded by largest remainders, and at least one.

    UsageError when there are fewer sequences than corpora.
    """
    if batch_size < len(shares):
        raise UsageError(f"training.batch_size is {batch_size}, fewer than the {len(shares)} corpora that share it")
    sizes = [math.floor(share * batch_size) for share in shares]
    remainders = [share * batch_size - size for share, size in zip(shares, sizes, strict=True)]
    for place in sorted(range(len(shares)), key=lambda index: -remainders[index])[: batch_size - sum(sizes)]:
        sizes[place] += 1
    while 0 in sizes:
        sizes[sizes.index(max(sizes))] -= 1
        sizes[sizes.index(0)] += 1
    return sizes


def open_batches(
    corpus: Corpus | MixedCorpus,
    cut: CutConfig,
    masking: MaskingConfig,
    batch_size: int,
    seed: int,
    *,
    rank: int,
    world: int,
    micro_batch: int,
    plans: Path | None,
    objectives: tuple[str, ...],
) -> Batches:
    """The training batches of one corpus, or of several in their shares."""

    def source(one: Corpus, size: int, rank: int, world: int, micro_batch: int) -> BatchSource:
        return BatchSource(
            one,
            cut,
            masking,
            size,
            seed,
            rank=rank,
            world=world,
            micro_batch=micro_batch,
            plans=plans,
            objectives=objectives,
        )

    if isinstance(corpus, Corpus):
        return source(corpus, batch_size, rank, world, micro_batch)
    if len(corpus.corpora) == 1:
        return source(corpus.corpora[0], batch_size, rank, world, micro_batch)
    if batch_size < world:
        raise UsageError(f"training.batch_size is {batch_size}, fewer than the {world} ranks that share it")
    sizes = sequences_of(corpus.shares, batch_size)
    members = [source(one, size, 0, 1, 0) for one, size in zip(corpus.corpora, sizes, strict=True)]
    return Mixture(members, rank, world, micro_batch)


class Mixture:
    """Batches of several corpora: a step is the same step of every corpus, the first corpus' sequences first.

    Each corpus has a source of its own, whose batch is its share, so its epochs, cuts, order and masks advance without
    regard to the others, and a step is a function of (seed, step) as theirs are. Ranks and micro-batches divide the
    whole step, as they do that of a single corpus.
    """

    def __init__(self, members: Sequence[BatchSource], rank: int, world: int, micro_batch: int) -> None:
        """members: one for each corpus, of a single rank and without micro-batches."""
        self.members, self.rank, self.world, self.micro_batch = members, rank, world, micro_batch
        self.batch_size = sum(member.batch_size for member in members)

    def steps_per_epoch(self, epoch: int) -> int:
        """Steps that read as many sequences as all corpora have: of some more than they have, of others less."""
        return sum(member.steps_per_epoch(epoch) * member.batch_size for member in self.members) // self.batch_size

    def place(self, step: int) -> tuple[int, int]:
        """Epoch and step within it of the corpus that is first; each corpus counts its own."""
        return [member.place(step) for member in self.members][0]

    def whole(self, step: int) -> MicroBatch:
        """The sequences of a global step, of all ranks, in one piece."""
        return join([member.whole(step) for member in self.members])

    def pair_labels(self, step: int) -> npt.NDArray[np.int32]:
        """The labels of a global step's pairs, of all ranks, without building a sequence."""
        return np.concatenate([member.pair_labels(step) for member in self.members])

    def step(self, step: int) -> list[Batch]:
        """This rank's micro-batches of a global step (from 0)."""
        return [micro.to_batch() for micro in self.arrays(step)]

    def arrays(self, step: int) -> list[MicroBatch]:
        """The same as numpy arrays."""
        parts = [(member, *member.indices(step)) for member in self.members]
        size = sum(indices.size for _, _, indices in parts)
        first, last = self.rank * size // self.world, (self.rank + 1) * size // self.world
        largest = -(-self.batch_size // self.world)
        pieces = -(-largest // self.micro_batch) if self.micro_batch else 1
        borders = [first + piece * (last - first) // pieces for piece in range(pieces + 1)]
        return [_slice(parts, start, stop) for start, stop in zip(borders, borders[1:], strict=False)]


def _slice(parts: Sequence[tuple[BatchSource, int, npt.NDArray[np.int64]]], start: int, stop: int) -> MicroBatch:
    """Sequences start .. stop - 1 of a step, counted through all corpora."""
    made, passed = [], 0
    for member, epoch, indices in parts:
        chosen = indices[max(start - passed, 0) : max(stop - passed, 0)]
        if chosen.size:
            made.append(member.make(epoch, chosen))
        passed += indices.size
    if not made:  # more ranks than sequences leave some without any
        member, epoch, indices = parts[0]
        made = [member.make(epoch, indices[:0])]
    return join(made)


def join(batches: Sequence[MicroBatch]) -> MicroBatch:
    """Batches one after another: rows of masked tokens count tokens, rows of pairs count sequences."""
    targets = {}
    for name in batches[0].targets:
        sizes = [batch.token_ids.size if name == MASKED_LM else batch.lengths.size for batch in batches]
        starts = np.cumsum([0, *sizes[:-1]])
        rows = [batch.targets[name][0] + start for batch, start in zip(batches, starts, strict=True)]
        targets[name] = (np.concatenate(rows), np.concatenate([batch.targets[name][1] for batch in batches]))
    return MicroBatch(
        np.concatenate([batch.token_ids for batch in batches]),
        np.concatenate([batch.type_ids for batch in batches]),
        np.concatenate([batch.lengths for batch in batches]),
        targets,
    )


Batches = BatchSource | Mixture
"""The training batches of a run, whatever they come from."""
