"""The one thing that data hands to models: a flat batch without padding."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor


class Target(NamedTuple):
    """What one objective predicts: `labels[i]` (int64, or float32 for a regression) is wanted at row `rows[i]` (int64).

    A row is a token of the flat batch for masked_lm and a sequence for pair; objectives.labelled says what it is there.
    """

    rows: Tensor
    labels: Tensor


@dataclass(frozen=True)
class Batch:
    """Sequences laid end to end: no padding, so every token costs once.

    token_ids, type_ids, positions: (tokens,) int64; positions count from 0 in each sequence (an encoder adds its own
        offset).
    lengths: (sequences,) int64 on the CPU, where the layout is worked out; their sum is tokens.
    groups: (sequences,) int64, which sequences belong together (choices of one question); each its own by default.
    targets: by objective name.
    """

    token_ids: Tensor
    type_ids: Tensor
    positions: Tensor
    lengths: Tensor
    groups: Tensor
    targets: Mapping[str, Target]

    def to(self, device: torch.device) -> Batch:
        """The same batch on another device; its lengths stay on the CPU, so that nothing has to wait for a GPU."""
        return replace(
            self,
            token_ids=self.token_ids.to(device),
            type_ids=self.type_ids.to(device),
            positions=self.positions.to(device),
            groups=self.groups.to(device),
            targets={name: Target(t.rows.to(device), t.labels.to(device)) for name, t in self.targets.items()},
        )


def flat_batch(
    token_ids: Tensor,
    type_ids: Tensor,
    lengths: Tensor,
    targets: Mapping[str, Target] | None = None,
    groups: Tensor | None = None,
) -> Batch:
    """A batch from flat ids and types (tokens,) and lengths (sequences,), from which the positions follow.

    groups: (sequences,) int64; by default each sequence is its own.
    """
    starts = torch.cumsum(lengths, 0) - lengths
    positions = torch.arange(token_ids.numel()) - torch.repeat_interleave(starts, lengths)
    if groups is None:
        groups = torch.arange(lengths.numel())
    return Batch(token_ids, type_ids, positions, lengths, groups, dict(targets or {}))
