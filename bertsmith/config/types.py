"""What a config may hold: its keys, their types in words, and the check of one value."""

from __future__ import annotations

import difflib
import json
import types
from collections.abc import Iterable
from dataclasses import MISSING, Field, is_dataclass
from dataclasses import fields as dataclass_fields
from functools import cache
from typing import Annotated, Any, Literal, Union, cast, get_args, get_origin, get_type_hints


def convert(hint: Any, value: object) -> object:
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
            raise ValueError(f"must be {reason}, not {shown(value)}") from None
        wanted = describe(hint)
        choices = [c for c in _literals(hint) if isinstance(c, str)]
        near = did_you_mean(value, choices) if isinstance(value, str) else ""
        raise ValueError(f"wants {wanted}, not {shown(value)}{near}") from None


@cache
def _adapter(hint: Any) -> Any:
    from pydantic import ConfigDict, TypeAdapter

    return TypeAdapter(hint, config=ConfigDict(strict=True, allow_inf_nan=False))


@cache
def hints_of(cls: type) -> dict[str, Any]:
    """The types of a config's fields, annotations included."""
    return get_type_hints(cls, include_extras=True)


def _tuples(value: object) -> object:
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value


def shown(value: object) -> str:
    """A value as a message shows it."""
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


def is_list(hint: Any) -> bool:
    """Whether values of this type are lists."""
    return get_origin(_bare(hint)) is tuple


def _bare(hint: Any) -> Any:
    return get_args(hint)[0] if get_origin(hint) is Annotated else hint


def _literals(hint: Any) -> list[object]:
    hint = _bare(hint)
    if get_origin(hint) is Literal:
        return list(get_args(hint))
    return [value for part in get_args(hint) if part is not Ellipsis for value in _literals(part)]


def leaves(cls: type, prefix: str = "") -> list[tuple[str, Any]]:
    """(dotted key, type) of every value."""
    found: list[tuple[str, Any]] = []
    for name, hint in ((f.name, hints_of(cls)[f.name]) for f in dataclass_fields(cls)):
        if is_dataclass(hint):
            found += leaves(cast(type, hint), f"{prefix}{name}.")
        else:
            found.append((prefix + name, hint))
    return found


def all_keys(cls: type) -> list[str]:
    """Every dotted key of a config and its parts."""
    return [key for key, _ in leaves(cls)]


def fields(cls: type, prefix: str = "") -> list[tuple[str, str, Any, str]]:
    """(dotted key, type in words, default, help) of every value; the default is None where there is none."""
    rows: list[tuple[str, str, Any, str]] = []
    for field in dataclass_fields(cls):
        hint = hints_of(cls)[field.name]
        if is_dataclass(hint):
            rows += fields(cast(type, hint), f"{prefix}{field.name}.")
        else:
            rows.append((prefix + field.name, describe(hint), _default(field), _help(field, hint)))
    return rows


def defaults(cls: type) -> dict[str, Any]:
    """The default of every value that has one, by dotted key, as JSON knows it."""
    found = {key: default for key, _, default, _ in fields(cls) if default is not None}
    return {key: list(value) if isinstance(value, tuple) else value for key, value in found.items()}


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
