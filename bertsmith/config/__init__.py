"""Strict TOML to frozen dataclasses: every mistake is reported, in one line each, with the nearest valid key.

A config is a frozen dataclass of numbers, names, tuples and other configs. Ranges are pydantic annotations
(`Annotated[int, Field(ge=1)]`), help is `field(metadata={"help": ...})`. Nothing here knows of BERT.
"""

from bertsmith.config.building import Flags, Override, build, nested, parse_overrides
from bertsmith.config.types import all_keys, defaults, did_you_mean, fields
from bertsmith.config.values import Values, differences, dump, flat, flat_values, line_of, merge, read, to_values

__all__ = [
    "Flags",
    "Override",
    "Values",
    "all_keys",
    "build",
    "defaults",
    "did_you_mean",
    "differences",
    "dump",
    "fields",
    "flat",
    "flat_values",
    "line_of",
    "merge",
    "nested",
    "parse_overrides",
    "read",
    "to_values",
]
