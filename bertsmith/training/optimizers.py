"""Weights, gradients and moments in one flat buffer each: one norm and one all-reduce for the whole model."""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial

import torch
from torch import Tensor, nn

from bertsmith.models.model import Model
from bertsmith.training.chosen_rows import ChosenRows
from bertsmith.training.config import TrainingConfig
from bertsmith.training.update_rules import Buffers, FusedAdam, Lamb, Piece, UpdateRule

ALIGNMENT = 16  # elements: every parameter starts on a 64-byte boundary of the flat fp32 buffers
MOMENTS = ("exp_avg", "exp_avg_sq")
WEIGHT = "weight"


class Optimizer:
    """Owns fp32 masters of every parameter, their summed gradients and both moments, each as one flat buffer.

    In fp32 the model's parameters are views of the masters; in bf16 they are rounded copies. Gradients of micro-batches
    are added up in fp32 either way. Decayed parameters come first, those of one rate together, so that whatever is
    treated alike is one slice.
    """

    def __init__(
        self,
        model: Model,
        config: TrainingConfig,
        dtype: torch.dtype,
        rates: Mapping[str, float] | None = None,
        rows: Mapping[str, Tensor] | None = None,
        beside: nn.Module | None = None,
    ) -> None:
        """rates: times the learning rate, by parameter name; those not named, and all when None, have 1.

        rows: of an embedding, by parameter name, those that are trained alone (see chosen_rows); not for LAMB, whose
        rates are those of whole tensors.

        beside: what is trained with the model and is no part of it; its names are none of the model's.
        """
        assert not rows or config.optimizer != "lamb"
        self.config = config
        decayed, excluded = split_parameters(model, config)
        self._beside = [name for name, _ in beside.named_parameters()] if beside is not None else []
        if beside is not None:
            decayed, excluded = (
                [*of_model, *others]
                for of_model, others in zip((decayed, excluded), split_parameters(beside, config), strict=True)
            )
        self._parameters = dict(decayed + excluded)
        self._chosen = {name: ChosenRows(model, name, chosen, dtype) for name, chosen in (rows or {}).items()}
        self._shapes = {name: p.shape for name, p in self._parameters.items()}
        self._shapes |= {name: chosen.shape for name, chosen in self._chosen.items()}
        sizes = {name: shape.numel() for name, shape in self._shapes.items()}
        self._places, pieces, size = _lay_out([n for n, _ in decayed], [n for n, _ in excluded], sizes, rates or {})
        device = next(model.parameters()).device
        self.masters, self._gradients, self.exp_avg, self.exp_avg_sq = (
            torch.zeros(size, dtype=torch.float32, device=device) for _ in range(4)
        )
        self._rounded = self.masters if dtype == torch.float32 else torch.zeros(size, dtype=dtype, device=device)
        for name, view in self.views(self.masters).items():
            view.copy_(self._trained(name, self._parameters[name].detach()))
        self._update_model()
        self._point_at(self._rounded)
        self._stale: set[str] = set()  # parameters whose gradient is still that of the step before
        self._collected = self.views(self._gradients)
        for name, parameter in self._parameters.items():
            parameter.register_post_accumulate_grad_hook(partial(_collect, weakref.ref(self), name))
        buffers = Buffers(self.masters, self._gradients, self.exp_avg, self.exp_avg_sq, pieces)
        self._rule: UpdateRule
        if config.optimizer == "lamb":
            tensors = [place for name, _ in decayed for place in self._tensors_of(model, name)]
            self._rule = Lamb(buffers, config, tensors)
        else:
            self._rule = FusedAdam(buffers, config)

    def views(self, flat: Tensor) -> dict[str, Tensor]:
        """A flat buffer as one tensor per parameter, by parameter name."""
        shapes = self._shapes
        return {name: flat[at : at + shapes[name].numel()].view(shapes[name]) for name, at in self._places.items()}

    def _trained(self, name: str, whole: Tensor) -> Tensor:
        """What of a parameter is trained."""
        return whole.index_select(0, self._chosen[name].rows) if name in self._chosen else whole

    @property
    def gradients(self) -> Tensor:
        """The flat buffer of the gradients summed since they were last forgotten, 0 where there are none."""
        for name in self._stale:
            self._collected[name].zero_()
        self._stale.clear()
        return self._gradients

    def forget_gradients(self) -> None:
        """Start anew. Nothing is cleared here: the first gradient of a parameter replaces what is there."""
        self._stale.update(self._parameters)

    def collect(self, name: str, parameter: Tensor) -> None:
        """Add a parameter's gradient to the sum, and take it from the parameter."""
        assert parameter.grad is not None
        if name in self._chosen:
            if name in self._stale:
                self._stale.remove(name)
                self._collected[name].zero_()
            self._chosen[name].collect(parameter.grad, self._collected[name])
        elif name in self._stale:
            self._stale.remove(name)
            self._collected[name].copy_(parameter.grad)
        else:
            self._collected[name].add_(parameter.grad)
        parameter.grad = None

    def update(self, rate: float, number: int) -> float:
        """Clip, update number `number` (from 0) at learning rate `rate`, clear the gradients.

        Returns the global norm before clipping; when it is not finite nothing is updated.
        """
        gradients = self.gradients
        norm = float(torch.linalg.vector_norm(gradients))
        if norm in (float("inf"), float("-inf")) or norm != norm:
            return norm
        if self.config.clip and norm > self.config.clip:
            gradients.mul_(self.config.clip / norm)
        self._rule.update(rate, number)
        self._update_model()
        self.forget_gradients()
        return norm

    def state(self) -> dict[str, Tensor]:
        """What a checkpoint keeps beside the model, by name: both moments, `exp_avg.PARAMETER` and
        `exp_avg_sq.PARAMETER`, and the weights that are no part of the model, `weight.PARAMETER`.
        """
        moments = {
            f"{moment}.{name}": view for moment in MOMENTS for name, view in self.views(getattr(self, moment)).items()
        }
        masters = self.views(self.masters)
        return moments | {f"{WEIGHT}.{name}": masters[name] for name in self._beside}

    def restore(self, weights: Mapping[str, Tensor], beside: Mapping[str, Tensor]) -> None:
        """Take the values of a checkpoint: the model's weights, and what `state` gave. They are copied: memory-mapped
        tensors are not aligned as ours are.
        """
        for name, view in self.views(self.masters).items():
            if name not in self._beside:
                view.copy_(self._trained(name, weights[name]))
        for name, chosen in self._chosen.items():
            chosen.whole.copy_(weights[name])
            chosen.shown.copy_(weights[name])
        for name, view in self.state().items():
            view.copy_(beside[name])
        self.forget_gradients()
        self._update_model()

    @contextmanager
    def masters_in_model(self) -> Iterator[None]:
        """Inside, the model's parameters are the fp32 masters themselves (for saving; no copy is made)."""
        for name, view in self.views(self.masters).items():
            if name in self._chosen:
                self._chosen[name].put(view, self._chosen[name].whole)
        self._point_at(self.masters)
        try:
            yield
        finally:
            self._point_at(self._rounded)

    def _point_at(self, flat: Tensor) -> None:
        for name, view in self.views(flat).items():
            if name in self._chosen:
                view = self._chosen[name].whole if flat is self.masters else self._chosen[name].shown
            self._parameters[name].data = view

    def _update_model(self) -> None:
        if self._rounded is not self.masters:
            self._rounded.copy_(self.masters)
        for name, chosen in self._chosen.items():
            chosen.put(self.views(self._rounded)[name], chosen.shown)

    def _tensors_of(self, model: Model, name: str) -> list[slice]:
        """Where a parameter's tensors as published lie: query, key and value are one parameter here, three there."""
        pieces = 1 if name in self._beside else len(model.family.names.translate(name, model.config))
        start, size = self._places[name], self._parameters[name].numel() // pieces
        return [slice(start + piece * size, start + (piece + 1) * size) for piece in range(pieces)]


def split_parameters(
    model: nn.Module, config: TrainingConfig
) -> tuple[list[tuple[str, nn.Parameter]], list[tuple[str, nn.Parameter]]]:
    """(decayed, not decayed), tied parameters once. Whether something is a LayerNorm is asked of its module."""
    excluded: set[int] = set()
    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            is_norm = isinstance(module, nn.LayerNorm)
            if ("layer_norm" in config.decay_exclusions and is_norm) or (
                "bias" in config.decay_exclusions and name.endswith("bias") and not is_norm
            ):
                excluded.add(id(parameter))
    named = list(model.named_parameters())
    return [n for n in named if id(n[1]) not in excluded], [n for n in named if id(n[1]) in excluded]


def _lay_out(
    decayed: list[str], excluded: list[str], sizes: Mapping[str, int], rates: Mapping[str, float]
) -> tuple[dict[str, int], list[Piece], int]:
    """Where each parameter starts in the flat buffers, the pieces that these are made of, and their size."""
    places: dict[str, int] = {}
    pieces: list[Piece] = []
    end = 0
    for group, is_decayed in ((decayed, True), (excluded, False)):
        for rate in sorted({rates.get(name, 1.0) for name in group}, reverse=True):
            start = end
            for name in group:
                if rates.get(name, 1.0) == rate:
                    places[name] = end
                    end += -(-sizes[name] // ALIGNMENT) * ALIGNMENT
            pieces.append(Piece(slice(start, end), is_decayed, rate))
    return places, pieces, end


def layer_rates(model: Model, decay: float) -> dict[str, float]:
    """Times the learning rate for each parameter (Clark et al. 2020, ELECTRA): 1 above the encoder's layers, `decay`
    for the last layer, and for each layer below, and then the embeddings, `decay` times that of the one above.

    A weight that several layers share has the rate of the highest of them.
    """
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    last = model.config.layers
    heights: dict[str, int] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        parts = name.split(".")
        height = last + 1
        if parts[:2] == ["encoder", "layers"]:
            height = int(parts[2]) // model.config.inner_groups + 1
        elif parts[:2] == ["encoder", "embeddings"]:
            height = 0
        first = names[id(parameter)]
        heights[first] = max(heights.get(first, 0), height)
    return {name: decay ** (last + 1 - height) for name, height in heights.items()}


def _collect(optimizer: weakref.ref[Optimizer], name: str, parameter: Tensor) -> None:
    """What a parameter's hook does. It lies beyond Python's garbage collector: were the optimizer held by it, both
    would stay in memory for as long as the process.
    """
    owner = optimizer()
    if owner is not None:
        owner.collect(name, parameter)
