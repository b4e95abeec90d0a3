"""Validation on fixed masks, beside what a guess without any context would score."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from bertsmith import interrupt
from bertsmith.batch import Batch
from bertsmith.data.batches import BatchSource
from bertsmith.data.corpus import Corpus
from bertsmith.training.config import TrainingConfig
from bertsmith.training.device import Device, eager_only
from bertsmith.training.plan import PretrainingPlan
from bertsmith.training.state import State

SEQUENCES_AT_ONCE = 32  # bounds the memory of the logits


class Baselines:
    """Two guesses that read nothing: every token alike, and every token as often as in the training text."""

    def __init__(self, corpus: Corpus) -> None:
        counts = torch.from_numpy(corpus.token_counts()).double()
        shares = counts / counts.sum().clamp(min=1)
        self.uniform = math.log(corpus.vocab_size)
        self.unigram = float(-(shares * shares.clamp(min=1e-300).log()).sum())
        self._log_shares = ((counts + 1) / (counts.sum() + counts.numel())).log()

    def unigram_sum(self, labels: Tensor) -> float:
        """The unigram guess's loss, in nats, summed over these labels (tokens,); unseen tokens count as seen once."""
        return float(-self._log_shares[labels].sum())


class Validation:
    """The same sequences with the same masks each time, spread evenly over the validation part of the corpus."""

    def __init__(self, plan: PretrainingPlan, corpus: Corpus, baselines: Baselines, device: Device) -> None:
        self._device, self._baselines = device, baselines
        self._batches = _fixed_batches(plan, corpus, device)
        self.sequences = int(device.sum([sum(batch.lengths.numel() for batch in self._batches)])[0])

    def run(self, state: State) -> dict[str, float]:
        """Mean losses and accuracies by objective, `loss` (their sum) and the baselines; {} when stopped by a signal.

        Dropout is off and the generator of training is left as it is found.
        """
        names = [objective.name for objective in state.objectives]
        sums = torch.zeros(len(names), 3, dtype=torch.float64)
        unigram, stopped = 0.0, 0.0
        state.model.eval()
        with torch.no_grad(), eager_only():
            for batch in self._batches:
                if interrupt.requested():
                    stopped = 1.0
                    break
                sums += _score(state, batch.to(self._device.torch_device))
                if "masked_lm" in batch.targets:
                    unigram += self._baselines.unigram_sum(batch.targets["masked_lm"].labels)
        state.model.train()
        *flat, unigram, stopped = self._device.sum([*sums.flatten().tolist(), unigram, stopped])
        if stopped:
            return {}
        values: dict[str, float] = {"loss": 0.0}
        for index, name in enumerate(names):
            loss, correct, count = flat[3 * index : 3 * index + 3]
            values[f"{name}_loss"] = loss / max(count, 1)
            values[f"{name}_accuracy"] = correct / max(count, 1)
            values["loss"] += values[f"{name}_loss"]
            if name == "masked_lm":
                values |= {"unigram_loss": unigram / max(count, 1), "uniform_loss": self._baselines.uniform}
        return {**values, "sequences": self.sequences}


def _score(state: State, batch: Batch) -> Tensor:
    """(objectives, 3) sums of loss, correct answers and targets."""
    encoded = state.model(batch)
    rows = []
    for objective in state.objectives:
        count = objective.count(batch)
        score = objective.score(state.model, encoded, batch) if count else None
        rows.append([float(score.loss), float(score.correct), count] if score else [0.0, 0.0, 0.0])
    return torch.tensor(rows, dtype=torch.float64)


def _fixed_batches(plan: PretrainingPlan, corpus: Corpus, device: Device) -> Sequence[Batch]:
    if corpus.document_count == 0:
        return []
    source = BatchSource(
        corpus,
        plan.cut,
        plan.masking,
        batch_size=device.world,
        seed=plan.seed,
        purpose="validation",
        objectives=plan.objectives.use,
    )
    rows = source.rows_per_epoch(0)
    chosen = min(rows, plan.training.validation_sequences)
    indices = (np.arange(chosen) * rows // max(chosen, 1))[device.rank :: device.world]
    at_once = SEQUENCES_AT_ONCE
    pieces = [indices[start : start + at_once] for start in range(0, len(indices), at_once)]
    return [source.make(0, piece).to_batch() for piece in pieces]


def interval(config: TrainingConfig) -> int:
    """Steps between validations: as asked, or a tenth of the run."""
    return config.validate_every or max(1, config.steps // 10)
