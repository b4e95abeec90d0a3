"""What one update makes of gradients and moments that lie in flat buffers: the Adams, and LAMB."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from bertsmith.training.config import TrainingConfig

FOREVER = 1e9  # as a step number it makes both bias corrections exactly 1, and float32 keeps 1e9 + 1 = 1e9


@dataclass(frozen=True)
class Piece:
    """A part of the flat buffers whose parameters are treated alike. rate: times the learning rate of the step."""

    place: slice
    decayed: bool
    rate: float = 1.0


@dataclass(frozen=True)
class Buffers:
    """Flat fp32 buffers of one size, made of `pieces` side by side, the decayed ones first."""

    weights: Tensor
    gradients: Tensor
    exp_avg: Tensor
    exp_avg_sq: Tensor
    pieces: Sequence[Piece]


class UpdateRule(Protocol):
    """Changes weights and moments in place."""

    def update(self, rate: float, number: int) -> None:
        """Update number `number` (from 0) at learning rate `rate`; the gradients are worthless afterwards."""
        ...


class FusedAdam:
    """AdamW, or BERT's Adam, which is AdamW without bias correction: one fused kernel for each group.

    torch computes p -= rate * weight_decay * p, then p -= rate * m / (sqrt(v) + epsilon); both read the old m and v, so
    it is BERT's formula when nothing is corrected.
    """

    def __init__(self, buffers: Buffers, config: TrainingConfig) -> None:
        self._never_correct = config.optimizer == "bert_adam"
        self._steps: list[Tensor] = []
        groups = [
            {"params": [buffers.weights[piece.place]], "weight_decay": config.weight_decay if piece.decayed else 0.0}
            for piece in buffers.pieces
        ]
        self._rates = [piece.rate for piece in buffers.pieces]
        self._adamw = torch.optim.AdamW(
            groups, lr=config.learning_rate, betas=(config.beta1, config.beta2), eps=config.epsilon, fused=True
        )
        for group, piece in zip(groups, buffers.pieces, strict=True):
            (weights,) = group["params"]
            weights.grad = buffers.gradients[piece.place]
            step = torch.zeros((), dtype=torch.float32, device=weights.device)
            moments = {"exp_avg": buffers.exp_avg[piece.place], "exp_avg_sq": buffers.exp_avg_sq[piece.place]}
            self._adamw.state[weights] = {"step": step, **moments}
            self._steps.append(step)

    def update(self, rate: float, number: int) -> None:
        """See UpdateRule."""
        for step in self._steps:
            step.fill_(FOREVER if self._never_correct else float(number))
        for group, times in zip(self._adamw.param_groups, self._rates, strict=True):
            group["lr"] = rate * times
        self._adamw.step()


class Lamb:
    """LAMB (You et al., 2019) as google-research/albert has it (lamb_optimizer.py): no bias correction.

    u = m / (sqrt(v) + epsilon) + weight_decay * p; each tensor moves by rate * |p| / |u| * u, or by rate * u where one
    of the norms is 0. Tensors that are not decayed move by rate * u: excluded from one, they are excluded from both.
    """

    def __init__(self, buffers: Buffers, config: TrainingConfig, places: Sequence[slice]) -> None:
        """places: where in the flat buffers each decayed tensor lies."""
        self._buffers, self._config = buffers, config
        self._weights = [buffers.weights[place] for place in places]
        self._updates = [buffers.gradients[place] for place in places]

    def update(self, rate: float, number: int) -> None:
        """See UpdateRule. The update is made in the buffer of the gradients, so it needs no memory of its own."""
        flat, config = self._buffers, self._config
        flat.exp_avg.lerp_(flat.gradients, 1 - config.beta1)
        flat.exp_avg_sq.mul_(config.beta2).addcmul_(flat.gradients, flat.gradients, value=1 - config.beta2)
        update = torch.sqrt(flat.exp_avg_sq, out=flat.gradients).add_(config.epsilon)
        torch.div(flat.exp_avg, update, out=update)
        for piece in flat.pieces:
            if piece.decayed:
                update[piece.place].add_(flat.weights[piece.place], alpha=config.weight_decay)
        if self._weights:
            self._scale()
        for piece in flat.pieces:
            flat.weights[piece.place].add_(update[piece.place], alpha=-rate * piece.rate)

    def _scale(self) -> None:
        """Multiply each decayed tensor's update by its trust ratio; nothing waits for the device."""
        norms = [torch.linalg.vector_norm(tensor) for tensor in (*self._weights, *self._updates)]
        weights, updates = torch.stack(norms).chunk(2)
        ratios = torch.where((weights > 0) & (updates > 0), weights / updates, 1.0)
        for tensor, ratio in zip(self._updates, ratios.unbind(), strict=True):
            tensor.mul_(ratio)
