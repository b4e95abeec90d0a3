"""Softmax cross-entropy over a large vocabulary, block by block, so that its logits are never all in memory.

At small widths the softmax over the vocabulary costs more than the encoder, and nearly all of that is memory traffic:
each row's logits are read and written once by every elementary step. Here a slice of rows goes through all steps while
it is in the cache, and the gradients are made in the same pass (as Liger and the cut cross-entropy paper do on GPUs),
so that no (rows, vocabulary) matrix is kept for the backward pass: peak memory does not grow with the batch.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

BLOCK = 1024  # rows whose gradient of the logits is held at once: enough for the products to run at full speed
CACHED = 64  # rows of logits and probabilities that stay in a CPU's cache at 30,000 words
UNDERFLOW = 1e-30  # below it a probability's logarithm is taken from the logits instead


class VocabularyLoss(NamedTuple):
    """loss: () fp32, the sum in nats. correct: () int64, rows whose best word is the one wanted (a tie is wrong)."""

    loss: Tensor
    correct: Tensor


class ScoreRows(Protocol):
    """What a loss makes of the logits (rows, vocabulary) of a slice of the rows, the last of which may be filling."""

    def __call__(self, part: slice, logits: Tensor, errors: Tensor, /) -> tuple[Tensor, Tensor]:
        """Summed loss () and number of right rows (); fills errors (rows, vocabulary), the gradient of the logits.

        Of filling rows nothing is added; what becomes of their errors makes no difference.
        """
        ...


def vocabulary_loss(features: Tensor, weight: Tensor, bias: Tensor, labels: Tensor) -> VocabularyLoss:
    """Cross-entropy of labels (rows,) under softmax(features @ weight.T + bias), computed in fp32.

    features: (rows, width), rows beyond the labels fill up and count nothing; weight: (vocabulary, width); bias:
    (vocabulary,), all of one type (fp32 or bf16). Differentiable once, in features, weight and bias.
    """

    def score(part: slice, logits: Tensor, errors: Tensor) -> tuple[Tensor, Tensor]:
        return _score_labels(logits, labels[part, None], errors)

    return vocabulary_sum(features, weight, bias, score, len(labels))


def vocabulary_sum(features: Tensor, weight: Tensor, bias: Tensor, score: ScoreRows, count: int) -> VocabularyLoss:
    """The sum of any loss of the logits features @ weight.T + bias that `score` works out for a few rows at a time.

    Shapes and types as in vocabulary_loss; rows from `count` on fill up. Differentiable once, in features, weight and
    bias.
    """
    if not torch.is_grad_enabled():  # a parameter asks for its gradient all the same, and it would be made
        features, weight, bias = features.detach(), weight.detach(), bias.detach()
    return VocabularyLoss(*_VocabularyLoss.apply(features, weight, bias, score, count))


class _VocabularyLoss(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, features: Tensor, weight: Tensor, bias: Tensor, score: ScoreRows, count: int
    ) -> tuple[Tensor, Tensor]:
        wants_gradients = any(ctx.needs_input_grad)
        loss = torch.zeros((), dtype=torch.float32, device=features.device)
        correct = torch.zeros((), dtype=torch.int64, device=features.device)
        blocks: list[tuple[Tensor, Tensor, Tensor]] = []
        for start in range(0, len(features), BLOCK):
            rows = features[start : start + BLOCK]
            errors = rows.new_empty(len(rows), len(bias))
            for part in _slices(start, len(rows), CACHED if rows.device.type == "cpu" else BLOCK):
                inside = slice(part.start - start, part.stop - start)
                logits = torch.addmm(bias, features[part], weight.t())
                part_loss, part_correct = score(part, logits, errors[inside])
                loss += part_loss
                correct += part_correct
            errors[max(count - start, 0) :] = 0
            if wants_gradients:
                blocks.append((errors @ weight, errors.t() @ rows, errors.sum(0)))
        if wants_gradients:
            ctx.gradients = _joined(blocks, features, weight, bias)
        ctx.mark_non_differentiable(correct)
        return loss, correct

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, scale: Tensor, _: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, None, None]:
        gradients, ctx.gradients = ctx.gradients, None
        assert gradients is not None, "the gradients are scaled in place, so the way back is gone once"
        features, weight, bias = (gradient.mul_(scale.to(gradient.dtype)) for gradient in gradients)
        return features, weight, bias, None, None


def _slices(start: int, count: int, size: int) -> Iterator[slice]:
    for first in range(start, start + count, size):
        yield slice(first, min(first + size, start + count))


def _score_labels(logits: Tensor, gold: Tensor, errors: Tensor) -> tuple[Tensor, Tensor]:
    """ScoreRows for labels gold (rows or fewer, 1).

    The softmax is computed in fp32 and its result rounded to the type of the logits: in bf16 a label's loss is off by
    up to 0.002 nats without bias, less than by the rounding of its logits, and a pass over fp32 copies is saved.
    """
    probabilities = torch.softmax(logits, 1, out=errors)
    logits, probabilities = logits[: len(gold)], probabilities[: len(gold)]
    right = probabilities.gather(1, gold)
    loss = _negative_log(right.float(), logits, gold)
    probabilities.scatter_(1, gold, right - 1)
    return loss, (right > probabilities.amax(1, keepdim=True)).sum()


def _negative_log(right: Tensor, logits: Tensor, gold: Tensor) -> Tensor:
    """Sum of -log of the labels' probabilities (rows, 1); finite also where a probability underflows to 0."""
    lost = (right < UNDERFLOW).squeeze(1)
    if not bool(lost.any()):
        return -right.log().sum()
    surprise = logits[lost].float().logsumexp(1) - logits[lost].gather(1, gold[lost]).squeeze(1).float()
    return surprise.sum() - right[~lost].log().sum()


def _joined(
    blocks: list[tuple[Tensor, Tensor, Tensor]], features: Tensor, weight: Tensor, bias: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """The blocks' gradients as those of the whole; more than one block is added up in fp32."""
    if not blocks:
        return torch.zeros_like(features), torch.zeros_like(weight), torch.zeros_like(bias)
    of_features, of_weight, of_bias = zip(*blocks, strict=True)
    return torch.cat(of_features), _total(of_weight), _total(of_bias)


def _total(parts: tuple[Tensor, ...]) -> Tensor:
    if len(parts) == 1:
        return parts[0]
    total = parts[0].float()
    for part in parts[1:]:
        total += part
    return total.to(parts[0].dtype)
