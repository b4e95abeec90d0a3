"""How long, how fast and in which numbers a model is trained. Needs no torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import Field

from bertsmith.errors import UsageError

BUDGETS = ("steps", "epochs", "tokens", "minutes")
LARGEST_WARMUP = 0.2  # share of the steps: the published 10,000 warm-up steps teach nothing in a short run

Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0)]
Positive = Annotated[int, Field(ge=1)]
NotNegative = Annotated[float, Field(ge=0)]
Momentum = Annotated[float, Field(ge=0, lt=1)]
Unit = Literal["bias", "layer_norm"]


def _told(default: Any, text: str) -> Any:
    return field(default=default, metadata={"help": text})


@dataclass(frozen=True)
class TrainingConfig:
    """One training run; the defaults are BERT's as published (optimization.py, run_pretraining.py)."""

    steps: Count = _told(0, "budget in optimiser steps")
    epochs: NotNegative = _told(0.0, "budget in passes over the corpus")
    tokens: Count = _told(0, "budget in tokens read, special tokens included")
    minutes: NotNegative = _told(0.0, "budget in minutes: measured once, turned into steps, written into the recipe")
    batch_size: Positive = _told(256, "sequences per step, over all ranks and micro-batches")
    micro_batch: Count = _told(0, "most sequences per forward pass and rank; 0 = all at once")
    learning_rate: Annotated[float, Field(gt=0)] = _told(1e-4, "peak of the schedule")
    warmup: NotNegative = _told(0.01, "warm-up: a share of the steps below 1, a number of steps from 1 up")
    output_bias: Literal["zero", "unigram"] = _told(
        "zero", "bias of the vocabulary at step 0: zero as published, or the log frequency of every token in the corpus"
    )
    schedule: Literal["linear", "cosine", "wsd", "constant"] = _told("linear", "learning rate after the warm-up")
    decay_share: Share = _told(0.1, "schedule wsd: share of the steps in which the rate falls to 0 at the end")
    optimizer: Literal["adamw", "bert_adam", "lamb"] = _told(
        "bert_adam", "bert_adam = AdamW without bias correction; lamb = a rate of its own for every tensor"
    )
    beta1: Momentum = _told(0.9, "decay of the mean of gradients")
    beta2: Momentum = _told(0.999, "decay of the mean of squared gradients")
    epsilon: Annotated[float, Field(gt=0)] = _told(1e-6, "added to the root of the squared gradients")
    weight_decay: NotNegative = _told(0.01, "decoupled weight decay, times the learning rate")
    decay_exclusions: tuple[Unit, ...] = _told(("bias", "layer_norm"), "parameters that are not decayed")
    clip: NotNegative = _told(1.0, "largest global norm of the gradients; 0 = not clipped")
    precision: Literal["auto", "fp32", "bf16"] = _told("auto", "auto = bf16 where the machine is faster with it")
    compile: Literal["auto", "on", "off"] = _told("auto", "torch.compile; auto = where the run is long enough")
    activation_checkpointing: bool = _told(False, "compute layers twice instead of keeping what is inside them")
    threads: Count = _told(0, "threads of this process; 0 = all cores, shared by the ranks of a machine")
    workers: Count = _told(0, "processes that prepare batches; 0 = in the training process")
    save_every: Count = _told(1000, "steps between checkpoints; 0 = only at the end")
    keep: Positive = _told(2, "checkpoints kept")
    log_every: Positive = _told(10, "steps per line of metrics.jsonl")
    validate_every: Count = _told(0, "steps between validations; 0 = ten times a run")
    validation_sequences: Positive = _told(1000, "most sequences of the validation part that are scored")

    def check(self) -> None:
        """UsageError for what the ranges of single fields cannot say: the budget, and the warm-up against it."""
        given = [name for name in BUDGETS if getattr(self, name)]
        if not given:
            raise UsageError("training: no budget; set one of training.steps, .epochs, .tokens, .minutes")
        if len(given) > 1:
            names = " and ".join(f"training.{name}" for name in given)
            raise UsageError(f"training: {names} are both set; keep one budget and set the others to 0")
        if self.warmup < 1 and self.warmup > LARGEST_WARMUP:
            raise UsageError(f"training.warmup: {self.warmup:g} of the steps; at most {LARGEST_WARMUP:g} of them")
        if self.warmup > 1 and self.warmup % 1:
            raise UsageError(f"training.warmup: {self.warmup:g} is neither a share below 1 nor a whole number of steps")

    @property
    def budget(self) -> tuple[str, float]:
        """The unit and size of the budget: ("minutes", 5.0)."""
        return next((name, getattr(self, name)) for name in BUDGETS if getattr(self, name))


@dataclass(frozen=True)
class LongPhaseConfig:
    """A second phase on longer sequences at the end of the same run and schedule (BERT: 10 % of the steps at 512)."""

    share: Annotated[float, Field(ge=0, lt=1)] = _told(0.0, "share of the steps; 0 = no second phase")
    length: Annotated[int, Field(ge=8)] = _told(512, "tokens per sequence in the second phase")
    batch_size: Count = _told(0, "sequences per step in the second phase; 0 = as in the first")
    max_predictions: Count = _told(80, "most masked tokens per sequence in the second phase (budget rounded)")

    @property
    def shares(self) -> list[float]:
        """Of the steps, for each phase there is: one or two."""
        return [1 - self.share, self.share] if self.share else [1.0]
