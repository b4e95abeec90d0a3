"""Validation on fixed masks, beside what a guess without any context would score."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from bertsmith import interrupt
from bertsmith.batch import Batch
from bertsmith.data.batches import BatchSource
from bertsmith.data.corpus import Corpus
from bertsmith.data.mixture import MixedCorpus
from bertsmith.training.config import TrainingConfig
from bertsmith.training.device import Device, eager_only
from bertsmith.training.plan import PretrainingPlan
from bertsmith.training.state import State

PROBED_SEQUENCES = 64  # about a thousand masked tokens
SEQUENCES_AT_ONCE = 32  # bounds the memory of the logits


class Baselines:
    """Two guesses that read nothing: every token alike, and every token as often as in the training text.

    rarity: of the masking in training (`masking.rarity`), which asks for rare tokens more often; `unigram` is what the
    best such guess loses there.
    """

    def __init__(self, corpus: Corpus | MixedCorpus, rarity: float = 0.0) -> None:
        counts = torch.from_numpy(corpus.token_counts()).double()
        asked = torch.where(counts > 0, counts ** (1 - rarity), 0.0)
        shares = asked / asked.sum().clamp(min=1)
        self.uniform = math.log(corpus.vocab_size)
        self.unigram = float(-(shares * shares.clamp(min=1e-300).log()).sum())
        self._log_shares = ((counts + 1) / (counts.sum() + counts.numel())).log()

    def unigram_sum(self, labels: Tensor) -> float:
        """The unigram guess's loss, in nats, summed over these labels (tokens,); unseen tokens count as seen once."""
        return float(-self._log_shares[labels].sum())


class Validation:
    """The same sequences with the same masks each time, spread evenly over the validation part of each corpus."""

    def __init__(
        self, plan: PretrainingPlan, corpus: Corpus | MixedCorpus, baselines: Baselines, device: Device
    ) -> None:
        self._device, self._baselines = device, baselines
        mixed = corpus if isinstance(corpus, MixedCorpus) else MixedCorpus(("",), (1.0,), (corpus,))
        self.names, self._shares = mixed.names, mixed.shares
        self._batches = [_fixed_batches(plan, one, len(mixed.corpora), device) for one in mixed.corpora]
        sizes = [sum(batch.lengths.numel() for batch in batches) for batches in self._batches]
        self._sequences = [int(size) for size in device.sum(sizes)]
        self.sequences = sum(self._sequences)

    def run(self, state: State) -> dict[str, float]:
        """Mean losses and accuracies by objective, `loss` (their weighted sum) and the baselines; {} when stopped by a
        signal.

        Of several corpora the means are those of each, weighted by their shares, and each one's own stand beside them
        as CORPUS/KEY. Dropout is off and the generator of training is left as it is found.
        """
        names = [objective.name for objective in state.objectives]
        weights = [objective.weight for objective in state.objectives]
        sums = torch.zeros(len(self.names), 3 * len(names) + 1, dtype=torch.float64)
        stopped = 0.0
        state.model.eval()
        with torch.no_grad(), eager_only():
            for place, batch in ((place, batch) for place, batches in enumerate(self._batches) for batch in batches):
                if interrupt.requested():
                    stopped = 1.0
                    break
                sums[place, :-1] += _score(state, batch.to(self._device.torch_device)).flatten()
                if "masked_lm" in batch.targets:
                    sums[place, -1] += self._baselines.unigram_sum(batch.targets["masked_lm"].labels)
        state.model.train()
        *flat, stopped = self._device.sum([*sums.flatten().tolist(), stopped])
        if stopped:
            return {}
        table = torch.tensor(flat, dtype=torch.float64).view_as(sums).tolist()
        return self._combined([self._means(names, weights, row) for row in table])

    def _means(self, names: Sequence[str], weights: Sequence[float], sums: Sequence[float]) -> dict[str, float]:
        """One corpus' values from its sums: loss, right answers and targets of each objective, and the unigram loss."""
        values: dict[str, float] = {"loss": 0.0}
        for index, name in enumerate(names):
            loss, correct, count = sums[3 * index : 3 * index + 3]
            values[f"{name}_loss"] = loss / max(count, 1)
            values[f"{name}_accuracy"] = correct / max(count, 1)
            values["loss"] += weights[index] * values[f"{name}_loss"]
            if name == "masked_lm":
                values |= {"unigram_loss": sums[-1] / max(count, 1), "uniform_loss": self._baselines.uniform}
        return values

    def _combined(self, each: Sequence[dict[str, float]]) -> dict[str, float]:
        """Means over the corpora by their shares; a corpus without validation sequences takes no part."""
        if len(each) == 1:
            return {**each[0], "sequences": self.sequences}
        present = [place for place, size in enumerate(self._sequences) if size]
        total = sum(self._shares[place] for place in present)
        values = {key: sum(self._shares[p] * each[p][key] for p in present) / total for key in each[0]}
        own = {f"{self.names[place]}/{key}": value for place in present for key, value in each[place].items()}
        return {**values, "sequences": self.sequences, **own}


def _score(state: State, batch: Batch) -> Tensor:
    """(objectives, 3) sums of loss, correct answers and targets."""
    encoded = state.model(batch)
    rows = []
    for objective in state.objectives:
        count = objective.count(batch)
        score = objective.score(state.model, encoded, batch) if count else None
        rows.append([float(score.loss), float(score.correct), count] if score else [0.0, 0.0, 0.0])
    return torch.tensor(rows, dtype=torch.float64)


def _fixed_batches(plan: PretrainingPlan, corpus: Corpus, corpora: int, device: Device) -> Sequence[Batch]:
    """This rank's sequences of one corpus, of which each may have its part of `validation_sequences`."""
    if corpus.document_count == 0:
        return []
    source = BatchSource(
        corpus,
        plan.cut,
        replace(plan.masking, rarity=0.0),  # so that the loss compares with that of other recipes
        batch_size=device.world,
        seed=plan.seed,
        purpose="validation",
        objectives=plan.objectives.use,
    )
    rows = source.rows_per_epoch(0)
    chosen = min(rows, -(-plan.training.validation_sequences // corpora))
    indices = (np.arange(chosen) * rows // max(chosen, 1))[device.rank :: device.world]
    at_once = SEQUENCES_AT_ONCE
    pieces = [indices[start : start + at_once] for start in range(0, len(indices), at_once)]
    return [source.make(0, piece).to_batch() for piece in pieces]


def probe_batches(plan: PretrainingPlan, corpora: Sequence[Corpus | MixedCorpus]) -> Sequence[Batch]:
    """A few masked sequences by which a head is judged, from the first part that has any; the same on every rank."""
    few = replace(plan, training=replace(plan.training, validation_sequences=PROBED_SEQUENCES))
    alone = Device(torch.device("cpu"))
    for mixed in corpora:
        for corpus in mixed.corpora if isinstance(mixed, MixedCorpus) else (mixed,):
            batches = _fixed_batches(few, corpus, 1, alone)
            if batches:
                return batches
    return []


def interval(config: TrainingConfig) -> int:
    """Steps between validations: as asked, or a tenth of the run, the last tenth being the shorter one."""
    return config.validate_every or max(1, -(-config.steps // 10))
