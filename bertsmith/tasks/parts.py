"""The parts of a task's data: found, read, held against each other; a validation part split off where it is missing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from bertsmith import console
from bertsmith.errors import UsageError
from bertsmith.tasks.examples import AnswerExample, TaggedExample, content, is_labelled
from bertsmith.tasks.readers.columns import OUTSIDE
from bertsmith.tasks.readers.files import shortened
from bertsmith.tasks.splitting import split_off
from bertsmith.tasks.task import PARTS, Parts, Task
from bertsmith.tasks.texts import tell
from bertsmith.text.skipped import Skipped

GZIPPED = ".gz"


def read_parts(task: Task, data: Path, seed: int, validation_share: float = 0.1) -> Parts:
    """The parts of a folder with the published files, or of one file, which is the training part.

    Where there is no validation part, `validation_share` of the training part is split off (0 = none). Says what was
    skipped and how many examples stand in both parts. UsageError where there is no training part, no labelled
    example in it, or labels in validation that training does not have.
    """
    if data.is_dir():
        files = part_files(task, data)
        if "train" not in files:
            raise UsageError(f"{data}: holds no training part of {task.name} (looked for {_looked_for(task, 'train')})")
    elif data.exists():
        files = {"train": [data]}
    else:
        raise UsageError(f"{data}: there is no such file or folder")
    skipped = Skipped()
    train = _trainable(_labelled(task, files["train"], skipped), skipped)
    validation = {part: _labelled(task, files[part], skipped) for part in files if part.startswith("validation")}
    test = _read_all(task, files.get("test", []), skipped)
    tell(skipped)
    if not train:
        raise UsageError(f"{_shown(files['train'])}: no example of {task.name} can be trained on")
    for part, examples in validation.items():
        _check_labels(task, train, examples, files[part])
        _tell_repeats(train, examples, part)
    if not validation and validation_share > 0:
        train, held_out = split_off(train, seed, validation_share)
        validation = {"validation": held_out}
        console.say(
            f"no validation part: {len(held_out):,} of {len(train) + len(held_out):,} examples of the training part "
            "are held out"
        )
    return Parts(train, validation, test)


def read_evaluation(task: Task, data: Path) -> dict[str, list[Any]]:
    """What a trained model is evaluated on, by part: a file as it is ("data"), or the validation parts of a folder.

    Says what was skipped. UsageError where there is no labelled example.
    """
    return read_evaluation_counted(task, data)[0]


def read_evaluation_counted(task: Task, data: Path) -> tuple[dict[str, list[Any]], dict[str, int]]:
    """The same, and how many rows were left out by reason."""
    if data.is_dir():
        files = {part: paths for part, paths in part_files(task, data).items() if part.startswith("validation")}
        if not files:
            wanted = _looked_for(task, "validation")
            raise UsageError(f"{data}: holds no validation part of {task.name} (looked for {wanted}); name the file")
    elif data.exists():
        files = {"data": [data]}
    else:
        raise UsageError(f"{data}: there is no such file or folder")
    skipped = Skipped()
    found = {part: _labelled(task, paths, skipped) for part, paths in files.items()}
    tell(skipped)
    return found, dict(skipped.counts)


def read_part(task: Task, data: Path, part: str) -> list[Any]:
    """The examples of one of `PARTS` of a folder, or of a file, labelled or not. Says what was skipped."""
    paths = part_files(task, data).get(part) if data.is_dir() else [data]
    if not paths:
        raise UsageError(f"{data}: holds no part {part!r} of {task.name} (looked for {_looked_for(task, part)})")
    skipped = Skipped()
    examples = _read_all(task, paths, skipped)
    tell(skipped)
    return examples


def part_files(task: Task, folder: Path) -> dict[str, list[Path]]:
    """The files of every part that is there, in the folder or in the one of the task's own name in it."""
    for place in (folder, *(folder / name for name in task.folders)):
        found = {part: paths for part in PARTS if (paths := _files_of(task, part, place))}
        if found:
            return found
    raise UsageError(f"{folder}: holds no file of {task.name} (looked for {_looked_for(task, *PARTS)})")


def _files_of(task: Task, part: str, folder: Path) -> list[Path]:
    for name in task.files.get(part, ()):
        for ending in ("", GZIPPED):
            pattern = "*" in name or "[" in name
            paths = sorted(folder.glob(name + ending)) if pattern else [folder / (name + ending)]
            if paths and all(path.is_file() for path in paths):
                return paths
    return []


def _looked_for(task: Task, *parts: str) -> str:
    return shortened(tuple(name for part in parts for name in task.files.get(part, ())))


def _shown(paths: Sequence[Path]) -> str:
    return str(paths[0]) if len(paths) == 1 else f"{paths[0]} and {len(paths) - 1} more"


def _read_all(task: Task, paths: Iterable[Path], skipped: Skipped) -> list[Any]:
    return [example for path in paths for example in task.read(path, skipped)]


def _labelled(task: Task, paths: Sequence[Path], skipped: Skipped) -> list[Any]:
    """The labelled examples of files; others are counted. UsageError where there is none."""
    before = sum(skipped.counts.values())
    examples = _read_all(task, paths, skipped)
    if not examples:
        reasons = "; ".join(f"{count} times {reason}" for reason, count in skipped.counts.items())
        lost = sum(skipped.counts.values()) > before
        raise UsageError(f"{_shown(paths)}: holds no example of {task.name}{f' ({reasons})' if lost else ''}")
    labelled = [example for example in examples if is_labelled(example)]
    if not labelled:
        raise UsageError(f"{_shown(paths)}: holds {len(examples):,} examples of {task.name}, but none has a label")
    for example in examples:
        if not is_labelled(example):
            skipped.add("no label", example.name)
    return labelled


def _trainable(examples: list[Any], skipped: Skipped) -> list[Any]:
    """The examples without questions whose answers do not stand in their context."""
    found: list[Any] = []
    for example in examples:
        lost = isinstance(example, AnswerExample) and not example.impossible
        if lost and all(answer.start < 0 for answer in example.answers):
            skipped.add("a question without an answer in its context is not trained on", example.name)
        else:
            found.append(example)
    return found


# --- labels ---


def labels_of(task: Task, train: Sequence[Any]) -> tuple[str, ...]:
    """The labels of a task: its fixed ones, or those of the training part, sorted; tags with O first.

    () for regression, choices and answers. UsageError when there are fewer than two classes, or one that the task has
    not.
    """
    if task.type not in ("classification", "tagging"):
        return ()
    used = _used(train)
    if task.type == "classification" and len(used) < 2:
        only = f"every example has the label {next(iter(used))!r}" if used else "no example has a label"
        raise UsageError(f"{task.name}: {only}; a classifier needs two classes at least")
    if task.type == "tagging" and not used - {OUTSIDE}:
        raise UsageError(f"{task.name}: no word is tagged as an entity")
    if task.labels:
        if unknown := sorted(used - set(task.labels)):
            raise UsageError(f"{task.name}: has no label {unknown[0]!r} (it has: {shortened(task.labels)})")
        return task.labels
    return tuple(sorted(used)) if task.type == "classification" else _tag_set(used)


def _used(examples: Sequence[Any]) -> set[str]:
    used: set[str] = set()
    for example in examples:
        if isinstance(example, TaggedExample):
            used.update(example.tags or ())
        elif example.label is not None:
            used.add(str(example.label))
    return used


def _tag_set(used: set[str]) -> tuple[str, ...]:
    """O and, for each kind, every prefix that any kind has: a kind may end with E only in the validation part."""
    prefixes = [prefix for prefix in "BIES" if prefix in "BI" or any(tag.startswith(f"{prefix}-") for tag in used)]
    kinds = sorted({tag[2:] for tag in used if tag != OUTSIDE})
    return (OUTSIDE, *(f"{prefix}-{kind}" for kind in kinds for prefix in prefixes))


def _check_labels(task: Task, train: list[Any], validation: list[Any], paths: Sequence[Path]) -> None:
    """UsageError naming the file and the first label that only the validation part has."""
    if task.type not in ("classification", "tagging"):
        return
    labels = set(labels_of(task, train))
    unknown = sorted(_used(validation) - labels)
    if unknown:
        more = f" and {len(unknown) - 1} more" if len(unknown) > 1 else ""
        where = next(example.name for example in validation if unknown[0] in _used([example]))
        raise UsageError(f"{where}: the label {unknown[0]!r}{more} stands in {_shown(paths)}, but not in training")


# --- one part against another ---


def _tell_repeats(train: Sequence[Any], validation: Sequence[Any], part: str) -> None:
    seen = {content(example) for example in train}
    repeats = sum(content(example) in seen for example in validation)
    if repeats:
        console.warn(f"{repeats:,} of {len(validation):,} examples of {part} stand in training, word for word")
