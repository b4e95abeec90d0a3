"""The parts of data whose similarity is learnt: training, and what it is judged by."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from bertsmith import console
from bertsmith.errors import UsageError
from bertsmith.tasks.examples import TextExample, content, is_labelled
from bertsmith.tasks.parts import part_files, read_evaluation, read_parts
from bertsmith.tasks.sentence_pairs import open_pairs, read_runs
from bertsmith.tasks.task import Parts, Task
from bertsmith.tasks.texts import tell
from bertsmith.tasks.user_table import Columns
from bertsmith.text.skipped import Skipped

MOST_HELD_OUT = 1000  # pairs of neighbouring lines: enough to tell models apart, few enough to be judged often
LEAST_JUDGED = 2


def read_pair_parts(task: Task, data: Path, seed: int, validation_share: float) -> Parts:
    """Training, validation and labelled test part, as `parts.read_parts` gives them.

    validation_share: 0 = none is held out.

    Plain text is judged by lines that follow each other in text that is not trained on: is the next line the nearest?
    UsageError where there is nothing to tell apart.
    """
    parts = (_text_parts if task.form == "texts" else read_parts)(task, data, seed, validation_share)
    _require_differences(task, data, parts.train)
    return parts._replace(test=[example for example in parts.test if is_labelled(example)])


def judge_by(task: Task, parts: Parts, validation: Path) -> tuple[Task, Parts]:
    """The same training part, judged by other data: a table of pairs, or the validation part of a published folder."""
    judge, _ = open_pairs(validation, Columns())
    if judge.form == "texts":
        raise UsageError(f"--validation {validation}: is plain text; models are judged by pairs of texts")
    return replace(task, metrics=judge.metrics), parts._replace(validation=read_evaluation(judge, validation))


def _require_differences(task: Task, data: Path, train: Sequence[TextExample]) -> None:
    if len({content(example) for example in train}) < 2:
        raise UsageError(f"{data}: all {len(train)} training rows hold the same text; there is nothing to tell apart")
    labels = {example.label for example in train}
    if task.form == "scored" and len(labels) == 1:
        raise UsageError(f"{data}: all {len(train)} training pairs have the score {labels.pop():g}; nothing to learn")
    if task.form == "labelled" and 1.0 not in labels:
        raise UsageError(f"{data}: none of {len(train)} training pairs belongs together (label 1 or entailment)")


# --- plain text ---


def _text_parts(task: Task, data: Path, seed: int, validation_share: float) -> Parts:
    files = part_files(task, data) if data.is_dir() else {"train": [data]}
    if "train" not in files:
        raise UsageError(f"{data}: holds no training part (looked for {', '.join(task.files['train'])})")
    skipped = Skipped()
    runs = [run for path in files["train"] for run in read_runs(path, skipped)]
    judged: list[TextExample] = []
    if "validation" in files:
        judged = _neighbours([run for path in files["validation"] for run in read_runs(path, skipped)])
        judged = _chosen(judged, seed, MOST_HELD_OUT)
    elif validation_share:
        several = _neighbours(runs)
        judged = _chosen(several, seed, min(MOST_HELD_OUT, round(validation_share * len(several))))
    tell(skipped)
    if len(judged) < LEAST_JUDGED and (judged or validation_share):
        raise UsageError(f"{data}: too few lines follow each other to be judged by; name pairs with --validation")
    held_out = {text for pair in judged for text in content(pair)}
    train = [example for run in runs for example in run if example.first not in held_out]
    if judged:
        console.say(
            f"{len(judged):,} pairs of lines that follow each other are held out: is the next line the nearest? Pairs"
            " with scores or labels judge better (--validation)"
        )
    return Parts(train, {"validation": judged} if judged else {}, [])


def _neighbours(runs: Sequence[Sequence[TextExample]]) -> list[TextExample]:
    """Lines two by two, each in one pair at most."""
    return [
        first._replace(second=second.first)
        for run in runs
        for first, second in zip(run[::2], run[1::2], strict=False)
        if first.first != second.first
    ]


def _chosen(pairs: Sequence[TextExample], seed: int, count: int) -> list[TextExample]:
    """So many pairs in their order, by a hash of seed and texts."""

    def drawn(pair: TextExample) -> bytes:
        text = f"{seed}\0{pair.first}\0{pair.second}"
        return hashlib.blake2b(text.encode(errors="replace"), digest_size=16).digest()

    kept = {pair.name for pair in sorted(pairs, key=drawn)[:count]}
    return [pair for pair in pairs if pair.name in kept]
