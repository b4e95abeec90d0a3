"""A teacher's likeliest words in place of its whole distribution: what of it is kept, and how far a student is from it.

What a teacher gives its k likeliest words at temperature T is kept word by word, and what it gives all others as one
share more. The distance is the KL over these k + 1 outcomes: never more than that over the whole vocabulary, the same
where k is the vocabulary, and 0 where the student agrees in all that was kept. (Spread evenly, the rest would teach
that all other words are alike; left out, that none of them is ever right.)
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from bertsmith.objectives.vocabulary_loss import BLOCK, CACHED, UNDERFLOW, VocabularyLoss, vocabulary_sum

Records = npt.NDArray[Any]
"""One for each position, of the type that `record_type` gives."""


class Likeliest(NamedTuple):
    """ids: (rows, k) int64, the likeliest first. shares: (rows, k), rest: (rows,), fp32, of the others; 1 together."""

    ids: Tensor
    shares: Tensor
    rest: Tensor


def record_type(count: int, vocabulary: int) -> np.dtype[Any]:
    """One position as it is kept: ids, and logarithms of shares; `check` is for those who keep it."""
    ids = "<u2" if vocabulary <= 2**16 else "<u4"
    return np.dtype([("ids", ids, (count,)), ("shares", "<f2", (count,)), ("rest", "<f4"), ("check", "<u4")])


def likeliest(
    features: Tensor, weight: Tensor, bias: Tensor, count: int, temperature: float
) -> tuple[Tensor, Tensor, Tensor]:
    """The `count` likeliest words of softmax((features @ weight.T + bias) / T), a few rows at a time.

    features: (rows, width), weight: (vocabulary, width), bias: (vocabulary,). Returns ids (rows, count) int64, the
    logarithms of their shares (rows, count), and that of the share of all other words (rows,), -inf where there are
    none; both fp32.
    """
    share, found = 1.0 / temperature, []
    for rows in features.split(CACHED if features.device.type == "cpu" else BLOCK):
        logs = torch.addmm(bias, rows, weight.t(), beta=share, alpha=share).float().log_softmax(1)
        best = logs.topk(count, 1)
        rest = logs.scatter(1, best.indices, float("-inf")).logsumexp(1)
        found.append((best.indices, best.values, rest))
    ids, shares, rest = zip(*found, strict=True)
    return torch.cat(ids), torch.cat(shares), torch.cat(rest)


def to_records(ids: Tensor, shares: Tensor, rest: Tensor, vocabulary: int) -> Records:
    """What `likeliest` found, rounded: (rows,)."""
    records = np.zeros(len(ids), dtype=record_type(ids.shape[1], vocabulary))
    for name, values in (("ids", ids), ("shares", shares), ("rest", rest)):
        records[name] = values.cpu().numpy()
    return records


def from_records(records: Records, device: torch.device) -> Likeliest:
    """The shares that records hold, 1 together again after they were rounded."""
    ids = torch.from_numpy(records["ids"].astype(np.int64)).to(device)
    shares = torch.from_numpy(records["shares"].astype(np.float32)).to(device).exp()
    rest = torch.from_numpy(records["rest"].copy()).to(device).exp()
    whole = shares.sum(1) + rest
    return Likeliest(ids, shares / whole[:, None], rest / whole)


def likeliest_kl(
    features: Tensor, weight: Tensor, bias: Tensor, teacher: Likeliest, temperature: float
) -> VocabularyLoss:
    """T^2 * KL(teacher || softmax(student / T)) over the teacher's words and all others as one, summed over the rows.

    features: (rows, width), rows beyond the teacher's fill up and count nothing; weight: (vocabulary, width), bias:
    (vocabulary,) of the student, in which it is differentiable once; the result is fp32. `correct` counts the rows
    where both find the same word likeliest.
    """
    share = 1.0 / temperature

    def score(part: slice, given: Tensor, errors: Tensor) -> tuple[Tensor, Tensor]:
        ids, wanted, wanted_rest = (values[part] for values in teacher)
        found = torch.softmax(given, 1, out=errors)[: len(ids)]
        given = given[: len(ids)]
        high, first = given.max(1)
        norms = high.float() - found.gather(1, first[:, None]).squeeze(1).float().log()
        of_words = found.gather(1, ids).float()
        logs = given.gather(1, ids).float() - norms[:, None]
        found.scatter_(1, ids, 0.0)
        rest = found.sum(1, dtype=torch.float32).clamp_min(UNDERFLOW)
        loss = (torch.xlogy(wanted, wanted) - wanted * logs).sum()
        loss = loss + (torch.xlogy(wanted_rest, wanted_rest) - wanted_rest * rest.log()).sum()
        found.mul_((1 - wanted_rest / rest).to(found.dtype)[:, None])
        found.scatter_(1, ids, (of_words - wanted).to(found.dtype))
        return loss, (first == ids[:, 0]).sum()

    result = vocabulary_sum(features * share, weight, bias * share, score, len(teacher.ids))
    return VocabularyLoss(result.loss * temperature**2, result.correct)
