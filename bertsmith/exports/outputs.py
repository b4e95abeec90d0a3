"""What an exported model gives: every trained head's scores under the names that Hugging Face's tools look for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from bertsmith.batch import Batch
from bertsmith.models.encoder import Encoded
from bertsmith.models.model import Model

LOGITS = "logits"
PAIR_LOGITS = "seq_relationship_logits"  # as BertForPreTraining names them beside those of the masked LM


class Output(NamedTuple):
    """per_token: one row for each token, else one for each sequence."""

    name: str
    per_token: bool


def outputs_of(model: Model) -> tuple[Output, ...]:
    """What this model gives: its task head alone, else its trained pretraining heads, else the encoder itself."""
    if model.task is not None:
        if model.task.kind == "span":
            return Output("start_logits", True), Output("end_logits", True)
        return (Output(LOGITS, model.task.kind == "tokens"),)
    heads = {"masked_lm": Output(LOGITS, True), "pair": Output(PAIR_LOGITS, False)}
    if trained := tuple(output for head, output in heads.items() if head in model.trained_heads):
        return trained
    states = Output("last_hidden_state", True)
    return (states,) if model.encoder.pooler is None else (states, Output("pooler_output", False))


def compute(model: Model, encoded: Encoded, lengths: Tensor) -> tuple[Tensor, ...]:
    """`outputs_of` the encoded sequences of these lengths, flat: (tokens, ...) or (sequences, ...).

    start_logits and end_logits are (tokens,), the scores of choices (sequences,).
    """
    if model.task is not None:
        scores = model.heads[model.task.kind](encoded, lengths)
        if model.task.kind == "span":
            return scores.unbind(-1)
        return (scores.squeeze(-1) if model.task.kind == "choice" else scores,)
    found: list[Tensor] = []
    if "masked_lm" in model.trained_heads:
        found.append(model.masked_lm(encoded.hidden_states))
    if "pair" in model.trained_heads:
        assert encoded.pooled is not None, "a model with a pair head has a pooler"
        found.append(model.pair(encoded.pooled))
    if not found:
        found = [encoded.hidden_states] + ([] if encoded.pooled is None else [encoded.pooled])
    return tuple(found)


def answer(model: Model, batch: Batch) -> tuple[Tensor, ...]:
    """`compute` of a batch by our own model."""
    with torch.inference_mode():
        return compute(model, model(batch), batch.lengths)


def worst(differences: Iterable[float]) -> float:
    """The largest of them; NaN where one is."""
    return float(torch.tensor(list(differences)).max())


def largest_difference(found: Sequence[Tensor], expected: Sequence[Tensor]) -> float:
    """The largest absolute difference of two models' outputs; NaN where either holds one."""
    differences = [(one.float() - other.float()).abs().max() for one, other in zip(found, expected, strict=True)]
    return float(torch.stack(differences).max())
