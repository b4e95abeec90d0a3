"""Texts whose similarity is learnt, as a task: what form the data have, their columns, and their rows as examples.

Needs no torch.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from bertsmith import console
from bertsmith.errors import UsageError
from bertsmith.tasks.examples import TextExample
from bertsmith.tasks.readers.files import lines
from bertsmith.tasks.suite import task_named
from bertsmith.tasks.table_files import Rows, read_rows
from bertsmith.tasks.task import Form, Read, Task
from bertsmith.tasks.user_table import (
    FILES,
    MANY_HAN,
    PARTS,
    Columns,
    listed,
    mean_length,
    number_in,
    read_examples,
    settle,
    table_of,
)
from bertsmith.text.cleaning import clean
from bertsmith.text.han import contains_han
from bertsmith.text.skipped import Skipped

NAME = "sentence-pairs"
RETRIEVAL = ("retrieval", "mrr")
METRICS: dict[Form, tuple[str, ...]] = {
    "texts": RETRIEVAL,
    "pairs": RETRIEVAL,
    "labelled": ("average_precision", "auc", "accuracy"),
    "scored": ("spearman", "pearson"),
}
IN_WORDS: dict[Form, str] = {
    "texts": "single texts",
    "pairs": "pairs of texts that belong together",
    "labelled": "pairs of texts that belong together or do not",
    "scored": "pairs of texts with a score",
}
PUBLISHED = ("stsb", "qqp", "qqp_small", "mrpc", "afqmc", "snli", "mnli", "ocnli", "cmnli")
"""Tasks whose files are read as pairs of texts."""

LABELS = {"1": 1.0, "true": 1.0, "entailment": 1.0, "0": 0.0, "false": 0.0, "contradiction": 0.0}
NEITHER = "neutral"
TEXT_FILES = {part: tuple(f"{stem}.txt" for stem in stems) for part, stems in PARTS.items()}
SHOWN = 1000  # rows by which a language is told


def open_pairs(data: Path, asked: Columns) -> tuple[Task, Columns]:
    """The task that data make: published files in the folder of their name, a table, or plain text in .txt files.

    Says which form it is, and which columns were guessed. UsageError, one line, for what holds no pairs.
    """
    task = _published(data) if asked == Columns() else None
    if task is None:
        path = _first_file(data)
        task, asked = _of_text(path, asked) if is_text(path) else _of_table(path, asked)
    assert task.form is not None
    console.say(f"{data}: {IN_WORDS[task.form]}")
    return task, asked


def is_text(path: Path) -> bool:
    """Whether the name is that of plain text."""
    return path.name.lower().removesuffix(".gz").endswith(".txt")


def _first_file(data: Path) -> Path:
    if not data.exists():
        raise UsageError(f"{data}: there is no such file or folder")
    texts = [data / name for name in TEXT_FILES["train"] if (data / name).is_file()]
    return texts[0] if texts else table_of(data)


def _task(form: Form, description: str, read: Read, like: Task | None = None, chinese: bool = False) -> Task:
    """like: a task whose files these are."""
    files = like.files if like else {**TEXT_FILES} if form == "texts" else FILES
    language = like.language if like else "zh" if chinese else "en"
    folders = like.folders if like else ()
    described = f"{description}: {IN_WORDS[form]}"
    return Task(
        NAME, "similarity", described, read, METRICS[form], files, language=language, folders=folders, form=form
    )


def _is_chinese(texts: Sequence[str]) -> bool:
    return sum(map(contains_han, texts)) > MANY_HAN * max(1, len(texts))


# --- published files ---


def _published(data: Path) -> Task | None:
    """The task whose files these are, by the name of their folder; None where it is none."""
    found = task_named((data if data.is_dir() else data.parent).resolve().name)
    if found is None or found.name not in PUBLISHED:
        return None
    names = [name for names in found.files.values() for name in names]
    if not data.is_dir() and data.name.removesuffix(".gz") not in names:
        return None
    form: Form = "scored" if found.type == "regression" else "labelled"
    return _task(form, found.description.partition(":")[0], partial(_read_published, read=found.read), found)


def _read_published(path: Path, skipped: Skipped, read: Read) -> list[TextExample]:
    return list(_labelled(read(path, skipped), skipped))


def _labelled(examples: Sequence[TextExample], skipped: Skipped) -> Iterator[TextExample]:
    """Labels as scores; pairs that neither belong together nor do not are counted."""
    for example in examples:
        label = example.label
        if not isinstance(label, str):
            yield example
        elif label.lower() in LABELS:
            yield example._replace(label=LABELS[label.lower()])
        elif label.lower() == NEITHER:
            skipped.add("neutral pairs teach nothing and are left out", example.name)
        else:
            skipped.add("the label is not one of 0, 1, entailment, contradiction", example.name)


# --- plain text ---


def _of_text(path: Path, asked: Columns) -> tuple[Task, Columns]:
    if asked != Columns():
        raise UsageError(f"{path}: is plain text; --text, --second, --label and --regression are for tables")
    shown = [text.first for text in read_texts(path, Skipped())[:SHOWN]]
    return _task("texts", path.name, read_texts, chinese=_is_chinese(shown)), asked


def read_texts(path: Path, skipped: Skipped) -> list[TextExample]:
    """Every line that holds text."""
    return [example for run in read_runs(path, skipped) for example in run]


def read_runs(path: Path, skipped: Skipped) -> list[list[TextExample]]:
    """Lines that follow each other; a blank line ends a run. UsageError for a file without text."""
    runs: list[list[TextExample]] = [[]]
    for place, line in lines(path, skipped):
        if text := clean(line):
            runs[-1].append(TextExample(place, text, None, 1.0))
        elif runs[-1]:
            runs.append([])
    if not runs[0]:
        raise UsageError(f"{path}: holds no text")
    return [run for run in runs if run]


# --- tables ---


def _of_table(path: Path, asked: Columns) -> tuple[Task, Columns]:
    rows = read_rows(path, Skipped())
    columns = _settled(rows, asked)
    form = _form(rows, columns)
    shown = [text for row in rows.rows[:SHOWN] if isinstance(text := row.values.get(columns.text), str)]
    read = partial(read_table, columns=replace(columns, regression=form == "scored"))
    return _task(form, path.name, read, chinese=_is_chinese(shown)), columns


def _settled(rows: Rows, asked: Columns) -> Columns:
    """The columns as asked for, the others guessed and said."""
    columns = settle(rows, replace(asked, regression=bool(asked.regression)), labelled=False)
    if columns.second:
        return columns
    free = [name for name in rows.columns if name not in (columns.text, columns.label)]
    lengths = {name: mean_length(rows.rows, name) for name in free if not _is_numeric(rows, name)}
    if not lengths or max(lengths.values()) == 0:
        raise UsageError(
            f"{rows.path}: holds one text in a row ({columns.text!r} of {listed(rows)}), and a pair is two; sentences"
            " by themselves are read from .txt files, one on a line"
        )
    second = max(lengths, key=lambda name: lengths[name])
    console.say(f"{rows.path.name}: guessed second = {second!r}; --second says otherwise")
    return replace(columns, second=second)


def _is_numeric(rows: Rows, column: str) -> bool:
    return all(number_in(row.values.get(column)) is not None for row in rows.rows[:SHOWN])


def _form(rows: Rows, columns: Columns) -> Form:
    """What the column of labels holds; UsageError when it is nothing that is known."""
    if not columns.label:
        return "pairs"
    cells = [(row.place, cell) for row in rows.rows if (cell := row.values.get(columns.label)) not in (None, "")]
    if not cells:
        raise UsageError(f"{rows.path}: column {columns.label!r} is empty")
    words = {str(cell).strip().lower() for _, cell in cells}
    numbers = [number for _, cell in cells if (number := number_in(cell)) is not None and math.isfinite(number)]
    if columns.regression or any(number not in (0, 1) for number in numbers):
        return "scored"
    if numbers or words & {*LABELS, NEITHER}:
        return "labelled"
    place, cell = cells[0]
    raise UsageError(
        f"{place}: {str(cell)[:60]!r} in column {columns.label!r} is no score, and none of 0, 1, entailment, neutral,"
        " contradiction"
    )


def read_table(path: Path, skipped: Skipped, columns: Columns) -> list[TextExample]:
    """The rows as pairs; those without usable texts or label are counted by reason."""
    examples = read_examples(path, skipped, columns)
    if not columns.label:
        return [example._replace(label=1.0) for example in examples]
    return list(_labelled([_plain(example) for example in examples], skipped))


def _plain(example: TextExample) -> TextExample:
    """The label 1.0 is 1, written otherwise."""
    number = number_in(example.label) if isinstance(example.label, str) else None
    return example if number not in (0, 1) else example._replace(label=f"{number:g}")
