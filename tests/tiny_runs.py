"""A corpus and a plan so small that a run takes about a second, and that run as a command of its own."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bertsmith import config
from bertsmith.data.config import CutConfig, MaskingConfig
from bertsmith.data.corpus import Corpus
from bertsmith.data.preparation import prepare_corpus
from bertsmith.models.config import EncoderConfig
from bertsmith.models.folder import save_model
from bertsmith.objectives.config import DistillationConfig, ObjectivesConfig
from bertsmith.text.config import TextConfig
from bertsmith.tokenizers.config import TokenizerConfig
from bertsmith.training.config import TrainingConfig
from bertsmith.training.plan import PretrainingPlan
from tests.tiny_models import tiny_model

ROOT = Path(__file__).resolve().parents[1]
TIMES = ("tokens_per_second", "data_wait", "seconds")  # of a metrics line: never the same twice


def write_text(path: Path, documents: int = 120, seed: int = 0) -> Path:
    """Documents of random made-up words, one sentence per line."""
    draw = random.Random(seed)
    words = ["".join(draw.choice("abcdefghij") for _ in range(draw.randint(2, 7))) for _ in range(300)]
    lines = []
    for _ in range(documents):
        for _ in range(draw.randint(2, 9)):
            chosen = [words[int(draw.random() ** 2 * len(words))] for _ in range(draw.randint(3, 15))]
            lines.append(" ".join(chosen) + ".")
        lines.append("")
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def make_corpus(folder: Path, documents: int = 120, seed: int = 0) -> Path:
    """A prepared corpus with a vocabulary of 300 tokens and a validation part."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    text = write_text(folder.with_suffix(".txt"), documents, seed)
    prepare_corpus(
        [str(text)],
        folder,
        TokenizerConfig(size=300),
        TextConfig(sentences="line", validation_share=0.1),
        workers=1,
    )
    return folder


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The corpus folder that runs share; they only read it."""
    yield make_corpus(tmp_path_factory.mktemp("corpus") / "corpus")


def tiny_plan(**training: Any) -> PretrainingPlan:
    """Two layers of width 32, dropout, new cuts and masks every epoch; one thread, so that tests can share cores."""
    values: dict[str, Any] = {
        "steps": 6,
        "batch_size": 8,
        "learning_rate": 3e-3,
        "warmup": 0.1,
        "precision": "fp32",
        "compile": "off",
        "threads": 1,
        "save_every": 3,
        "log_every": 1,
        "validate_every": 3,
        "validation_sequences": 16,
    }
    return PretrainingPlan(
        seed=0,
        model=EncoderConfig(hidden_size=32, layers=2, heads=2, max_positions=128),
        cut=CutConfig(length=64, copies=0),
        masking=MaskingConfig(copies=0),
        objectives=ObjectivesConfig(),
        training=TrainingConfig(**{**values, **training}),
        recipe_name="tiny",
    )


def without_dropout(plan: PretrainingPlan) -> PretrainingPlan:
    """The same plan with nothing random in the model."""
    return replace(plan, model=replace(plan.model, dropout=0.0, attention_dropout=0.0))


def distilling(distillation: DistillationConfig | None = None, **training: Any) -> PretrainingPlan:
    """The plan of a student of two layers, for a teacher made by `write_teacher`."""
    plan = tiny_plan(**training)
    use = ("masked_lm", "distillation")
    return replace(
        plan,
        model=replace(plan.model, family="distilbert", token_types=0),
        cut=replace(plan.cut, name="full_sentences"),
        masking=replace(plan.masking, rarity=0.7),
        objectives=ObjectivesConfig(use=use, distillation=distillation or DistillationConfig()),
    )


def write_teacher(corpus: Path, folder: Path, **model: Any) -> Path:
    """A model folder with four layers of random weights and the corpus' tokenizer."""
    text = Corpus.open(corpus)
    shape = replace(tiny_plan().model, layers=4, vocab_size=text.vocab_size, **model)
    folder.mkdir(exist_ok=True)
    save_model(tiny_model(config=shape.resolved()), folder, pad_token_id=text.tokenizer.special.pad)
    text.tokenizer.save(folder, 64)
    return folder


def write_recipe(path: Path, plan: PretrainingPlan) -> Path:
    """The plan as a recipe file."""
    path.write_text(config.dump(plan.values()), encoding="utf-8")
    return path


def command(*arguments: str | Path, torchrun: int = 0) -> list[str]:
    """The command line of `bertsmith ARGUMENTS`, under torchrun with that many ranks if asked for."""
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(torchrun)] if torchrun else []
    return [sys.executable, *launcher, "-m", "bertsmith", *map(str, arguments)]


def environment(**variables: str) -> dict[str, str]:
    """This process's environment with one thread for whatever reads it before the run sets its own."""
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), **variables}


def bertsmith(
    *arguments: str | Path, torchrun: int = 0, timeout: float = 180, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run a command line to its end."""
    return subprocess.run(
        command(*arguments, torchrun=torchrun),
        env=environment(**variables),
        capture_output=True,
        text=True,
        timeout=timeout,
    )


def pretrain_arguments(recipe: Path, corpus: Path, out: Path, *more: str) -> Sequence[str | Path]:
    """`pretrain RECIPE --corpus CORPUS --out OUT ...`"""
    return ["pretrain", recipe, "--corpus", corpus, "--out", out, *more]
