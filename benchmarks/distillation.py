"""Distilling beside a plain loop of PyTorch and transformers with the same three losses, and beside its own parts.

    python benchmarks/distillation.py --corpus CORPUS --teacher RUN [--batch 16] [--steps 20] [--rounds 3] [--threads 0]
        [--precision bf16]

The student is DistilBERT's shape: half of the teacher's layers, from its weights. All sides train on the same batches
of full_sentences (128 tokens, 15 % masked): 5 x KL at temperature 2 over all tokens, 2 x masked tokens, 1 x cosine.
Sides take turns, each time in a process of its own; seconds are medians over the steps after three that do not count.

    ours      a step of bertsmith
    teacher   its teacher alone: a forward pass and the logits of every token over the vocabulary, thrown away
    student   the same student without a teacher: a step with the loss of the masked tokens, and one over the vocabulary
              at every token in place of the KL
    theirs    DistilBertForMaskedLM taught by the teacher in transformers' own class; in bf16 both under autocast

`overhead` is ours over the sum of teacher and student, `ratio` theirs over ours. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from bertsmith.batch import Batch, Target
from bertsmith.data.batches import BatchSource
from bertsmith.data.config import CutConfig, MaskingConfig
from bertsmith.data.corpus import Corpus
from bertsmith.models.folder import save_model
from bertsmith.models.layout import filled_rows
from bertsmith.models.model import Model, build_model
from bertsmith.objectives.config import DistillationConfig
from bertsmith.objectives.distillation import Distillation
from bertsmith.objectives.masked_lm import MaskedLM
from bertsmith.objectives.objective import Objective, Score
from bertsmith.objectives.vocabulary_loss import vocabulary_loss
from bertsmith.tasks.trained import model_folder
from bertsmith.training.config import TrainingConfig
from bertsmith.training.device import DTYPES, Device
from bertsmith.training.loop import steps
from bertsmith.training.optimizers import Optimizer
from bertsmith.training.state import State
from bertsmith.training.student import load_teacher, take_from_teacher

os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

WARM_UP = 3
LENGTH = 128
LOSSES = DistillationConfig()


def batches_of(arguments: argparse.Namespace) -> Iterator[list[Batch]]:
    """The batches that every side sees, in the same order."""
    cut, masking = CutConfig(name="full_sentences", length=LENGTH), MaskingConfig(copies=0)
    corpus = Corpus.open(arguments.corpus)
    source = BatchSource(corpus, cut, masking, arguments.batch, 0, objectives=("masked_lm",))
    return (source.step(number) for number in itertools.count())


def student_of(teacher: Model) -> Model:
    """Half the teacher's layers, from its weights, without dropout."""
    shape = teacher.config
    family = "distilbert" if shape.family == "bert" else shape.family
    types = 0 if family == "distilbert" else shape.token_types
    halved = replace(shape, family=family, token_types=types, layers=max(1, shape.layers // 2))
    student = build_model(replace(halved, dropout=0.0, attention_dropout=0.0), ("masked_lm",), 0)
    take_from_teacher(student, teacher, LOSSES)
    return student


class EveryToken:
    """A loss over the vocabulary at every token: what a KL costs, without a teacher."""

    name, heads, weight = "distillation", ("masked_lm",), 1.0

    def count(self, batch: Batch) -> int:
        """All tokens."""
        return batch.token_ids.numel()

    def score(self, model: Model, encoded: Any, batch: Batch) -> Score:
        """Each token's own id is the label."""
        head, words = model.masked_lm_head()
        found = vocabulary_loss(head.features(filled_rows(encoded.hidden_states)), words, head.bias, batch.token_ids)
        return Score(found.loss, found.correct, self.count(batch))


def trained(arguments: argparse.Namespace, objectives: Callable[[Model, Model], list[Objective]]) -> list[float]:
    """Seconds of bertsmith's steps with these objectives of (student, teacher)."""
    corpus = Corpus.open(arguments.corpus)
    dtype = DTYPES[arguments.precision]
    teacher = load_teacher(arguments.teacher, corpus.tokenizer)
    student = student_of(teacher)
    config = TrainingConfig(steps=10**6, batch_size=arguments.batch, optimizer="adamw", weight_decay=0.0, clip=5.0)
    state = State(student, objectives(student, teacher.to(dtype)), Optimizer(student, config, dtype), 0)
    taken = steps(state, batches_of(arguments), config, Device(torch.device("cpu")))
    return [next(taken).seconds for _ in range(WARM_UP + arguments.steps)]


def ours(arguments: argparse.Namespace) -> list[float]:
    """Whole steps."""
    return trained(arguments, lambda student, teacher: [MaskedLM(LOSSES.mlm), Distillation(LOSSES, student, teacher)])


def student(arguments: argparse.Namespace) -> list[float]:
    """Steps without a teacher."""
    return trained(arguments, lambda *_: [MaskedLM(), EveryToken()])


def teacher(arguments: argparse.Namespace) -> list[float]:
    """The teacher's part of a step."""
    corpus, dtype = Corpus.open(arguments.corpus), DTYPES[arguments.precision]
    model = load_teacher(arguments.teacher, corpus.tokenizer).to(dtype).eval()
    head, words = model.masked_lm_head()
    seconds = []
    with torch.no_grad():
        for (batch,) in itertools.islice(batches_of(arguments), WARM_UP + arguments.steps):
            started = time.perf_counter()
            features = head.features(filled_rows(model(batch).hidden_states))
            for rows in features.split(64):
                torch.addmm(head.bias, rows, words.t())
            seconds.append(time.perf_counter() - started)
    return seconds


def theirs(arguments: argparse.Namespace) -> list[float]:
    """The plain loop."""
    from transformers import AutoModelForMaskedLM

    corpus = Corpus.open(arguments.corpus)
    taught_by = AutoModelForMaskedLM.from_pretrained(arguments.teacher).eval()
    with tempfile.TemporaryDirectory() as folder:
        own = student_of(load_teacher(arguments.teacher, corpus.tokenizer))
        save_model(own, Path(folder), pad_token_id=corpus.tokenizer.special.pad)
        learner = AutoModelForMaskedLM.from_pretrained(folder).train()
    optimizer = torch.optim.AdamW(learner.parameters(), lr=1e-4, betas=(0.9, 0.98), eps=1e-6, weight_decay=0.0)
    seconds = []
    for (batch,) in itertools.islice(batches_of(arguments), WARM_UP + arguments.steps):
        started = time.perf_counter()
        ids, mask = padded(batch)
        inside = mask.bool()
        with torch.autocast("cpu", torch.bfloat16, enabled=arguments.precision == "bf16"):
            with torch.no_grad():
                wanted = taught_by(input_ids=ids, attention_mask=mask, output_hidden_states=True)
            found = learner(input_ids=ids, attention_mask=mask, output_hidden_states=True)
            loss = _their_loss(found, wanted, inside, batch.targets["masked_lm"])
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(learner.parameters(), 5.0)
        optimizer.step()
        seconds.append(time.perf_counter() - started)
    return seconds


def _their_loss(found: Any, wanted: Any, inside: Tensor, target: Target) -> Tensor:
    logits, theirs = found.logits[inside].float(), wanted.logits[inside].float()
    temperature = LOSSES.temperature
    distance = F.kl_div(
        F.log_softmax(logits / temperature, -1), F.softmax(theirs / temperature, -1), reduction="batchmean"
    )
    states, given = found.hidden_states[-1][inside].float(), wanted.hidden_states[-1][inside].float()
    cosine = F.cosine_embedding_loss(states, given, states.new_ones(len(states)))
    masked = F.cross_entropy(logits[target.rows], target.labels)
    return LOSSES.kl * temperature**2 * distance + LOSSES.mlm * masked + LOSSES.cosine * cosine


def padded(batch: Batch) -> tuple[Tensor, Tensor]:
    """Ids and mask, both (sequences, longest)."""
    ids = torch.nn.utils.rnn.pad_sequence(list(batch.token_ids.split(batch.lengths.tolist())), batch_first=True)
    return ids, (torch.arange(ids.shape[1]) < batch.lengths[:, None]).long()


SIDES = {"ours": ours, "teacher": teacher, "student": student, "theirs": theirs}


def main() -> None:
    """Lets the sides take turns and prints their medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--teacher", type=Path, required=True)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="bf16")
    parser.add_argument("--only", choices=tuple(SIDES), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    arguments.teacher = model_folder(arguments.teacher)
    if arguments.only:
        print(json.dumps(statistics.median(SIDES[arguments.only](arguments)[WARM_UP:])))
        return
    line = [sys.executable, __file__]
    for name in ("corpus", "teacher", "batch", "steps", "threads", "precision"):
        line += [f"--{name}", str(getattr(arguments, name))]
    found: dict[str, list[float]] = {side: [] for side in SIDES}
    for _, side in itertools.product(range(arguments.rounds), SIDES):
        done = subprocess.run([*line, "--only", side], stdout=subprocess.PIPE, check=True, text=True)
        found[side].append(float(done.stdout.splitlines()[-1]))
    seconds = {side: statistics.median(values) for side, values in found.items()}
    overhead = seconds["ours"] / (seconds["teacher"] + seconds["student"])
    print(json.dumps({"overhead": overhead, "ratio": seconds["theirs"] / seconds["ours"], "seconds": seconds, **found}))


if __name__ == "__main__":
    main()
