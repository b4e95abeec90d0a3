"""The tensors of a file against the weights of a model. Decides from names and shapes alone; allocates nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from bertsmith.errors import BertsmithError, UsageError
from bertsmith.models.config import EncoderConfig, TaskHead
from bertsmith.models.families import FAMILIES
from bertsmith.models.families.family import TASK_CLASSES
from bertsmith.models.heads import HEADS
from bertsmith.models.model import Model, skeleton
from bertsmith.models.untrusted import WEIGHT_TYPES, TensorEntry, in_one_line

MAPPING = "encoder.embeddings.mapping"


class Assembly(NamedTuple):
    """How a model is put together from a file: the empty model (meta device), its heads and where each weight lies.

    heads: pretraining heads; the task head is the model's. foreign: tensors in the file of heads not known here.
    sources: our parameter name -> the names in the file whose tensors, stacked along the first axis, are its values.
    tied: pairs of names in the file that must hold the same values, since they are one weight in any model.
    shared: pairs that must, since layers share the weight here; transformers' class does not know of it.
    identity: weight and bias in the file of a mapping that must change nothing, since there is none here; or nothing.
    """

    model: Model
    heads: tuple[str, ...]
    foreign: tuple[str, ...]
    sources: Mapping[str, tuple[str, ...]]
    tied: tuple[tuple[str, str], ...]
    shared: tuple[tuple[str, str], ...]
    identity: tuple[str, ...]


class Wanted(NamedTuple):
    """What of a file is wanted.

    task: the task head that config.json says is there; named: what it names, in words. heads: names of those wanted,
    None = all that are there. foreign_heads: whether heads that are not known here are passed over, and a task head may
    be missing.
    """

    task: TaskHead | None = None
    named: str = ""
    heads: tuple[str, ...] | None = None
    foreign_heads: bool = False


class _File(NamedTuple):
    """path; entries: what the file holds, by its own names. found: today's name -> name in the file."""

    path: Path
    entries: Mapping[str, TensorEntry]
    found: Mapping[str, str]

    def take(self, names: Sequence[str], shape: Sequence[int]) -> tuple[str, ...]:
        """Names in the file of these tensors, which stacked along the first axis have this shape; or BertsmithError."""
        wanted = (shape[0] // len(names), *shape[1:])
        for name in names:
            if name not in self.found:
                raise BertsmithError(f"{self.path}: {name} is missing")
            entry = self.entries[self.found[name]]
            if entry.shape != wanted:
                raise BertsmithError(
                    f"{self.path}: {self.found[name]} has shape {entry.shape}; config.json makes it {wanted}"
                )
            if entry.dtype not in WEIGHT_TYPES:
                raise BertsmithError(
                    f"{self.path}: {self.found[name]} has dtype {entry.dtype}; weights are {', '.join(WEIGHT_TYPES)}"
                )
        return tuple(self.found[name] for name in names)


def identity_names(config: EncoderConfig) -> tuple[str, ...]:
    """Hugging Face's names of the mapping (weight, bias) that its class has where an encoder of this shape has none."""
    family = FAMILIES[config.family]
    on_disk = family.on_disk(config)
    if config.has_mapping or not on_disk.has_mapping:
        return ()
    return tuple(name for end in ("weight", "bias") for name in family.names.translate(f"{MAPPING}.{end}", on_disk))


def places_of(model: Model) -> dict[str, tuple[str, ...]]:
    """Hugging Face's names for each name of each weight: a weight that layers share has one of ours for every layer."""
    on_disk = model.family.on_disk(model.config)
    names = (name for name, _ in model.named_parameters(remove_duplicate=False))
    return {name: model.family.names.translate(name, on_disk) for name in names}


def assemble(config: EncoderConfig, entries: Mapping[str, TensorEntry], path: Path, wanted: Wanted) -> Assembly:
    """Matches the tensors of a file with a model.

    Names match strictly. The exceptions are named in the family's NameTable (a base class's missing prefix, old names,
    old buffers, second names of tied weights), and heads and a pooler that nobody asks for may be missing.
    BertsmithError for missing, unknown or misshapen tensors; UsageError for a wanted head that is not there.
    """
    names, tied = _modern_names(config, entries, path)
    file = _File(path, entries, names)
    whole = skeleton(config, [head for head in HEADS if head in FAMILIES[config.family].heads], task=wanted.task)
    places = places_of(whole)
    identity = identity_names(config)
    known = {theirs for several in places.values() for theirs in several}.union(identity)
    unknown = {name: file_name for name, file_name in names.items() if name not in known}
    foreign = _foreign(unknown, config, wanted, path)
    chosen, task = _chosen_heads(_present_heads(places, names), wanted, path)
    has_pooler = any(theirs in names for ours in places if ".pooler." in ours for theirs in places[ours])
    with_pooler = wanted.heads is None and has_pooler
    model = skeleton(config, chosen, pooler=with_pooler, task=task)
    sources, shared = _sources(model, places, file)
    if identity:
        identity = file.take(identity[:1], (config.hidden_size,) * 2) + file.take(identity[1:], (config.hidden_size,))
    return Assembly(model, chosen, foreign, sources, tuple(tied), shared, identity)


def _sources(
    model: Model, places: Mapping[str, tuple[str, ...]], file: _File
) -> tuple[dict[str, tuple[str, ...]], tuple[tuple[str, str], ...]]:
    """Where each weight of the model lies in the file, and the pairs there that are one weight of several layers."""
    sources: dict[str, tuple[str, ...]] = {}
    first_names: dict[int, str] = {}
    shared: list[tuple[str, str]] = []
    for ours, parameter in model.named_parameters(remove_duplicate=False):
        taken = file.take(places[ours], parameter.shape)
        first = sources.setdefault(first_names.setdefault(id(parameter), ours), taken)
        shared += [pair for pair in zip(taken, first, strict=True) if pair[0] != pair[1]]
    return sources, tuple(dict.fromkeys(shared))


def _chosen_heads(present: tuple[str, ...], wanted: Wanted, path: Path) -> tuple[tuple[str, ...], TaskHead | None]:
    """The pretraining heads and the task head of the model to be built."""
    task = wanted.task
    for head in wanted.heads or ():
        if head not in present:
            raise UsageError(f"{path}: has no {head} head (it has {', '.join(present) or 'none'})")
    if wanted.heads is not None:
        kept = task if task is not None and task.kind in wanted.heads else None
        return tuple(head for head in wanted.heads if head in HEADS), kept
    if task is not None and task.kind not in present and wanted.foreign_heads:
        task = None
    return tuple(head for head in present if head in HEADS), task


def _present_heads(places: Mapping[str, tuple[str, ...]], names: Mapping[str, str]) -> tuple[str, ...]:
    """Heads of which there is any weight."""
    there = (ours for ours, several in places.items() if not names.keys().isdisjoint(several))
    heads = {ours.split(".")[1] for ours in there if ours.startswith("heads.")}
    return tuple(head for head in (*HEADS, *TASK_CLASSES) if head in heads)


def _modern_names(
    config: EncoderConfig, entries: Mapping[str, TensorEntry], path: Path
) -> tuple[dict[str, str], list[tuple[str, str]]]:
    """Today's name -> name in the file, without buffers and second names; and the pairs that must be equal."""
    names = FAMILIES[config.family].names
    has_prefix = any(name.startswith(names.base_prefix) for name in entries)
    found: dict[str, str] = {}
    for name in entries:
        modern = names.modern(name, has_prefix)
        if modern in found:
            shown = " and ".join(in_one_line(each) for each in (name, found[modern]))
            raise BertsmithError(f"{path}: {shown} are the same weight")
        found[modern] = name
    tied = []
    for second, first in names.tied.items():
        if second in found:
            name = found.pop(second)
            if found.setdefault(first, name) != name:
                tied.append((name, found[first]))
    return {name: file_name for name, file_name in found.items() if name not in names.ignored}, tied


def _foreign(unknown: Mapping[str, str], config: EncoderConfig, wanted: Wanted, path: Path) -> tuple[str, ...]:
    """Names in the file, of those unknown, that belong to heads not known here. BertsmithError for any that do not, and
    for these too where they are not to be passed over.
    """
    prefix = FAMILIES[config.family].names.base_prefix
    refused = [file for name, file in unknown.items() if name.startswith(prefix) or not wanted.foreign_heads]
    if refused:
        more = f" and {len(refused) - 3} more" if len(refused) > 3 else ""
        shown = ", ".join(in_one_line(name) for name in sorted(refused)[:3])
        heads = f", nor of a head known here (config.json names {wanted.named})" if wanted.named else ""
        raise BertsmithError(
            f"{path}: {shown}{more}: no part of a {config.family} model with {config.layers} layers{heads}"
        )
    return tuple(unknown.values())
