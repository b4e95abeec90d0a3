"""What distinguishes a family: its base config and how Hugging Face names its weights and settings. Data only."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from bertsmith.models.config import EncoderConfig


@dataclass(frozen=True)
class NameTable:
    """Our parameter names to Hugging Face's.

    modules: our module name -> theirs; `{layer}` stands for the layer's number. Several names mean that our tensor is
        theirs stacked along the first axis, in this order (query, key, value).
    base_prefix: what a base class (no head) leaves out of its names on disk.
    tied: their second name of a weight -> its first name. Never written; when read it must be equal.
    ignored: buffers that older versions wrote.
    legacy: endings of old LayerNorm names -> today's.
    """

    modules: Mapping[str, tuple[str, ...]]
    base_prefix: str
    tied: Mapping[str, str]
    ignored: frozenset[str]
    legacy: Mapping[str, str]

    def translate(self, name: str) -> tuple[str, ...]:
        """Their names for our parameter of this name."""
        module, _, ending = name.rpartition(".")
        layer = re.search(r"\.layers\.(\d+)\.", module)
        if layer is None:
            return tuple(f"{theirs}.{ending}" for theirs in self.modules[module])
        template = module.replace(layer.group(0), ".layers.{layer}.")
        return tuple(f"{theirs}.{ending}".replace("{layer}", layer.group(1)) for theirs in self.modules[template])

    def modern(self, name: str, has_prefix: bool) -> str:
        """Today's full name of a weight found on disk."""
        for old, new in self.legacy.items():
            if name.endswith(old):
                name = name.removesuffix(old) + new
        return name if has_prefix or name.startswith("cls.") else self.base_prefix + name


@dataclass(frozen=True)
class Family:
    """name: as in `model.family`. base: the published base config. has_pooler: whether its base class has one.

    architectures: heads, sorted -> the Hugging Face class that has exactly these.
    settings: their key in config.json -> our field. values: their word -> ours, for fields that hold a word.
    fixed: their keys that must hold this value when present, since the encoder here is built so.
    """

    name: str
    base: EncoderConfig
    has_pooler: bool
    names: NameTable
    architectures: Mapping[tuple[str, ...], str]
    settings: Mapping[str, str]
    activations: Mapping[str, str]
    fixed: Mapping[str, object]
