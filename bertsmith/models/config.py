"""The shape of an encoder. Free of torch, so that recipes are read at once."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Literal

from pydantic import Field

from bertsmith.errors import UsageError

MAX_PARAMETERS = 10_000_000_000
"""More than any encoder of this family ever had (BERT-xlarge: 1.3e9); guards against configs made to exhaust memory."""

Probability = Annotated[float, Field(ge=0.0, lt=1.0, allow_inf_nan=False)]


def _help(default: Any, text: str) -> Any:
    return field(default=default, metadata={"help": text})


@dataclass(frozen=True)
class EncoderConfig:
    """Sizes and switches of an encoder; the defaults are BERT-base uncased as published (Devlin et al., 2018)."""

    family: str = _help("bert", "family of encoders")
    vocab_size: Annotated[int, Field(ge=1, le=1 << 24)] = _help(30522, "rows of the word embedding")
    hidden_size: Annotated[int, Field(ge=1, le=1 << 16)] = _help(768, "width of the encoder")
    layers: Annotated[int, Field(ge=1, le=1024)] = _help(12, "number of layers")
    heads: Annotated[int, Field(ge=1, le=1024)] = _help(12, "attention heads per layer")
    intermediate_size: Annotated[int, Field(ge=0, le=1 << 18)] = _help(0, "width of feed-forward; 0 = 4 x hidden_size")
    max_positions: Annotated[int, Field(ge=1, le=1 << 20)] = _help(512, "longest sequence in tokens")
    token_types: Annotated[int, Field(ge=1, le=1 << 10)] = _help(2, "number of token types (segments)")
    dropout: Probability = _help(0.1, "dropout of hidden states; on CPUs the nearest multiple of 1/256")
    attention_dropout: Probability = _help(0.1, "dropout of attention weights; on CPUs the nearest multiple of 1/256")
    activation: Literal["gelu", "gelu_tanh", "relu"] = _help("gelu", "activation; gelu is the exact (erf) form")
    layer_norm_eps: Annotated[float, Field(gt=0.0, lt=1.0, allow_inf_nan=False)] = _help(1e-12, "epsilon of LayerNorm")
    init_std: Annotated[float, Field(gt=0.0, le=1.0, allow_inf_nan=False)] = _help(
        0.02, "standard deviation of initial weights, cut at twice its value"
    )

    def resolved(self) -> EncoderConfig:
        """The same config with intermediate_size filled in."""
        return self if self.intermediate_size else replace(self, intermediate_size=4 * self.hidden_size)

    def check(self) -> None:
        """Raises UsageError when fields contradict each other or ask for more than MAX_PARAMETERS."""
        if self.hidden_size % self.heads:
            raise UsageError(f"model.heads = {self.heads} does not divide model.hidden_size = {self.hidden_size}")
        parameters = self.estimate_parameters()
        if parameters > MAX_PARAMETERS:
            raise UsageError(
                f"the model would have {parameters:,} parameters, more than the limit of {MAX_PARAMETERS:,}"
            )

    def estimate_parameters(self) -> int:
        """Weights of embeddings and layers, without biases, norms and heads: known before anything is built."""
        config = self.resolved()
        embeddings = (config.vocab_size + config.max_positions + config.token_types) * config.hidden_size
        layer = 4 * config.hidden_size**2 + 2 * config.hidden_size * config.intermediate_size
        return embeddings + config.layers * layer
