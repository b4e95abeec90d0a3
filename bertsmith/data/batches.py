"""Batches as a function of the global step: the same samples for any number of ranks, workers and micro-batches."""

from __future__ import annotations

import math
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from bertsmith import console
from bertsmith.batch import Batch, Target, flat_batch
from bertsmith.data.config import CutConfig, MaskingConfig
from bertsmith.data.corpus import Corpus, Split
from bertsmith.data.cuts import cut_for
from bertsmith.data.cuts.examples import LABEL
from bertsmith.data.masking import mask, token_weights
from bertsmith.data.plans import Plans
from bertsmith.data.positions import Positions
from bertsmith.errors import BertsmithError, UsageError
from bertsmith.randomness import key, permutation, permute

if TYPE_CHECKING:
    from bertsmith.tokenizers.tokenizer import SpecialIds

MASKED_LM, PAIR, DISTILLATION = "masked_lm", "pair", "distillation"


class MicroBatch(NamedTuple):
    """A batch as numpy arrays: what loader workers send, so that nothing goes through shared memory.

    groups: as in Batch; None = each sequence its own.
    """

    token_ids: npt.NDArray[np.int64]
    type_ids: npt.NDArray[np.int64]
    lengths: npt.NDArray[np.int64]
    targets: dict[str, tuple[npt.NDArray[np.int64], npt.NDArray[Any]]]
    groups: npt.NDArray[np.int64] | None = None

    def to_batch(self) -> Batch:
        """The same as tensors."""
        targets = {
            name: Target(torch.from_numpy(rows), torch.from_numpy(labels))
            for name, (rows, labels) in self.targets.items()
        }
        ids, types, lengths = (torch.from_numpy(a) for a in (self.token_ids, self.type_ids, self.lengths))
        groups = None if self.groups is None else torch.from_numpy(self.groups)
        return flat_batch(ids, types, lengths, targets, groups)


class BatchSource:
    """All batches of a run. `step(i)` is what this rank trains on in global step i, whoever asks and in what order.

    An epoch is the plan's rows in an order of its own; what does not fill a global batch at its end is dropped. A
    global batch is `batch_size` sequences. Where the cut asks for equal tokens it is as many sequences as have the
    tokens of `batch_size` full ones: step i of an epoch ends with the row that brings the epoch's tokens to
    (i + 1) x batch_size x length, so that no step is a row away from its tokens, and no run of steps either.

    A global batch is divided among the ranks, a rank's share into micro-batches of `micro_batch` sequences or fewer, or
    their tokens' worth (0 = no division), the same number of them on every rank.
    """

    def __init__(
        self,
        corpus: Corpus,
        cut: CutConfig,
        masking: MaskingConfig,
        batch_size: int,
        seed: int,
        purpose: Split = "train",
        rank: int = 0,
        world: int = 1,
        micro_batch: int = 0,
        plans: Path | None = None,
        objectives: tuple[str, ...] = (MASKED_LM, PAIR),
        special: SpecialIds | None = None,
        separators: int = 1,
    ) -> None:
        """batch_size: sequences of a global step. plans: folder where plans are kept, None = in memory.

        special, separators: what the tokenizer says; both are asked of the corpus' own tokenizer when special is None.
        """
        masking.check()
        if batch_size < world:
            raise UsageError(f"training.batch_size is {batch_size}, fewer than the {world} ranks that share it")
        self.corpus, self.masking, self.objectives = corpus, masking, objectives
        self.batch_size, self.purpose = batch_size, purpose
        self._seed = int(key(seed, purpose))
        self.rank, self.world, self.micro_batch = rank, world, micro_batch
        if special is None:
            special, separators = corpus.tokenizer.special, corpus.tokenizer.separators
        self.special = special
        self.cut = cut_for(cut, special, self._seed, separators)
        self._step_tokens = batch_size * cut.length if cut.equal_tokens else 0
        if PAIR in objectives and not self.cut.has_pairs:
            raise UsageError(
                f"objectives.use: {PAIR!r} needs a cut that makes pairs, and cut.name = {cut.name!r} makes none"
            )
        if self.cut.has_pairs and purpose == "train" and rank == 0 and _lonely(corpus):
            _warn_once(
                "a part of the corpus holds a single document, so its random second segments come from that same "
                "document; prepare text with more documents (separated by a blank line)"
            )
        self._weights = token_weights(masking, corpus.token_counts()) if masking.rarity else None
        self._plans = Plans(corpus, self.cut, cut, self._seed, plans)
        self._positions: Positions | None = None
        self._first_steps = [0]  # the first global step of each epoch reached so far
        self._bordered = (-1, np.zeros(0, dtype=np.int64))  # the epoch whose borders were asked for last, and they

    @property
    def period(self) -> int:
        """Epochs after which the same sequences come again with the same masks; 0 = never."""
        same = self.cut.plan_number(0) == self.cut.plan_number(1)  # a cut with nothing random in it
        return math.lcm(1 if same else self.cut.config.copies, self.masking.copies)

    def number_positions(self, epochs: int, first: int) -> int:
        """From now on sequences carry the numbers of their first positions, as labels for distillation.

        first: the number of the very first one. Returns that after the last one of all sequences of `epochs` epochs,
        which come again after `period` of them.
        """
        self._positions = Positions(self._plans, self.period, first)
        return self._positions.end(min(epochs, self.period))

    def rows_per_epoch(self, epoch: int) -> int:
        """Sequences in an epoch's plan."""
        return self._plans.count(epoch).rows

    def steps_per_epoch(self, epoch: int) -> int:
        """Whole global batches in an epoch; BertsmithError when there is none."""
        has, wants, unit = self.rows_per_epoch(epoch), self.batch_size, "sequences"
        if self._step_tokens:
            has, wants, unit = self._plans.count(epoch).tokens, self._step_tokens, "tokens"
        if has < wants:
            raise BertsmithError(
                f"the {self.purpose} part of the corpus has {has} {unit}, fewer than one batch of {wants}; "
                "prepare more text or set training.batch_size lower"
            )
        return has // wants

    def place(self, step: int) -> tuple[int, int]:
        """Epoch and step within it of a global step (from 0)."""
        while step >= self._first_steps[-1]:
            self._first_steps.append(self._first_steps[-1] + self.steps_per_epoch(len(self._first_steps) - 1))
        epoch = int(np.searchsorted(self._first_steps, step, side="right")) - 1
        return epoch, step - self._first_steps[epoch]

    def indices(self, step: int) -> tuple[int, npt.NDArray[np.int64]]:
        """Epoch of a global step and the rows of the plan in it, over all ranks: (rows,) int64."""
        epoch, within = self.place(step)
        first, last = within * self.batch_size, (within + 1) * self.batch_size
        if self._step_tokens:
            first, last = self._borders(epoch)[within : within + 2]
        return epoch, permute(self._order(epoch), self.rows_per_epoch(epoch), np.arange(first, last))

    def _order(self, epoch: int) -> np.uint64:
        """The key of an epoch's order."""
        return key(self._seed, "order", epoch)

    def _borders(self, epoch: int) -> npt.NDArray[np.int64]:
        """Where in the epoch's order each of its steps of equal tokens begins, and the last one ends: (steps + 1,)."""
        if self._bordered[0] != epoch:
            order = permutation(self._order(epoch), self.rows_per_epoch(epoch))
            reached = np.cumsum(self._plans.lengths(epoch)[order])
            ends = np.searchsorted(reached, np.arange(1, self.steps_per_epoch(epoch) + 1) * self._step_tokens) + 1
            self._bordered = (epoch, np.concatenate(([0], ends)))
        return self._bordered[1]

    def step(self, step: int) -> list[Batch]:
        """This rank's micro-batches of a global step (from 0)."""
        return [micro.to_batch() for micro in self.arrays(step)]

    def arrays(self, step: int) -> list[MicroBatch]:
        """The same as numpy arrays."""
        epoch, indices = self.indices(step)
        share = share_of(indices, self.rank, self.world)
        largest = -(-self.batch_size // self.world)
        pieces = -(-largest // self.micro_batch) if self.micro_batch else 1
        return [self.make(epoch, share_of(share, piece, pieces)) for piece in range(pieces)]

    def whole(self, step: int) -> MicroBatch:
        """The sequences of a global step, of all ranks, in one piece."""
        return self.make(*self.indices(step))

    def pair_labels(self, step: int) -> npt.NDArray[np.int32]:
        """The labels of a global step's pairs, of all ranks: those of `whole`, without building a sequence."""
        epoch, indices = self.indices(step)
        return self._plans.rows(epoch)[indices, LABEL]

    def make(self, epoch: int, indices: npt.NDArray[np.int64]) -> MicroBatch:
        """The sequences of chosen rows of an epoch's plan, masked as that epoch masks them."""
        rows = self._plans.rows(epoch)[indices]
        examples = self.cut.build(self.corpus, rows)
        targets = {}
        token_ids = examples.token_ids
        if MASKED_LM in self.objectives:
            place = self.corpus.vocab_size, self._seed, epoch, indices
            masked = mask(examples, self.masking, self.special, *place, self._weights)
            token_ids = masked.token_ids
            targets[MASKED_LM] = (masked.rows, masked.labels)
        if PAIR in self.objectives:
            targets[PAIR] = (np.arange(examples.labels.size), examples.labels)
        if self._positions is not None:
            targets[DISTILLATION] = (np.arange(indices.size), self._positions.starts(epoch, indices))
        return MicroBatch(token_ids, examples.type_ids, examples.lengths, targets)


def _lonely(corpus: Corpus) -> bool:
    """Whether a part has only one document: random segments come from the same part."""
    return any(part.documents.size == 2 for part in corpus.parts)


@cache
def _warn_once(line: str) -> None:
    console.warn(line)


def share_of(values: npt.NDArray[np.int64], number: int, of: int) -> npt.NDArray[np.int64]:
    """Contiguous share `number` of `of` nearly equal ones."""
    return values[number * values.size // of : (number + 1) * values.size // of]
