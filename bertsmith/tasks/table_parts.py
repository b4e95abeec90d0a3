"""The parts of a user's table: training, validation split off where it is missing, and test."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from bertsmith import console
from bertsmith.errors import UsageError
from bertsmith.tasks.examples import TextExample
from bertsmith.tasks.parts import Parts
from bertsmith.tasks.task import Task
from bertsmith.tasks.texts import tell
from bertsmith.tasks.user_table import FILES, balance, table_of
from bertsmith.text.skipped import Skipped

LEAST_TO_SPLIT = 5  # texts of a class from which one at least is held out


def read_table_parts(task: Task, data: Path, seed: int, validation_share: float) -> Parts:
    """Training, validation and test part of a table or of a folder with tables; what is skipped is told.

    Without a validation part one is split off. Raises UsageError naming the place of a label that only a later part
    has, and for a training part of one class.
    """
    path = table_of(data)
    train = _labelled(task, path)
    validation = _labelled(task, named) if (named := _part(data, "validation")) else []
    test_file = _part(data, "test")
    test = _read(task, test_file) if test_file else []
    if validation:
        _tell_repeats(train, validation)
    else:
        train, validation = split_off(train, seed, validation_share)
        if not validation:
            raise UsageError(f"{path}: {len(train)} rows are too few to hold some out for validation")
        console.say(
            f"{path.name}: no validation part; {len(validation)} of {len(train) + len(validation)} rows held out"
        )
    if task.type == "classification":
        _check_classes(path, train, validation)
        balance(train, validation)
    return Parts(train, {"validation": validation}, test)


def _part(data: Path, part: str) -> Path | None:
    if not data.is_dir():
        return None
    return next((path for path in sorted(data.iterdir()) if path.name.lower() in FILES[part] and path.is_file()), None)


def _read(task: Task, path: Path) -> list[TextExample]:
    skipped = Skipped()
    examples = task.read(path, skipped)
    tell(skipped)
    if not examples:
        raise UsageError(f"{path}: holds no usable row")
    return examples


def _labelled(task: Task, path: Path) -> list[TextExample]:
    examples = _read(task, path)
    labelled = [example for example in examples if example.label is not None]
    if not labelled:
        raise UsageError(f"{path}: no row has a label")
    if len(labelled) < len(examples):
        console.warn(f"{path}: {len(examples) - len(labelled)} rows have no label and are left out")
    return labelled


def _check_classes(path: Path, train: Sequence[TextExample], validation: Sequence[TextExample]) -> None:
    known = {example.label for example in train}
    if len(known) < 2:
        raise UsageError(f"{path}: all rows have the label {str(next(iter(known)))!r}; two classes are needed")
    strange = next((example for example in validation if example.label not in known), None)
    if strange:
        raise UsageError(f"{strange.name}: the label {str(strange.label)!r} is not in the training part ({path.name})")


def _tell_repeats(train: Sequence[TextExample], validation: Sequence[TextExample]) -> None:
    known = {_text_of(example) for example in train}
    repeated = sum(_text_of(example) in known for example in validation)
    if repeated:
        console.warn(f"{repeated} of {len(validation)} validation rows have a text that is trained on too")


def split_off(examples: Sequence[TextExample], seed: int, share: float) -> tuple[list[TextExample], list[TextExample]]:
    """(training, held out): about `share` of every class is held out, chosen by a hash of seed and text alone.

    Rows of one text stay together, whatever their labels, so that no text is in both parts.
    """
    strata: dict[object, dict[str, None]] = defaultdict(dict)
    seen: set[str] = set()
    for example in examples:
        text = _text_of(example)
        if text not in seen:
            seen.add(text)
            strata[example.label if isinstance(example.label, str) else ""][text] = None
    chosen: set[str] = set()
    for texts in strata.values():
        count = round(share * len(texts))
        if share and len(texts) >= LEAST_TO_SPLIT:
            count = max(1, count)
        chosen.update(sorted(texts, key=lambda text: _hash(seed, text))[:count])
    return (
        [example for example in examples if _text_of(example) not in chosen],
        [example for example in examples if _text_of(example) in chosen],
    )


def _text_of(example: TextExample) -> str:
    return example.first if example.second is None else f"{example.first}\t{example.second}"


def _hash(seed: int, text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=16, key=str(seed).encode()).digest()
