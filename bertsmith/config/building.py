"""Configs from nested values, and from flags as typed by a user."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, is_dataclass
from dataclasses import fields as dataclass_fields
from typing import Any, TypeVar, cast

from bertsmith.config.types import all_keys, convert, did_you_mean, hints_of, is_list, leaves, shown
from bertsmith.config.values import Values, merge
from bertsmith.errors import UsageError

C = TypeVar("C")
Place = str | Callable[[str], str]
Override = str | int | float | bool | Sequence[Any]  # text as typed by a user, or a value from Python
Flags = Mapping[str, Override]  # fields by dotted key: {"training.steps": "300"}


def build(cls: type[C], values: Mapping[str, Any], where: Place) -> C:
    """A config from nested tables; UsageError with one line per mistake.

    `where` begins each line: a file name, or a function from the dotted key to its place.
    """
    place = where if callable(where) else lambda key: f"{where}: {key}" if where else key
    mistakes: list[str] = []
    keys = all_keys(cls)
    tables = dict.fromkeys(key.rpartition(".")[0] for key in keys if "." in key)
    built = _build(cls, values, "", place, mistakes, [*keys, *tables])
    if mistakes:
        raise UsageError("\n".join(mistakes))
    return cast(C, built)


def _build(
    cls: type, values: object, prefix: str, place: Callable[[str], str], mistakes: list[str], keys: list[str]
) -> object:
    if not isinstance(values, Mapping):
        mistakes.append(f"{place(prefix.rstrip('.'))}: wants a table, not {shown(values)}")
        return None
    hints = hints_of(cls)
    names = {f.name: f for f in dataclass_fields(cls)}
    for key in values:
        if key not in names:
            mistakes.append(f"{place(prefix + str(key))}: unknown key{did_you_mean(prefix + str(key), keys)}")
    arguments = {}
    for name, field in names.items():
        if name not in values:
            if field.default is MISSING and field.default_factory is MISSING:
                mistakes.append(f"{place(prefix + name)}: missing")
        elif is_dataclass(hints[name]):
            arguments[name] = _build(hints[name], values[name], f"{prefix}{name}.", place, mistakes, keys)
        else:
            try:
                arguments[name] = convert(hints[name], values[name])
            except ValueError as error:
                mistakes.append(f"{place(prefix + name)}: {error}")
    return None if mistakes else cls(**arguments)


def parse_overrides(cls: type, flags: Mapping[str, Override]) -> Values:
    """Nested values from dotted flags as typed by a user: {"training.save-every": "10"}. Values may be typed already.

    Types come from the config: numbers are strict, true and false are words, a list is "a,b" or TOML's ["a", "b"].
    """
    known = dict(leaves(cls))
    mistakes: list[str] = []
    values: Values = {}
    for flag, text in flags.items():
        key = flag.replace("-", "_")
        if key not in known:
            names = [name.replace("_", "-") for name in known]
            near = did_you_mean(flag.replace("_", "-"), names).replace("mean ", "mean --")
            mistakes.append(f"--{flag}: unknown flag{near}")
            continue
        try:
            value = _parse(known[key], text) if isinstance(text, str) else convert(known[key], text)
            values = merge(values, nested(key, value))
        except ValueError as error:
            mistakes.append(f"--{flag}: {error}")
    if mistakes:
        raise UsageError("\n".join(mistakes))
    return values


def _parse(hint: Any, text: str) -> object:
    first: ValueError | None = None
    for candidate in _readings(text, is_list(hint)):
        try:
            return convert(hint, candidate)
        except ValueError as error:
            if first is None or str(error).startswith("must be"):
                first = error
    assert first is not None
    raise first


def _readings(text: str, listed: bool) -> list[object]:
    """What a typed text can mean, best first: a TOML value, or itself."""
    readings: list[object] = []
    try:
        value = tomllib.loads(f"value = {text}")["value"] if "\n" not in text else text
        if isinstance(value, bool | int | float | str | list):
            readings.append(value)
    except (tomllib.TOMLDecodeError, KeyError, RecursionError):
        pass
    if listed:
        readings.append([part.strip() for part in text.split(",") if part.strip()])
    return [*readings, text]


def nested(key: str, value: object) -> Values:
    """A value under its dotted key, as nested tables."""
    for part in reversed(key.split(".")):
        value = {part: value}
    return cast(Values, value)
