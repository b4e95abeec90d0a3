"""The two sides that benchmarks/pretraining.py compares: bertsmith's loop and Hugging Face's Trainer.

Both train the same masked language model from the same weights over the same corpus, and both report the seconds of
every step, data included.
"""

from __future__ import annotations

import itertools
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from bertsmith.batch import Batch, Target, flat_batch
from bertsmith.data.batches import BatchSource
from bertsmith.data.config import CutConfig, MaskingConfig
from bertsmith.data.corpus import Corpus
from bertsmith.data.cuts.examples import STARTS, Examples
from bertsmith.data.loader import stream
from bertsmith.data.masking import mask
from bertsmith.models.config import EncoderConfig
from bertsmith.models.folder import save_model
from bertsmith.models.model import build_model
from bertsmith.objectives.table import OBJECTIVES
from bertsmith.training.config import TrainingConfig
from bertsmith.training.device import DTYPES, Device, compile_layers
from bertsmith.training.loop import steps
from bertsmith.training.optimizers import Optimizer
from bertsmith.training.state import State

LENGTH = 128
IGNORED = -100  # Hugging Face's label of a position that is not predicted
MINI = EncoderConfig(vocab_size=30_522, hidden_size=256, layers=4, heads=4)
MODELS = {  # encoder, sequences per step
    "tiny": (replace(MINI, hidden_size=128, layers=2, heads=2), 32),
    "mini": (MINI, 32),
    "small": (replace(MINI, hidden_size=512, heads=8), 32),
    "base": (replace(MINI, hidden_size=768, layers=12, heads=12), 16),
    "albert-mini": (
        replace(MINI, family="albert", vocab_size=30_000, embedding_size=128, sharing="all", activation="gelu_tanh"),
        32,
    ),
    "roberta-mini": (
        replace(MINI, family="roberta", vocab_size=50_265, position_offset=2, token_types=1, layer_norm_eps=1e-5),
        32,
    ),
}


@dataclass(frozen=True)
class Setting:
    """What both sides are told."""

    size: str
    precision: str
    dropout: float = 0.1
    learning_rate: float = 1e-4
    steps: int = 1000
    warmup: float = 0.0  # with any, the two count the linear decay from different steps
    seed: int = 0

    @property
    def batch_size(self) -> int:
        """Sequences per step."""
        return MODELS[self.size][1]

    def encoder(self) -> EncoderConfig:
        """The model."""
        return replace(MODELS[self.size][0], dropout=self.dropout, attention_dropout=self.dropout)

    def training(self) -> TrainingConfig:
        """The optimisation: AdamW as the Trainer has it."""
        return TrainingConfig(
            steps=self.steps,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            warmup=self.warmup,
            optimizer="adamw",
            beta2=0.999,
            epsilon=1e-6,
            weight_decay=0.01,
        )


def batches_of(corpus: Corpus, setting: Setting) -> BatchSource:
    """masked_lm over full_sentences, masked anew every epoch, 15 %."""
    cut = CutConfig(name="full_sentences", length=LENGTH)
    masking = MaskingConfig(budget="stochastic", copies=0)
    return BatchSource(corpus, cut, masking, setting.batch_size, setting.seed, objectives=("masked_lm",))


def full_batches(corpus: Corpus, setting: Setting) -> Iterator[list[Batch]]:
    """Steps over the rows that the Trainer gets, every one full, masked by bertsmith."""
    rows, special = PlainRows(corpus, 0).rows, corpus.tokenizer.special
    size, masking = setting.batch_size, MaskingConfig(budget="stochastic", copies=0)
    lengths, labels = np.full(size, LENGTH), np.full(size, -1)
    for step in itertools.count():
        chosen = np.arange(step * size, (step + 1) * size) % len(rows)
        ids = np.array([rows[i] for i in chosen]).reshape(-1)
        units = np.full(len(ids), STARTS, dtype=np.uint8)
        examples = Examples(ids, np.zeros_like(ids), units, lengths, labels)
        masked = mask(examples, masking, special, corpus.vocab_size, setting.seed, step, chosen)
        target = Target(torch.from_numpy(masked.rows), torch.from_numpy(masked.labels))
        tokens = torch.from_numpy(masked.token_ids)
        yield [flat_batch(tokens, torch.zeros_like(tokens), torch.from_numpy(lengths), {"masked_lm": target})]


class Ours:
    """bertsmith's training loop; `run(n)` makes n steps and returns their seconds and mean losses.

    It trains on `batches`, by default on the corpus cut into full_sentences.
    """

    def __init__(
        self,
        corpus: Corpus,
        setting: Setting,
        *,
        compiled: bool = False,
        batches: Iterator[list[Batch]] | None = None,
    ) -> None:
        model = build_model(setting.encoder(), ("masked_lm",), seed=setting.seed)
        device = Device(torch.device("cpu"))
        optimizer = Optimizer(model, setting.training(), DTYPES[setting.precision])
        if compiled:
            compile_layers(model.encoder.layers)
        self.state = State(model, [OBJECTIVES["masked_lm"]], optimizer, setting.seed)
        batches = batches or stream(batches_of(corpus, setting), 0, setting.steps, 0)
        self._steps = steps(self.state, batches, setting.training(), device)

    def run(self, count: int) -> tuple[list[float], list[float]]:
        """Seconds and mean loss of each of the next `count` steps."""
        made = [next(self._steps) for _ in range(count)]
        return [step.seconds for step in made], [step.losses["masked_lm"] / step.counts["masked_lm"] for step in made]


class PlainRows(Dataset):
    """The corpus cut into rows as run_mlm.py's group_texts leaves them: unmasked lists of ids, all of one length."""

    def __init__(self, corpus: Corpus, rows: int) -> None:
        ids = torch.from_numpy(corpus.parts[0].token_ids.astype("int64"))
        self.rows = ids[: len(ids) // LENGTH * LENGTH].view(-1, LENGTH).tolist()
        self.size = rows

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {"input_ids": self.rows[index % len(self.rows)]}


class OurRows(Dataset):
    """bertsmith's own masked batches, one per item, padded: for loss curves over the same input."""

    def __init__(self, source: BatchSource, size: int, position_offset: int) -> None:
        self.source, self.size, self.position_offset = source, size, position_offset

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        (batch,) = self.source.step(index)
        return padded(batch, self.position_offset)


def padded(batch: Batch, position_offset: int = 0) -> dict[str, Tensor]:
    """A flat batch as Hugging Face wants it: (sequences, longest), labels -100 where nothing is predicted.

    Positions are given: RoBERTa's would be counted from the tokens that are not its padding, an id that means something
    else in the corpus's vocabulary.
    """
    labels = torch.full_like(batch.token_ids, IGNORED)
    target = batch.targets["masked_lm"]
    labels[target.rows] = target.labels
    pieces = batch.lengths.tolist()

    def grid(flat: Tensor, fill: int) -> Tensor:
        return torch.nn.utils.rnn.pad_sequence(list(flat.split(pieces)), batch_first=True, padding_value=fill)

    return {
        "input_ids": grid(batch.token_ids, 0),
        "attention_mask": grid(torch.ones_like(batch.token_ids), 0),
        "position_ids": grid(batch.positions + position_offset, 0),
        "labels": grid(labels, IGNORED),
    }


class Theirs:
    """Hugging Face's Trainer as run_mlm.py uses it; every `run` is a Trainer of its own over the same model."""

    def __init__(self, corpus: Corpus, setting: Setting) -> None:
        from transformers import AutoModelForMaskedLM

        self.corpus, self.setting = corpus, setting
        with tempfile.TemporaryDirectory() as folder:
            ours = build_model(setting.encoder(), ("masked_lm",), seed=setting.seed)
            save_model(ours, Path(folder), pad_token_id=max(0, ours.config.position_offset - 1))
            self.model = AutoModelForMaskedLM.from_pretrained(folder)

    def run(self, count: int, source: BatchSource | None = None) -> tuple[list[float], list[float]]:
        """Seconds and loss of each of `count` steps; over `source`'s batches, else with its own collator."""
        from transformers import DataCollatorForLanguageModeling, Trainer

        watch = _watch()
        own = source is None
        data: Dataset = (
            PlainRows(self.corpus, count * self.setting.batch_size) if own else self._our_rows(source, count)
        )
        collator = DataCollatorForLanguageModeling(_tokenizer(self.corpus), mlm_probability=0.15)
        with tempfile.TemporaryDirectory() as folder:
            arguments = self._arguments(folder, count, own)
            trainer = Trainer(
                model=self.model,
                args=arguments,
                train_dataset=data,
                data_collator=collator if own else lambda items: items[0],
                callbacks=[watch],
            )
            if not own:
                trainer._get_train_sampler = lambda *_: torch.utils.data.SequentialSampler(data)  # type: ignore
            trainer.train()
        return watch.seconds, watch.losses

    def _our_rows(self, source: BatchSource, count: int) -> OurRows:
        return OurRows(source, count, self.setting.encoder().position_offset)

    def _arguments(self, folder: str, count: int, own: bool) -> Any:
        from transformers import TrainingArguments

        setting = self.setting
        return TrainingArguments(
            output_dir=folder,
            per_device_train_batch_size=setting.batch_size if own else 1,
            max_steps=count,
            learning_rate=setting.learning_rate,
            warmup_steps=0 if own else int(setting.warmup * setting.steps),
            weight_decay=0.01,
            adam_epsilon=1e-6,
            bf16=setting.precision == "bf16",
            use_cpu=True,
            seed=setting.seed,
            report_to=[],
            logging_steps=10_000 if own else 1,
            save_strategy="no",
            disable_tqdm=True,
            remove_unused_columns=False,
        )


def _watch() -> Any:
    from transformers import TrainerCallback

    class Watch(TrainerCallback):
        def __init__(self) -> None:
            self.seconds: list[float] = []
            self.losses: list[float] = []
            self._last = 0.0

        def on_train_begin(self, *_: Any, **__: Any) -> None:
            self._last = time.perf_counter()

        def on_step_end(self, *_: Any, **__: Any) -> None:
            now = time.perf_counter()
            self.seconds.append(now - self._last)
            self._last = now

        def on_log(self, *_: Any, logs: dict[str, float] | None = None, **__: Any) -> None:
            if logs and "loss" in logs:
                self.losses.append(logs["loss"])

    return Watch()


def _tokenizer(corpus: Corpus) -> Any:
    from transformers import AutoTokenizer

    assert corpus.folder is not None, "a corpus on disk"
    return AutoTokenizer.from_pretrained(corpus.folder / "tokenizer")


def validation_loss(model: Any, batches: Iterator[Batch], *, ours: bool, position_offset: int = 0) -> float:
    """Mean masked_lm loss over batches, in fp32, without dropout."""
    model.eval()
    total, count = 0.0, 0
    with torch.inference_mode():
        for batch in batches:
            size = OBJECTIVES["masked_lm"].count(batch)
            if ours:
                total += float(OBJECTIVES["masked_lm"].score(model, model(batch), batch).loss)
            else:
                total += float(model(**padded(batch, position_offset)).loss) * size
            count += size
    model.train()
    return total / count
