"""The shape of an encoder. Free of torch, so that recipes are read at once."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Literal

from pydantic import Field

from bertsmith.errors import UsageError

MAX_PARAMETERS = 10_000_000_000
"""More than any encoder of this family ever had (BERT-xlarge: 1.3e9); guards against configs made to exhaust memory."""

MAX_LAYERS = 1024
"""More than any encoder has, counting a shared layer as often as it runs."""

MAX_LABELS = 4096
"""More classes than any task here has (IFLYTEK: 119); guards against free text taken for labels."""

MAX_LABEL_BYTES = 384 << 10
"""All labels of a task together as JSON; config.json holds them twice and is read up to one megabyte."""

TaskKind = Literal["sequence", "tokens", "span", "choice"]
Sharing = Literal["none", "attention", "ffn", "all"]
Probability = Annotated[float, Field(ge=0.0, lt=1.0, allow_inf_nan=False)]


def _help(default: Any, text: str) -> Any:
    return field(default=default, metadata={"help": text})


@dataclass(frozen=True)
class EncoderConfig:
    """Sizes and switches of an encoder; the defaults are BERT-base uncased as published (Devlin et al., 2018)."""

    family: str = _help("bert", "family of encoders")
    vocab_size: Annotated[int, Field(ge=1, le=1 << 24)] = _help(30522, "rows of the word embedding")
    hidden_size: Annotated[int, Field(ge=1, le=1 << 16)] = _help(768, "width of the encoder")
    embedding_size: Annotated[int, Field(ge=0, le=1 << 16)] = _help(0, "width of the embeddings; 0 = hidden_size")
    embedding_mapping: Literal["auto", "always"] = _help(
        "auto", "linear map from embedding_size to hidden_size: auto = only where they differ"
    )
    layers: Annotated[int, Field(ge=1, le=MAX_LAYERS)] = _help(12, "number of layers")
    heads: Annotated[int, Field(ge=1, le=1024)] = _help(12, "attention heads per layer")
    intermediate_size: Annotated[int, Field(ge=0, le=1 << 18)] = _help(0, "width of feed-forward; 0 = 4 x hidden_size")
    sharing: Sharing = _help("none", "which weights the layers of a group have in common")
    groups: Annotated[int, Field(ge=1, le=MAX_LAYERS)] = _help(1, "groups of layers, for the weights that are shared")
    inner_groups: Annotated[int, Field(ge=1, le=MAX_LAYERS)] = _help(1, "layers that run, one after another, as one")
    max_positions: Annotated[int, Field(ge=1, le=1 << 20)] = _help(512, "longest sequence in tokens")
    position_offset: Annotated[int, Field(ge=0, le=1 << 20)] = _help(
        0, "rows of the position embedding before that of the first token"
    )
    token_types: Annotated[int, Field(ge=0, le=1 << 10)] = _help(
        2, "number of token types (segments); 1 = all tokens alike, 0 = no embedding of types"
    )
    dropout: Probability = _help(0.1, "dropout of hidden states; on CPUs the nearest multiple of 1/256")
    attention_dropout: Probability = _help(0.1, "dropout of attention weights; on CPUs the nearest multiple of 1/256")
    activation: Literal["gelu", "gelu_tanh", "relu"] = _help("gelu", "activation; gelu is the exact (erf) form")
    layer_norm_eps: Annotated[float, Field(gt=0.0, lt=1.0, allow_inf_nan=False)] = _help(1e-12, "epsilon of LayerNorm")
    init_std: Annotated[float, Field(gt=0.0, le=1.0, allow_inf_nan=False)] = _help(
        0.02, "standard deviation of initial weights, cut at twice its value"
    )

    def resolved(self) -> EncoderConfig:
        """The same encoder with every size filled in, and spelled in one way where there are several.

        Groups say nothing where no weights are shared, nor does "always" where there is a mapping anyway.
        """
        embedding_size = self.embedding_size or self.hidden_size
        return replace(
            self,
            embedding_size=embedding_size,
            embedding_mapping="auto" if embedding_size != self.hidden_size else self.embedding_mapping,
            intermediate_size=self.intermediate_size or 4 * self.hidden_size,
            groups=1 if self.sharing == "none" else self.groups,
        )

    @property
    def has_mapping(self) -> bool:
        """Whether a linear map takes embeddings to the width of the encoder."""
        return self.embedding_mapping == "always" or self.embedding_size not in (0, self.hidden_size)

    def shares(self, part: Literal["attention", "ffn"]) -> bool:
        """Whether the layers of a group have this part in common, its LayerNorm included."""
        return self.sharing in (part, "all")

    def group_of(self, layer: int) -> int:
        """The group of a layer, both counted from 0; rounded as transformers does, so that odd divisions agree."""
        return int(layer / (self.layers / self.groups))

    def owner_of(self, part: Literal["attention", "ffn"], number: int) -> int:
        """The first layer whose weights of this part layer `number` uses; inner layers are counted one by one."""
        layer, inner = divmod(number, self.inner_groups)
        if self.shares(part):
            group = self.group_of(layer)
            layer = next(first for first in range(self.layers) if self.group_of(first) == group)
        return layer * self.inner_groups + inner

    def check(self) -> None:
        """Raises UsageError when fields contradict each other or ask for more than MAX_PARAMETERS."""
        if self.hidden_size % self.heads:
            raise UsageError(f"model.heads = {self.heads} does not divide model.hidden_size = {self.hidden_size}")
        if self.groups > self.layers:
            raise UsageError(f"model.groups = {self.groups} is more than model.layers = {self.layers}")
        if self.layers * self.inner_groups > MAX_LAYERS:
            raise UsageError(
                f"model.layers = {self.layers} with model.inner_groups = {self.inner_groups} makes more than the limit "
                f"of {MAX_LAYERS} layers"
            )
        parameters = self.estimate_parameters()
        if parameters > MAX_PARAMETERS:
            raise UsageError(
                f"the model would have {parameters:,} parameters, more than the limit of {MAX_PARAMETERS:,}"
            )

    def estimate_parameters(self) -> int:
        """Weights of embeddings and layers, without biases, norms and heads: known before anything is built."""
        config = self.resolved()
        rows = config.vocab_size + config.max_positions + config.position_offset + config.token_types
        embeddings = rows * config.embedding_size + config.has_mapping * config.embedding_size * config.hidden_size
        attention = 4 * config.hidden_size**2
        feed_forward = 2 * config.hidden_size * config.intermediate_size
        copies = {
            part: config.inner_groups * (config.groups if config.shares(part) else config.layers)
            for part in ("attention", "ffn")
        }
        return embeddings + copies["attention"] * attention + copies["ffn"] * feed_forward


@dataclass(frozen=True)
class TaskHead:
    """What a head on an encoder decides.

    kind: "sequence" = one label or number for a sequence, "tokens" = a label for each token, "span" = where an answer
        starts and ends, "choice" = which of several sequences is right.
    labels: id -> label; none for span and choice, one name ("score") for regression.
    regression: the one output of a sequence is a number.
    """

    kind: TaskKind
    labels: tuple[str, ...] = ()
    regression: bool = False

    @property
    def outputs(self) -> int:
        """Numbers that the head gives for each row it reads: one for a choice, start and end for a span."""
        return {"span": 2, "choice": 1}.get(self.kind) or len(self.labels)

    def check(self) -> None:
        """Raises UsageError when labels do not go with the kind, are not different, or are too many to be classes."""
        labels = self.labels
        if self.regression and (self.kind != "sequence" or len(labels) != 1):
            raise UsageError(f"regression is one number for a sequence, not {len(labels)} outputs of kind {self.kind}")
        if self.kind in ("span", "choice"):
            if labels:
                raise UsageError(f"a head of kind {self.kind} has no labels of its own, yet {len(labels)} are given")
            return
        if len(labels) < 2 and not self.regression:
            raise UsageError(f"labels: {len(labels)} given; at least two are needed to tell apart")
        if len(labels) > MAX_LABELS:
            raise UsageError(f"labels: {len(labels):,} different ones, more than the limit of {MAX_LABELS:,}")
        if len(set(labels)) < len(labels):
            twice = next(label for label in labels if labels.count(label) > 1)
            raise UsageError(f"labels: {twice[:60]!r} is there twice")
        if sum(len(json.dumps(label)) for label in labels) > MAX_LABEL_BYTES:
            raise UsageError(f"labels: longer than {MAX_LABEL_BYTES:,} bytes together; are they texts?")
