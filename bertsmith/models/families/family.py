"""What distinguishes a family: its base config and how Hugging Face names its weights and settings. Data only."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import Literal, NamedTuple

from bertsmith.errors import UsageError
from bertsmith.models.config import EncoderConfig, TaskKind

SETTINGS = {
    "vocab_size": "vocab_size",
    "hidden_size": "hidden_size",
    "num_hidden_layers": "layers",
    "num_attention_heads": "heads",
    "intermediate_size": "intermediate_size",
    "max_position_embeddings": "max_positions",
    "type_vocab_size": "token_types",
    "hidden_dropout_prob": "dropout",
    "attention_probs_dropout_prob": "attention_dropout",
    "hidden_act": "activation",
    "layer_norm_eps": "layer_norm_eps",
    "initializer_range": "init_std",
}
"""Keys of config.json -> our fields, as BERT has them and most families after it."""

ACTIVATIONS = {"gelu": "gelu", "gelu_new": "gelu_tanh", "gelu_pytorch_tanh": "gelu_tanh", "relu": "relu"}
"""Words of config.json -> ours; where two mean the same, the first is written."""


TASK_NAMES = {
    "heads.sequence.output": ("classifier",),
    "heads.tokens.output": ("classifier",),
    "heads.span.output": ("qa_outputs",),
    "heads.choice.output": ("classifier",),
}
"""Names of task heads. Several share one: which head a folder has is told by the class in its config.json."""

TASK_CLASSES: dict[TaskKind, str] = {
    "sequence": "ForSequenceClassification",
    "tokens": "ForTokenClassification",
    "span": "ForQuestionAnswering",
    "choice": "ForMultipleChoice",
}
"""What the name of a family's class with a task head ends with, and of the automatic class that loads it."""


class HeadForm(NamedTuple):
    """How a task head comes to its scores: what it reads, then dropout, then a dense layer with dropout, then scores.

    reads: every token, the pooled first token, or the first token as it leaves the last layer.
    drops_input: whether what it reads is dropped out. dense: activation of the dense layer; "" = there is none.
    """

    reads: Literal["tokens", "pooled", "first"]
    drops_input: bool = True
    dense: Literal["", "tanh", "relu"] = ""


TASK_FORMS: dict[TaskKind, HeadForm] = {
    "sequence": HeadForm("pooled"),
    "tokens": HeadForm("tokens"),
    "span": HeadForm("tokens", drops_input=False),
    "choice": HeadForm("pooled"),
}
"""Task heads as BERT has them (google-research/bert, run_classifier.py and run_squad.py) and most families after it."""


def _old_endings() -> dict[str, str]:
    return {".LayerNorm.gamma": ".LayerNorm.weight", ".LayerNorm.beta": ".LayerNorm.bias"}


@dataclass(frozen=True)
class NameTable:
    """Our parameter names to Hugging Face's.

    modules: our module name -> theirs; `{layer}` stands for the layer's number, `{group}` and `{inner}` for its group
        and its place among inner layers. Several names mean that our tensor is theirs stacked along the first axis, in
        this order (query, key, value).
    base_prefix: what a base class (no head) leaves out of its names on disk.
    tied: their second name of a weight -> its first name. Never written; when read it must be equal.
    ignored: buffers that older versions wrote.
    legacy: endings of old LayerNorm names -> today's.
    """

    modules: Mapping[str, tuple[str, ...]]
    base_prefix: str
    tied: Mapping[str, str]
    ignored: frozenset[str]
    legacy: Mapping[str, str] = field(default_factory=_old_endings)

    def translate(self, name: str, config: EncoderConfig) -> tuple[str, ...]:
        """Their names for our parameter of this name in an encoder of this shape."""
        module, _, ending = name.rpartition(".")
        numbered = re.search(r"\.layers\.(\d+)\.", module)
        if numbered is None:
            return tuple(f"{theirs}.{ending}" for theirs in self.modules[module])
        layer, inner = divmod(int(numbered.group(1)), config.inner_groups)
        places = {"layer": layer, "group": config.group_of(layer), "inner": inner}
        template = module.replace(numbered.group(0), ".layers.{layer}.")
        return tuple(f"{theirs.format(**places)}.{ending}" for theirs in self.modules[template])

    def modern(self, name: str, has_prefix: bool) -> str:
        """Today's full name of a weight found on disk."""
        for old, new in self.legacy.items():
            if name.endswith(old):
                name = name.removesuffix(old) + new
        of_head = name.split(".")[0] in self._head_prefixes
        return name if has_prefix or of_head else self.base_prefix + name

    @cached_property
    def _head_prefixes(self) -> frozenset[str]:
        heads = (several for ours, several in self.modules.items() if ours.startswith("heads."))
        return frozenset(theirs.split(".")[0] for several in heads for theirs in several)


@dataclass(frozen=True)
class Family:
    """One family of encoders.

    name: as in `model.family`. model_types: `model_type` of config.json; the first is written, all are read.
    base: what a key that is missing in config.json means, as in transformers, and what a field has to be for which the
        family has no setting. has_pooler: whether its base class has one.
    architectures: heads, sorted -> the Hugging Face class that has these. classes: head -> the automatic class that
        loads it; a head that is not there is one of ours alone, and they pass its weights over.
    settings: their key in config.json -> our field. activations: their word -> ours.
    fixed: their keys that must hold this value when present, since the encoder here is built so.
    own: our fields that no key of theirs holds one to one.
    task_forms: how its task heads are built. head_dropouts: their keys for the dropout of task heads, where it is not
        that of hidden states unless said; ours always is.
    positions_after_padding: positions are counted from `pad_token_id` + 1.
    """

    name: str
    model_types: tuple[str, ...]
    base: EncoderConfig
    has_pooler: bool
    names: NameTable
    architectures: Mapping[tuple[str, ...], str]
    classes: Mapping[str, str]
    settings: Mapping[str, str]
    activations: Mapping[str, str]
    fixed: Mapping[str, object]
    own: frozenset[str] = frozenset()
    task_forms: Mapping[TaskKind, HeadForm] = field(default_factory=lambda: TASK_FORMS)
    head_dropouts: tuple[str, ...] = ()
    positions_after_padding: bool = False

    @property
    def heads(self) -> frozenset[str]:
        """The pretraining heads that models of this family may have."""
        return frozenset(head for heads in self.architectures for head in heads)

    def task_class(self, kind: TaskKind) -> str:
        """The Hugging Face class with this kind of task head."""
        return self.architectures[()].removesuffix("Model") + TASK_CLASSES[kind]

    def check(self, config: EncoderConfig) -> None:
        """UsageError for a field of a resolved config that the family does not have."""
        base = replace(self.base, hidden_size=config.hidden_size).resolved()
        variable = {"family", *self.settings.values(), *self.own}
        for one in fields(config):
            found, only = getattr(config, one.name), getattr(base, one.name)
            if one.name not in variable and found != only:
                raise UsageError(f"model.{one.name} = {found!r}: with model.family = {self.name!r} it is {only!r}")
        if config.activation not in self.activations.values():
            known = " or ".join(dict.fromkeys(self.activations.values()))
            raise UsageError(
                f"model.activation = {config.activation!r}: with model.family = {self.name!r} it is {known}"
            )

    def on_disk(self, config: EncoderConfig) -> EncoderConfig:
        """The same function as Hugging Face's class spells it, for a resolved config.

        A class whose layers always share their weights has one group a layer where ours do not share all of them, and
        the mapping that it always has maps to itself where ours has none.
        """
        if self.base.sharing == "none":
            return config
        groups = config.groups if config.sharing == "all" else config.layers
        mapping = self.base.embedding_mapping
        return replace(config, sharing=self.base.sharing, groups=groups, embedding_mapping=mapping).resolved()
