"""Hidden states of a teacher's layers, learnt layer by layer through a projection (TinyBERT, Jiao et al., 2020)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from bertsmith.errors import UsageError
from bertsmith.models.encoder import Encoded
from bertsmith.models.initialization import initialize
from bertsmith.models.layout import filled_rows
from bertsmith.objectives.config import DistillationConfig


class Projections(nn.Module):
    """Maps states of a student to its teacher's width: one map for the embeddings, one that all layers share.

    They are trained with the student and have no part in its model folder. Both are square where the widths agree.
    """

    def __init__(self, own: int, other: int) -> None:
        super().__init__()
        self.embeddings = nn.Linear(own, other, bias=False)
        self.layers = nn.Linear(own, other, bias=False)


def new_projections(own: int, other: int, seed: int) -> Projections:
    """Random maps, fp32 on the CPU, that keep the size of what they map; a function of the widths and the seed."""
    with torch.device("meta"):  # as a new model is made: the global generator is left alone
        made = Projections(own, other)
    made = made.to_empty(device="cpu")
    initialize(((f"projections.{name}", parameter) for name, parameter in made.named_parameters()), own**-0.5, seed)
    return made


def matched_layers(config: DistillationConfig, own: int, other: int) -> list[int]:
    """The layer of the teacher's `other`, from 1, for each of the student's `own`: evenly, number m learns m x N / M.

    Where that is no whole number the nearest one is taken, of two the later. UsageError when there are not enough.
    """
    named = config.hidden_layers
    if named:
        if len(named) != own:
            raise UsageError(f"objectives.distillation.hidden_layers: names {len(named)} layers, the student has {own}")
        wrong = [layer for layer in named if not 1 <= layer <= other]
        if wrong:
            raise UsageError(
                f"objectives.distillation.hidden_layers: {wrong[0]}, but the teacher's {other} layers are counted from "
                f"1 to {other}"
            )
        return list(named)
    if own > other:
        raise UsageError(
            f"model.layers: the student has {own} and its teacher {other}, so hidden states and attention have no "
            "match; give it fewer, or name a layer for each (objectives.distillation.hidden_layers)"
        )
    return [(2 * number * other + own) // (2 * own) for number in range(1, own + 1)]


def states_after(encoded: Encoded, layers: Sequence[int]) -> list[Tensor]:
    """(tokens, hidden) of the embeddings, and of what came out of each of the `layers`, from 1.

    What comes out of a layer went into the next one, so the encoder must keep the inputs of `inputs_of(layers)`.
    """
    return [encoded.kept.get(layer, encoded.hidden_states) for layer in (0, *layers)]


def hidden_loss(projections: Projections, given: Sequence[Tensor], taught: Sequence[Tensor]) -> Tensor:
    """The mean over the width of (student's state, mapped, - teacher's)^2, summed over rows and places, in fp32.

    given, taught: (rows, width) of the embeddings first, then of each layer and of that which it learns.
    """
    total = given[0].new_zeros((), dtype=torch.float32)
    for place, (own, other) in enumerate(zip(given, taught, strict=True)):
        projection = projections.layers if place else projections.embeddings
        mapped = projection(filled_rows(own))[: len(own)]
        total = total + (mapped.float() - other.float()).square().mean(-1).sum()
    return total
