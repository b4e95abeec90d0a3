"""Tokenizers of every kind, examples of every type, and jobs so small that a fine-tuning run takes about a second."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from bertsmith.models.config import TaskHead
from bertsmith.models.folder import save_model
from bertsmith.models.model import build_model
from bertsmith.tasks.encoding import head_for
from bertsmith.tasks.examples import Answer, AnswerExample, ChoiceExample, TaggedExample, TextExample
from bertsmith.tasks.finetuning_config import FinetuningConfig, TaskConfig
from bertsmith.tasks.job import Job
from bertsmith.tasks.task import Task
from bertsmith.tokenizers.tokenizer import Tokenizer
from bertsmith.tokenizers.training_bytes import count_byte_words, train_byte_bpe
from bertsmith.tokenizers.training_unigram import count_unigram_words, train_unigram
from bertsmith.training.config import TrainingConfig
from tests.stories import WORDS, tiny_tokenizer
from tests.tiny_models import ALBERT, DISTILBERT, ROBERTA, TINY

LINES = [
    "The cat sat on a mat, and a dog ran over it.",
    "Was it late? They went home at 10.",
    "今天我们上学，老师点名。",
]
FAMILIES = {"bert": TINY, "albert": replace(ALBERT, layers=2), "roberta": ROBERTA, "distilbert": DISTILBERT}
KINDS = {"bert": "wordpiece", "albert": "unigram", "roberta": "byte_bpe", "distilbert": "wordpiece"}
GOOD, BAD = "cat mat home".split(), "dog hill night".split()


@cache
def tokenizer_of(kind: str) -> Tokenizer:
    """A small tokenizer of each kind."""
    if kind == "wordpiece":
        return tiny_tokenizer()
    counts: Counter[str] = Counter()
    if kind == "byte_bpe":
        count_byte_words(LINES * 3, counts)
        return train_byte_bpe(counts, 320)
    count_unigram_words(LINES * 6, True, counts)
    return train_unigram(counts, 120, True)


def task_of(type_: Any, labels: tuple[str, ...] = (), **fields: Any) -> Task:
    """A task without files."""
    metrics = {
        "classification": ("accuracy",),
        "regression": ("pearson",),
        "choice": ("accuracy",),
        "tagging": ("f1",),
        "answering": ("f1", "exact"),
        "similarity": ("average_precision", "auc"),
    }[type_]
    return Task("tiny", type_, "", lambda path, skipped: [], metrics, {}, labels, **fields)


def head_of(task: Task, labels: tuple[str, ...] = ()) -> TaskHead:
    """The head of a task that has one."""
    head = head_for(task, labels)
    assert head is not None
    return head


def texts(count: int, start: int = 0) -> list[TextExample]:
    """Sentences whose label is whether they hold a word of GOOD or of BAD."""
    found = []
    for number in range(start, start + count):
        words = [WORDS[(number * 5 + place * 3) % len(WORDS)] for place in range(3 + number % 4)]
        words = [word for word in words if word not in GOOD + BAD]
        word = (GOOD if number % 2 else BAD)[number // 2 % 3]
        words.insert(number % (len(words) + 1), word)
        found.append(TextExample(f"tiny:{number}", " ".join(words), None, "good" if number % 2 else "bad"))
    return found


def scores(count: int) -> list[TextExample]:
    """Pairs of words, and how many of the two are of GOOD."""
    found = []
    for number in range(count):
        first = (GOOD if number % 3 else BAD)[number // 3 % 3]
        second = (GOOD if number % 3 == 2 else BAD)[number // 9 % 3]
        found.append(TextExample(f"tiny:{number}", f"the {first}", f"a {second}", float(number % 3)))
    return found


def alike(count: int) -> list[TextExample]:
    """Pairs of words, and whether both are of GOOD, or both of BAD."""
    found = []
    for number in range(count):
        first = (GOOD if number % 2 else BAD)[number // 2 % 3]
        second = (GOOD if number // 6 % 2 else BAD)[number // 12 % 3]
        label = float((first in GOOD) == (second in GOOD))
        found.append(TextExample(f"tiny:{number}", f"the {first}", f"a {second}", label))
    return found


def choices(count: int) -> list[ChoiceExample]:
    """Which of two or three words is one of GOOD?"""
    found = []
    for number in range(count):
        several = list(BAD[: 2 + number % 2])
        label = number // 2 % len(several)
        several[label] = GOOD[number % 3]
        found.append(ChoiceExample(f"tiny:{number}", "they ran", "who ?", tuple(several), label))
    return found


def tagged_texts(count: int) -> list[TaggedExample]:
    """GOOD words are things, BAD words are places."""
    found = []
    for example in texts(count):
        words = tuple(example.first.split())
        tags = tuple("B-THING" if word in GOOD else "B-PLACE" if word in BAD else "O" for word in words)
        found.append(TaggedExample(example.name, words, tags, True))
    return found


def questions(count: int, impossible: bool = False) -> list[AnswerExample]:
    """The answer is the word of GOOD or BAD in the context; every fourth context may hold none."""
    found = []
    for number, example in enumerate(texts(count)):
        word = next(word for word in example.first.split() if word in GOOD + BAD)
        start = f" {example.first} ".index(f" {word} ")
        if impossible and number % 4 == 3:
            found.append(AnswerExample(example.name, "they went over it then", "who ?", (), True))
        else:
            found.append(AnswerExample(example.name, example.first, "who ?", (Answer(word, start),), False))
    return found


def write_start(folder: Path, family: str = "bert", max_length: int = 24) -> Path:
    """A pretrained model of a family, as a folder."""
    folder.mkdir(parents=True)
    tokenizer = tokenizer_of(KINDS[family])
    config = replace(FAMILIES[family], vocab_size=tokenizer.vocab_size, init_std=0.1)
    save_model(build_model(config, ("masked_lm",), 0), folder, pad_token_id=tokenizer.special.pad)
    tokenizer.save(folder, max_length)
    return folder


def tiny_job(task: Task, train: list[Any], validation: list[Any], labels: tuple[str, ...] = (), **values: Any) -> Job:
    """values: fields of training, and of task as task_NAME."""
    training = {
        "epochs": 2.0,
        "batch_size": 8,
        "learning_rate": 2e-3,
        "warmup": 0.1,
        "optimizer": "adamw",
        "precision": "fp32",
        "compile": "off",
        "threads": 1,
        "save_every": 3,
        "log_every": 1,
        "keep": 1,
        **{name: value for name, value in values.items() if not name.startswith("task_")},
    }
    own = {name.removeprefix("task_"): value for name, value in values.items() if name.startswith("task_")}
    config = FinetuningConfig(0, TrainingConfig(**training), TaskConfig(**own))
    return Job(task, labels, train, validation, config, "tiny", {"training data": "made up"})
