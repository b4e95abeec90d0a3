"""Strict TOML to frozen dataclasses: every mistake is reported, in one line each, with the nearest valid key.

A config is a frozen dataclass of numbers, names, tuples and other configs. Ranges are pydantic annotations
(`Annotated[int, Field(ge=1)]`), help is `field(metadata={"help": ...})`. This module knows nothing of BERT.
"""

from __future__ import annotations

import difflib
import json
import math
import tomllib
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import MISSING, Field, is_dataclass
from dataclasses import fields as dataclass_fields
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from bertsmith.errors import UsageError

C = TypeVar("C")
Values = dict[str, Any]
Place = str | Callable[[str], str]
Override = str | int | float | bool | Sequence[Any]  # text as typed by a user, or a value from Python


# --- reading ----------------------------------------------------------------------------------------------------


def read(path: Path) -> Values:
    """The tables of a TOML file; UsageError naming file and line when it cannot be read."""
    try:
        return tomllib.loads(Path(path).read_text(encoding="utf-8-sig"))
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{path}: {str(error)[:1].lower()}{str(error)[1:]}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: is not UTF-8 text (byte {error.start})") from error
    except (OSError, RecursionError) as error:
        raise UsageError(f"{path}: {getattr(error, 'strerror', None) or error}") from error


def line_of(path: Path, key: str) -> int:
    """The line (from 1) of a TOML file that sets a dotted key, or 0. Only for messages: tomllib keeps no lines."""
    section = ""
    for number, line in enumerate(Path(path).read_text(encoding="utf-8-sig").splitlines(), 1):
        text = line.strip()
        if text.startswith("["):
            section = text.strip("[] ").split("#")[0].strip("[] ").replace(" ", "")
            if section == key:
                return number
        elif "=" in text:
            name = text.split("=")[0].strip().strip("\"'").replace(" ", "")
            if f"{section}.{name}".lstrip(".") == key:
                return number
    return 0


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> Values:
    """`over` on top of `base`: tables merge, everything else (lists too) is replaced."""
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        merged[key] = merge(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return merged


# --- building ---------------------------------------------------------------------------------------------------


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
        mistakes.append(f"{place(prefix.rstrip('.'))}: wants a table, not {_shown(values)}")
        return None
    hints = _hints(cls)
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
                arguments[name] = _convert(hints[name], values[name])
            except ValueError as error:
                mistakes.append(f"{place(prefix + name)}: {error}")
    return None if mistakes else cls(**arguments)


def _convert(hint: Any, value: object) -> object:
    """Check one value strictly (5.5, "5" and true are no int); ValueError says what is wanted."""
    from pydantic import ValidationError

    try:
        return _adapter(hint).validate_python(_tuples(value))
    except ValidationError as error:
        details = error.errors()
        ranged = [
            d["msg"] for d in details if d["type"].startswith(("greater", "less", "finite", "multiple", "string_too"))
        ]
        if ranged:
            reason = ranged[0].replace("Input should be ", "").replace("String should have ", "")
            raise ValueError(f"must be {reason}, not {_shown(value)}") from None
        wanted = describe(hint)
        choices = [c for c in _literals(hint) if isinstance(c, str)]
        near = did_you_mean(value, choices) if isinstance(value, str) else ""
        raise ValueError(f"wants {wanted}, not {_shown(value)}{near}") from None


@cache
def _adapter(hint: Any) -> Any:
    from pydantic import ConfigDict, TypeAdapter

    return TypeAdapter(hint, config=ConfigDict(strict=True, allow_inf_nan=False))


@cache
def _hints(cls: type) -> dict[str, Any]:
    return get_type_hints(cls, include_extras=True)


def _tuples(value: object) -> object:
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value


def _shown(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else f"{text[:57]}..."


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """The ending `; did you mean X?` for the nearest known word, or nothing.

    Dotted keys: a similar name in the same table first, then a similar whole key, then a similar name elsewhere.
    """
    known = list(known)
    table, _, name = word.rpartition(".")
    beside = {key.rpartition(".")[2]: key for key in known if key.rpartition(".")[0] == table}
    elsewhere = {key.rpartition(".")[2]: key for key in reversed(known)}
    for wanted, choices, cutoff in (
        (name, beside, 0.6),
        (word, {key: key for key in known}, 0.75),
        (name, elsewhere, 0.75),
    ):
        near = difflib.get_close_matches(wanted, choices, 1, cutoff)
        if near:
            return f"; did you mean {choices[near[0]]}?"
    return ""


# --- types in words ---------------------------------------------------------------------------------------------


def describe(hint: Any) -> str:
    """A type in words: "a whole number", "one of fp32, bf16, auto"."""
    hint = _bare(hint)
    origin = get_origin(hint)
    if origin is Literal:
        values = [str(value) for value in get_args(hint)]
        return f'"{values[0]}"' if len(values) == 1 else f"one of {', '.join(values)}"
    if origin in (Union, types.UnionType):
        return " or ".join(describe(part) for part in get_args(hint))
    if origin is tuple:
        item = _bare(get_args(hint)[0])
        choices = ", ".join(str(choice) for choice in _literals(item))
        return f"a list of {choices or {str: 'names', int: 'whole numbers', float: 'numbers'}.get(item, 'values')}"
    return {int: "a whole number", float: "a number", bool: "true or false", str: "text"}.get(hint, str(hint))


def _bare(hint: Any) -> Any:
    return get_args(hint)[0] if get_origin(hint) is Annotated else hint


def _literals(hint: Any) -> list[object]:
    hint = _bare(hint)
    if get_origin(hint) is Literal:
        return list(get_args(hint))
    return [value for part in get_args(hint) if part is not Ellipsis for value in _literals(part)]


# --- overrides from the command line ----------------------------------------------------------------------------


def parse_overrides(cls: type, flags: Mapping[str, Override]) -> Values:
    """Nested values from dotted flags as typed by a user: {"training.save-every": "10"}. Values may be typed already.

    Types come from the config: numbers are strict, true and false are words, a list is "a,b" or TOML's ["a", "b"].
    """
    known = dict(_leaves(cls))
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
            value = _parse(known[key], text) if isinstance(text, str) else _convert(known[key], text)
            values = merge(values, _nested(key, value))
        except ValueError as error:
            mistakes.append(f"--{flag}: {error}")
    if mistakes:
        raise UsageError("\n".join(mistakes))
    return values


def _parse(hint: Any, text: str) -> object:
    first: ValueError | None = None
    for candidate in _readings(text, get_origin(_bare(hint)) is tuple):
        try:
            return _convert(hint, candidate)
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


def _nested(key: str, value: object) -> Values:
    for part in reversed(key.split(".")):
        value = {part: value}
    return cast(Values, value)


# --- what a config holds ----------------------------------------------------------------------------------------


def _leaves(cls: type, prefix: str = "") -> list[tuple[str, Any]]:
    leaves: list[tuple[str, Any]] = []
    for name, hint in ((f.name, _hints(cls)[f.name]) for f in dataclass_fields(cls)):
        if is_dataclass(hint):
            leaves += _leaves(cast(type, hint), f"{prefix}{name}.")
        else:
            leaves.append((prefix + name, hint))
    return leaves


def all_keys(cls: type) -> list[str]:
    """Every dotted key of a config and its parts."""
    return [key for key, _ in _leaves(cls)]


def fields(cls: type, prefix: str = "") -> list[tuple[str, str, Any, str]]:
    """(dotted key, type in words, default, help) of every value; the default is None where there is none."""
    rows: list[tuple[str, str, Any, str]] = []
    for field in dataclass_fields(cls):
        hint = _hints(cls)[field.name]
        if is_dataclass(hint):
            rows += fields(cast(type, hint), f"{prefix}{field.name}.")
        else:
            rows.append((prefix + field.name, describe(hint), _default(field), _help(field, hint)))
    return rows


def _default(field: Field[Any]) -> Any:
    if field.default is not MISSING:
        return field.default
    return None if field.default_factory is MISSING else field.default_factory()


def _help(field: Field[Any], hint: Any) -> str:
    if "help" in field.metadata:
        return str(field.metadata["help"])
    for part in get_args(hint)[1:] if get_origin(hint) is Annotated else ():
        text = part if isinstance(part, str) else getattr(part, "description", None)
        if text:
            return str(text)
    return ""


# --- writing and comparing --------------------------------------------------------------------------------------


def to_values(config: object) -> Values:
    """A config as nested tables of plain JSON-like values."""
    values: Values = {}
    for field in dataclass_fields(cast(Any, config)):
        value = getattr(config, field.name)
        values[field.name] = to_values(value) if is_dataclass(value) else _listed(value)
    return values


def _listed(value: object) -> object:
    return [_listed(item) for item in value] if isinstance(value, tuple | list) else value


def flat(config: object) -> Values:
    """A config's values by dotted key."""
    return flat_values(to_values(config))


def flat_values(values: Values, prefix: str = "") -> Values:
    """Nested tables by dotted key."""
    found: Values = {}
    for key, value in values.items():
        found |= flat_values(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return found


def dump(config: object) -> str:
    """A config, or its nested tables, as TOML: `build(type(config), tomllib.loads(text), "")` gives it back."""
    values = config if isinstance(config, dict) else to_values(config)
    return _dump(cast(Values, values), "").lstrip("\n")


def _dump(values: Values, prefix: str) -> str:
    lines = [f"{key} = {_toml(value)}\n" for key, value in values.items() if not isinstance(value, dict)]
    text = (f"\n[{prefix}]\n" if prefix and lines else "") + "".join(lines)
    for key, value in values.items():
        if isinstance(value, dict):
            text += _dump(value, f"{prefix}.{key}".lstrip("."))
    return text


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        if not math.isfinite(value):
            raise UsageError(f"{value} is not a number that a config can hold")
        return repr(value)
    if isinstance(value, list):
        return f"[{', '.join(_toml(item) for item in value)}]"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return str(value)


def differences(a: object, b: object) -> list[str]:
    """The dotted keys in which two configs (of any type) or nested tables differ."""
    left = to_values(a) if is_dataclass(a) else cast(Values, a)
    right = to_values(b) if is_dataclass(b) else cast(Values, b)
    return _differences(left, right, "")


def _differences(left: Mapping[str, Any], right: Mapping[str, Any], prefix: str) -> list[str]:
    keys = [*left, *(key for key in right if key not in left)]
    different = []
    for key in keys:
        a, b = left.get(key), right.get(key)
        if isinstance(a, dict) and isinstance(b, dict):
            different += _differences(a, b, f"{prefix}{key}.")
        elif (key in left) != (key in right) or a != b or type(a) is not type(b):
            different.append(prefix + key)
    return different
