"""Vectors of texts, trained by their cosines: texts that belong together come close, or as close as a score says.

The targets of both objectives: rows are groups, in the order in which Batch.groups names them, each of two sequences
side by side.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from bertsmith.batch import Batch
from bertsmith.models.encoder import Encoded
from bertsmith.models.model import Model
from bertsmith.models.pooling import Pooling, pool
from bertsmith.objectives.labelled import LABELLED
from bertsmith.objectives.objective import Score, count_targets

NEAR = 0.1
"""A cosine counts as correct up to this distance from what is wanted."""


class Contrastive:
    """Which of the texts of the other pairs is the partner? Cross-entropy over cosines divided by a temperature.

    InfoNCE (van den Oord et al., 2018) with the other pairs of the batch as negatives (multiple negatives: Reimers and
    Gurevych, 2019); of the same sentence twice under different dropout it is unsupervised SimCSE (Gao et al., 2021).
    Symmetrical: the mean of both directions, first texts asking for their second ones and the other way about.

    The negatives are those of the micro-batch: unlike every other loss here, this one changes with the number of
    micro-batches and ranks that a batch is divided into.

    Labels (n, 3) int64: a number for the first text, one for the second, equal for equal texts, and whether the two
    belong together (1) or not (0). A pair that does not is no target; its second text stands among the candidates of
    all others, and its own cosine among the cosines that every target has to exceed. Left out as candidates are texts
    that are known to be right as well: the text itself, its partner, and what another pair says belongs to it.
    """

    name = LABELLED
    heads: tuple[str, ...] = ()
    weight = 1.0

    def __init__(self, temperature: float, pooling: Pooling) -> None:
        self.temperature = temperature
        self.pooling: Pooling = pooling

    def count(self, batch: Batch) -> int:
        """Pairs that belong together."""
        return int(batch.targets[self.name].labels[:, 2].sum()) if count_targets(batch, self.name) else 0

    def score(self, model: Model, encoded: Encoded, batch: Batch) -> Score:
        """The summed loss in fp32; a pair is correct when no other candidate of its first text is nearer."""
        labels = batch.targets[self.name].labels
        first, second = unit_vectors(encoded, batch, self.pooling)
        return self.compare(first, second, labels)

    def compare(self, first: Tensor, second: Tensor, labels: Tensor) -> Score:
        """The score of vectors (n, hidden) of length 1 with their labels (n, 3)."""
        scores = first @ second.T / self.temperature
        own, other, together = labels[:, 0], labels[:, 1], labels[:, 2].bool()
        forth = _log_probabilities(scores, own, other, together)
        back = _log_probabilities(scores.T, other, own, together)
        loss = -(forth.diagonal() + back.diagonal())[together].sum() / 2
        right = forth.detach()[:, : len(forth)].argmax(1) == torch.arange(len(forth), device=forth.device)
        return Score(loss, (right & together).sum(), int(together.sum()))


def _log_probabilities(scores: Tensor, own: Tensor, other: Tensor, together: Tensor) -> Tensor:
    """(n, 2n): over n candidates, and then over the cosines of the pairs that do not belong together.

    scores (n, n): of every text with every candidate, the partner's on the diagonal. own, other (n,): numbers of the
    texts that ask and of the candidates.
    """
    right = (other == other[:, None]) | (other == own[:, None]) | ((own == own[:, None]) & together)
    right.fill_diagonal_(False)
    apart = scores.diagonal().masked_fill(together, float("-inf")).expand_as(scores)
    return torch.cat([scores.masked_fill(right, float("-inf")), apart], 1).log_softmax(1)


class CosineRegression:
    """The squared distance of a pair's cosine from its score, divided by `largest` (Reimers and Gurevych, 2019).

    Labels (n,) float32: scores as they are. A pair is correct when its cosine is within 0.1 of what is wanted.
    """

    name = LABELLED
    heads: tuple[str, ...] = ()
    weight = 1.0

    def __init__(self, largest: float, pooling: Pooling) -> None:
        self.largest = largest
        self.pooling: Pooling = pooling

    def count(self, batch: Batch) -> int:
        """Pairs in the batch."""
        return count_targets(batch, self.name)

    def score(self, model: Model, encoded: Encoded, batch: Batch) -> Score:
        """The summed loss in fp32."""
        first, second = unit_vectors(encoded, batch, self.pooling)
        error = (first * second).sum(1) - batch.targets[self.name].labels / self.largest
        return Score(error.square().sum(), (error.detach().abs() <= NEAR).sum(), len(error))


def unit_vectors(encoded: Encoded, batch: Batch, pooling: Pooling) -> tuple[Tensor, Tensor]:
    """The vectors of the first and of the second sequences of all pairs, of length 1: twice (n, hidden) fp32."""
    vectors = F.normalize(pool(encoded.hidden_states, batch.lengths, pooling), dim=1)
    return vectors[::2], vectors[1::2]
