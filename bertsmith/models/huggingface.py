"""Hugging Face's config.json and weight names against ours. Decides from names and shapes alone; allocates nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from bertsmith.config import build
from bertsmith.errors import BertsmithError, UsageError
from bertsmith.models.config import EncoderConfig
from bertsmith.models.families import FAMILIES
from bertsmith.models.heads import HEADS
from bertsmith.models.model import Model, skeleton
from bertsmith.models.untrusted import WEIGHT_TYPES, TensorEntry


class Assembly(NamedTuple):
    """How a model is put together from a file: the empty model (meta device), its heads and where each weight lies.

    sources: our parameter name -> the names in the file whose tensors, stacked along the first axis, are its values.
    tied: pairs of names in the file that must hold the same values.
    """

    model: Model
    heads: tuple[str, ...]
    sources: Mapping[str, tuple[str, ...]]
    tied: tuple[tuple[str, str], ...]


def config_to_json(config: EncoderConfig, heads: Sequence[str], pad_token_id: int) -> dict[str, Any]:
    """config.json of a model with these heads."""
    family = FAMILIES[config.family]
    values: dict[str, Any] = {
        "architectures": [family.architectures[tuple(sorted(heads))]],
        "model_type": family.name,
        "pad_token_id": pad_token_id,
        "dtype": "float32",
    }
    spelled = {ours: theirs for theirs, ours in reversed(list(family.activations.items()))}
    for theirs, ours in family.settings.items():
        value = getattr(config, ours)
        values[theirs] = spelled[value] if ours == "activation" else value
    return values


def config_from_json(values: Mapping[str, Any], path: Path) -> EncoderConfig:
    """The resolved and checked config that config.json describes.

    Keys that say nothing about the encoder are passed over, a missing one has the family's published base value (as in
    transformers). BertsmithError, one line per mistake, naming the file and its key.
    """
    model_type = values.get("model_type")
    if not isinstance(model_type, str) or model_type not in FAMILIES:
        supported = ", ".join(FAMILIES)
        raise BertsmithError(f"{path}: model_type is {_shown(model_type)}; supported: {supported}")
    family = FAMILIES[model_type]
    for key, fixed in family.fixed.items():
        if key in values and values[key] != fixed:
            raise BertsmithError(f"{path}: {key} = {_shown(values[key])} is not supported, only {_shown(fixed)}")
    base = family.base.resolved()
    found = {ours: values.get(theirs, getattr(base, ours)) for theirs, ours in family.settings.items()}
    activation = values.get("hidden_act", "gelu")
    if not isinstance(activation, str) or activation not in family.activations:
        raise BertsmithError(f"{path}: hidden_act is {_shown(activation)}; supported: {', '.join(family.activations)}")
    found["activation"] = family.activations[activation]
    theirs_of = {ours: theirs for theirs, ours in family.settings.items()}
    try:
        config = build(
            EncoderConfig, {"family": family.name, **found}, lambda key: f"{path}: {theirs_of.get(key, key)}"
        )
        if not config.intermediate_size:
            raise UsageError(f"{path}: {theirs_of['intermediate_size']} is 0")
    except UsageError as error:
        raise BertsmithError(str(error)) from error
    try:
        config.check()
    except UsageError as error:
        message = str(error)
        for ours, theirs in theirs_of.items():
            message = message.replace(f"model.{ours} ", f"{theirs} ")
        raise BertsmithError(f"{path}: {message}") from error
    return config


def assemble(
    config: EncoderConfig, entries: Mapping[str, TensorEntry], heads: Sequence[str] | None, path: Path
) -> Assembly:
    """Matches the tensors of a file with a model. heads: those wanted, None = all that are there.

    Names match strictly. The exceptions are named in the family's NameTable (a base class's missing prefix, old names,
    old buffers, second names of tied weights), and a pooler that no head needs may be missing. BertsmithError for
    missing, unknown or misshapen tensors; UsageError for a wanted head that is not there.
    """
    found, tied = _modern_names(config, entries, path)
    names = FAMILIES[config.family].names
    whole = skeleton(config, tuple(HEADS))
    places = {name: names.translate(name) for name, _ in whole.named_parameters()}
    known = {theirs for several in places.values() for theirs in several}
    _refuse_unknown([file_name for name, file_name in found.items() if name not in known], config, path)
    present = tuple(
        head
        for head in HEADS
        if any(theirs in found for ours, several in places.items() for theirs in several if _of_head(ours, head))
    )
    for head in heads or ():
        if head not in present:
            raise UsageError(f"{path}: has no {head} head (it has {', '.join(present) or 'none'})")
    chosen = present if heads is None else tuple(heads)
    with_pooler = heads is None and any(t in found for ours in places if ".pooler." in ours for t in places[ours])
    model = skeleton(config, chosen, pooler=with_pooler)
    sources = {}
    for ours, parameter in model.named_parameters():
        _check_shapes(places[ours], parameter.shape, found, entries, path)
        sources[ours] = tuple(found[theirs] for theirs in places[ours])
    return Assembly(model, chosen, sources, tied)


def _of_head(parameter: str, head: str) -> bool:
    return parameter.startswith(f"heads.{head}.")


def _modern_names(
    config: EncoderConfig, entries: Mapping[str, TensorEntry], path: Path
) -> tuple[dict[str, str], tuple[tuple[str, str], ...]]:
    """Today's name -> name in the file, without buffers and second names; and the pairs that must be equal."""
    names = FAMILIES[config.family].names
    has_prefix = any(name.startswith(names.base_prefix) for name in entries)
    found: dict[str, str] = {}
    for name in entries:
        modern = names.modern(name, has_prefix)
        if modern in found:
            raise BertsmithError(f"{path}: {name} and {found[modern]} are the same weight")
        found[modern] = name
    tied = []
    for second, first in names.tied.items():
        if second in found:
            name = found.pop(second)
            if found.setdefault(first, name) != name:
                tied.append((name, found[first]))
    return {name: file_name for name, file_name in found.items() if name not in names.ignored}, tuple(tied)


def _refuse_unknown(unknown: list[str], config: EncoderConfig, path: Path) -> None:
    if unknown:
        more = f" and {len(unknown) - 3} more" if len(unknown) > 3 else ""
        shown = ", ".join(name[:80] for name in sorted(unknown)[:3])
        raise BertsmithError(f"{path}: {shown}{more}: no part of a {config.family} model with {config.layers} layers")


def _check_shapes(
    names: Sequence[str],
    ours: Sequence[int],
    found: Mapping[str, str],
    entries: Mapping[str, TensorEntry],
    path: Path,
) -> None:
    wanted = (ours[0] // len(names), *ours[1:])
    for name in names:
        if name not in found:
            raise BertsmithError(f"{path}: {name} is missing")
        entry = entries[found[name]]
        if entry.shape != wanted:
            raise BertsmithError(f"{path}: {found[name]} has shape {entry.shape}; config.json makes it {wanted}")
        if entry.dtype not in WEIGHT_TYPES:
            raise BertsmithError(
                f"{path}: {found[name]} has dtype {entry.dtype}; weights are {', '.join(WEIGHT_TYPES)}"
            )


def _shown(value: object) -> str:
    return repr(value)[:60]
