"""Plain nested values: read from TOML, laid over each other, compared, written."""

from __future__ import annotations

import json
import math
import tomllib
from collections.abc import Mapping
from dataclasses import fields as dataclass_fields
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any, cast

from bertsmith.errors import UsageError

Values = dict[str, Any]


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
