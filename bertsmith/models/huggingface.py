"""Hugging Face's config.json against our config."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

from bertsmith.config import build
from bertsmith.errors import BertsmithError, UsageError
from bertsmith.models.config import EncoderConfig, TaskHead
from bertsmith.models.families import FAMILIES
from bertsmith.models.families.family import Family
from bertsmith.models.task_labels import task_to_json

RECORDED = "bertsmith"
"""Our key in config.json, which transformers passes over: fields that its own keys cannot tell."""


def config_to_json(
    config: EncoderConfig, heads: Sequence[str], pad_token_id: int, task: TaskHead | None = None
) -> dict[str, Any]:
    """config.json of a model with these pretraining heads, or this task head, whose class is named before theirs.

    UsageError when positions cannot be counted from the padding's id.
    """
    family = FAMILIES[config.family]
    require_padding(config, pad_token_id)
    values: dict[str, Any] = {
        "architectures": [family.architectures[tuple(sorted(heads))]],
        "model_type": family.model_types[0],
        "pad_token_id": pad_token_id,
        "dtype": "float32",
    }
    config = config.resolved()
    on_disk = family.on_disk(config)
    stored = replace(on_disk, max_positions=on_disk.max_positions + on_disk.position_offset)
    for theirs, ours in family.settings.items():
        value = getattr(stored, ours)
        values[theirs] = _spelled(family)[value] if ours == "activation" else value
    if task is not None:
        values.update(task_to_json(task, family, config.dropout))
    names = [field.name for field in fields(config)]
    untold = {name: getattr(config, name) for name in names if getattr(config, name) != getattr(on_disk, name)}
    return {**values, RECORDED: untold} if untold else values


def require_padding(config: EncoderConfig, pad_token_id: int) -> None:
    """UsageError when transformers, which counts RoBERTa's positions from the padding's id, would take other rows."""
    offset = pad_token_id + 1
    if FAMILIES[config.family].positions_after_padding and config.position_offset != offset:
        raise UsageError(
            f"model.position_offset = {config.position_offset}: must be {offset}, as the tokenizer's padding has the "
            f"id {pad_token_id}; set it, or prepare the corpus with a RoBERTa tokenizer (tokenizer.kind byte_bpe)"
        )


def remarks(config: EncoderConfig, heads: Sequence[str]) -> list[str]:
    """What to tell of a folder for Hugging Face that its classes cannot express, a line each."""
    config = config.resolved()
    family = FAMILIES[config.family]
    on_disk, told = family.on_disk(config), []
    if config.sharing != on_disk.sharing:
        told.append(
            f"transformers knows no {family.name} with model.sharing = {config.sharing!r}: config.json makes each of "
            f"{config.layers} layers a group and shared weights are written once for each; the function is the same"
        )
    if config.has_mapping != on_disk.has_mapping:
        told.append(
            f"transformers knows no {family.name} without a mapping of its embeddings: "
            "one that changes nothing is written"
        )
    for head in sorted(set(heads) - set(family.classes)):
        told.append(f"transformers has no {family.name} class with a {head} head: it passes over the head's weights")
    return told


def config_from_json(values: Mapping[str, Any], path: Path) -> EncoderConfig:
    """The resolved and checked config that config.json describes.

    Keys that say nothing about the encoder are passed over, a missing one has the value it has in transformers.
    BertsmithError, one line per mistake, naming the file and its key.
    """
    family = _family_of(values, path)
    for key, fixed in family.fixed.items():
        if key in values and values[key] != fixed:
            raise BertsmithError(f"{path}: {key} = {_shown(values[key])} is not supported, only {_shown(fixed)}")
    found = _settings(values, family, path)
    theirs_of = {ours: theirs for theirs, ours in family.settings.items()}
    config = _checked(found, family, theirs_of, path)
    recorded = values.get(RECORDED, {})
    if not isinstance(recorded, dict) or not set(recorded) <= family.own | {"groups"}:
        raise BertsmithError(f"{path}: {RECORDED} = {_shown(recorded)} is not what is written there")
    if not recorded:
        return config
    told = _checked({**found, **recorded}, family, {}, path)
    if family.on_disk(told) != config:
        raise BertsmithError(f"{path}: {RECORDED} = {_shown(recorded)} contradicts the other keys")
    return told


def _family_of(values: Mapping[str, Any], path: Path) -> Family:
    families = {model_type: family for family in FAMILIES.values() for model_type in family.model_types}
    model_type = values.get("model_type")
    if not isinstance(model_type, str) or model_type not in families:
        raise BertsmithError(f"{path}: model_type is {_shown(model_type)}; supported: {', '.join(families)}")
    return families[model_type]


def _settings(values: Mapping[str, Any], family: Family, path: Path) -> dict[str, Any]:
    """Our fields as config.json has them, not yet checked; positions still count the rows before the first."""
    base = family.base
    found = {**asdict(base), "intermediate_size": base.resolved().intermediate_size}
    found["max_positions"] += base.position_offset
    found.update({ours: values[theirs] for theirs, ours in family.settings.items() if theirs in values})
    theirs = next(theirs for theirs, ours in family.settings.items() if ours == "activation")
    activation = values.get(theirs, _spelled(family)[base.activation])
    if not isinstance(activation, str) or activation not in family.activations:
        raise BertsmithError(f"{path}: {theirs} is {_shown(activation)}; supported: {', '.join(family.activations)}")
    found["activation"] = family.activations[activation]
    if family.positions_after_padding:
        padding = values.get("pad_token_id", base.position_offset - 1)
        if type(padding) is not int or padding < 0:
            raise BertsmithError(f"{path}: pad_token_id is {_shown(padding)}; positions are counted from it")
        found["position_offset"] = padding + 1
    return found


def _checked(found: Mapping[str, Any], family: Family, theirs_of: Mapping[str, str], path: Path) -> EncoderConfig:
    """The resolved config of these fields; mistakes name their keys where they have one."""
    try:
        config = build(EncoderConfig, dict(found), lambda key: f"{path}: {theirs_of.get(key, key)}")
        for theirs, ours in family.settings.items():
            if ours in ("intermediate_size", "embedding_size") and not getattr(config, ours):
                raise UsageError(f"{path}: {theirs} is 0")
    except UsageError as error:
        raise BertsmithError(str(error)) from error
    usable = config.max_positions - config.position_offset
    if usable < 1:
        raise BertsmithError(
            f"{path}: {theirs_of.get('max_positions', 'max_positions')} = {config.max_positions} leaves no position "
            f"behind the first {config.position_offset}"
        )
    config = replace(config, max_positions=usable).resolved()
    try:
        config.check()
        family.check(config)
    except UsageError as error:
        message = str(error)
        for ours, theirs in theirs_of.items():
            message = message.replace(f"model.{ours} ", f"{theirs} ")
        raise BertsmithError(f"{path}: {message}") from error
    return config


def _spelled(family: Family) -> dict[str, str]:
    """Our word for an activation -> theirs, the first of several."""
    return {ours: theirs for theirs, ours in reversed(list(family.activations.items()))}


def _shown(value: object) -> str:
    return repr(value)[:60]
