"""Reading files that anyone may have written: bounded, regular, inside their folder, strict JSON."""

from __future__ import annotations

import json
import math
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bertsmith.errors import BertsmithError

LARGEST_CONFIG = 1 << 20  # bytes; published ones have 1 to 4 kB
LARGEST_HEADER = 10 << 20  # bytes; that of BERT-xlarge has 45 kB
ITEM_BYTES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1}
WEIGHT_TYPES = ("F64", "F32", "F16", "BF16")


@dataclass(frozen=True)
class TensorEntry:
    """One tensor of a safetensors file: its type as the format spells it ("F32"), and its shape."""

    dtype: str
    shape: tuple[int, ...]


def regular_file(folder: Path, name: str) -> Path:
    """The path of a regular file in a folder. BertsmithError when it is a link that leads out, a FIFO, a device, ..."""
    path = folder / name
    try:
        target = path.resolve(strict=True)
        mode = target.stat().st_mode
    except FileNotFoundError as error:
        raise BertsmithError(f"{path}: is missing") from error
    except (OSError, RuntimeError) as error:  # RuntimeError: a loop of links
        raise BertsmithError(f"{path}: {getattr(error, 'strerror', None) or error}") from error
    if not target.is_relative_to(folder.resolve()):
        raise BertsmithError(f"{path}: is a link to a file outside its folder; put the file itself there")
    if not stat.S_ISREG(mode):
        raise BertsmithError(f"{path}: is not a regular file")
    return path


def read_config(path: Path) -> dict[str, Any]:
    """The object in a small JSON file. BertsmithError for anything else."""
    try:
        with open(path, "rb") as file:
            data = file.read(LARGEST_CONFIG + 1)
    except OSError as error:
        raise BertsmithError(f"{path}: {error.strerror}") from error
    if len(data) > LARGEST_CONFIG:
        raise BertsmithError(f"{path}: is larger than {LARGEST_CONFIG:,} bytes")
    return parse_object(data, str(path))


def in_one_line(text: str, longest: int = 80) -> str:
    """A name from a file as a message may hold it: cut off, and nothing in it that breaks the line."""
    return repr(text[:longest])[1:-1]


def parse_object(data: bytes, where: str) -> dict[str, Any]:
    """A JSON object without duplicate keys, NaN or infinities; BertsmithError otherwise."""
    try:
        value = json.loads(data.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_refuse_constant)
    except UnicodeDecodeError as error:
        raise BertsmithError(f"{where}: is not UTF-8 (byte {error.start})") from error
    except RecursionError as error:
        raise BertsmithError(f"{where}: is nested too deeply") from error
    except ValueError as error:
        raise BertsmithError(f"{where}: is not valid JSON ({str(error)[:120]})") from error
    if not isinstance(value, dict):
        raise BertsmithError(f"{where}: holds no JSON object")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    unique = dict(pairs)
    if len(unique) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"the key {next(key for key in keys if keys.count(key) > 1)[:60]!r} occurs twice")
    return unique


def _refuse_constant(constant: str) -> float:
    raise ValueError(f"{constant} is no JSON number")


def read_safetensors_header(path: Path) -> dict[str, TensorEntry]:
    """The tensors of a safetensors file by name, once every statement of its header has been checked against its size.

    Types are known, sizes follow from shapes, and the tensors fill the data without overlap or gap. Reads the header
    only. BertsmithError naming the file and what is wrong.
    """
    try:
        size = path.stat().st_size
        with open(path, "rb") as file:
            header_bytes = int.from_bytes(file.read(8), "little")
            if size < 8 or header_bytes > size - 8:
                raise BertsmithError(f"{path}: is cut off or not a safetensors file")
            if header_bytes > LARGEST_HEADER:
                raise BertsmithError(f"{path}: has a header of {header_bytes:,} bytes, more than {LARGEST_HEADER:,}")
            header = parse_object(file.read(header_bytes), f"{path}: its header")
    except OSError as error:
        raise BertsmithError(f"{path}: {error.strerror}") from error
    header.pop("__metadata__", None)
    spans: list[tuple[int, int]] = []
    entries: dict[str, TensorEntry] = {}
    for name, described in header.items():
        entries[name], span = _parse_entry(path, name, described)
        spans.append(span)
    _require_tiling(path, sorted(spans), size - 8 - header_bytes)
    return entries


def _parse_entry(path: Path, name: str, described: Any) -> tuple[TensorEntry, tuple[int, int]]:
    where = f"{path}: the header's entry {name[:80]!r}"
    if not isinstance(described, dict) or set(described) != {"dtype", "shape", "data_offsets"}:
        raise BertsmithError(f"{where} must have dtype, shape and data_offsets")
    dtype, shape, offsets = described["dtype"], described["shape"], described["data_offsets"]
    if not isinstance(dtype, str) or dtype not in ITEM_BYTES:
        raise BertsmithError(f"{where} has the unknown dtype {str(dtype)[:20]!r}")
    if not _are_sizes(shape) or len(shape) > 8:
        raise BertsmithError(f"{where} has no valid shape")
    if not _are_sizes(offsets) or len(offsets) != 2 or offsets[0] > offsets[1]:
        raise BertsmithError(f"{where} has no valid data_offsets")
    if offsets[1] - offsets[0] != math.prod(shape) * ITEM_BYTES[dtype]:
        raise BertsmithError(f"{where} takes {offsets[1] - offsets[0]} bytes, which its dtype and shape do not need")
    return TensorEntry(dtype, tuple(shape)), (offsets[0], offsets[1])


def _are_sizes(values: Any) -> bool:
    return isinstance(values, list) and all(type(value) is int and 0 <= value < 1 << 48 for value in values)


def _require_tiling(path: Path, spans: list[tuple[int, int]], data_bytes: int) -> None:
    end = 0
    for start, stop in spans:
        if start != end:
            raise BertsmithError(f"{path}: its header lets tensors {'overlap' if start < end else 'leave gaps'}")
        end = stop
    if end != data_bytes:
        raise BertsmithError(f"{path}: has {data_bytes:,} bytes of tensors where its header names {end:,}")
