"""How far a student's distribution over the vocabulary is from its teacher's, block by block as in vocabulary_loss."""

from __future__ import annotations

import torch
from torch import Tensor

from bertsmith.objectives.vocabulary_loss import VocabularyLoss, vocabulary_sum


def vocabulary_kl(
    features: Tensor,
    weight: Tensor,
    bias: Tensor,
    teacher: tuple[Tensor, Tensor, Tensor],
    temperature: float,
    count: int,
) -> VocabularyLoss:
    """T^2 * KL(softmax(teacher / T) || softmax(student / T)), summed over the rows, in fp32 (Hinton et al., 2015).

    features: (rows, width), weight: (vocabulary, width), bias: (vocabulary,) of the student; teacher: the same three of
    the teacher, whose width may be another; its vocabulary may have more rows, which are left out. Features from row
    `count` on fill up and count nothing. `correct` counts the rows where both find the same word likeliest.
    Differentiable once, in the student's three.
    """
    share = 1.0 / temperature
    taught, words, frequency = teacher[0].detach(), teacher[1].detach()[: len(bias)], teacher[2].detach()[: len(bias)]

    def score(part: slice, given: Tensor, errors: Tensor) -> tuple[Tensor, Tensor]:
        wanted = torch.addmm(frequency, taught[part], words.t(), beta=share, alpha=share)
        shares, found = torch.softmax(wanted, 1), torch.softmax(given, 1, out=errors)
        wanted, shares, given, found = (rows[: max(count - part.start, 0)] for rows in (wanted, shares, given, found))
        high, first = given.max(1)
        highest = wanted.amax(1)
        agreed = (wanted.gather(1, first[:, None]).squeeze(1) == highest).sum()
        # sum of p (log p - log q) = sum of p (x - y) - logsumexp(x) + logsumexp(y), where logsumexp(x) = x - log p(x)
        own, their = found.gather(1, first[:, None]).squeeze(1).float(), shares.amax(1).float()
        norms = high.float() - own.log() - highest.float() + their.log()
        loss = (
            norms.sum()
            + (torch.linalg.vecdot(shares, wanted).float() - torch.linalg.vecdot(shares, given).float()).sum()
        )
        found.sub_(shares)
        return loss, agreed

    found = vocabulary_sum(features * share, weight, bias * share, score, count)
    return VocabularyLoss(found.loss * temperature**2, found.correct)
