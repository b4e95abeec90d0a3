"""The user's own table as a task: which columns hold the texts and the label, and examples out of its rows."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from bertsmith import console
from bertsmith.config import did_you_mean
from bertsmith.errors import UsageError
from bertsmith.tasks.examples import TextExample
from bertsmith.tasks.table_files import KINDS, Row, Rows, read_rows
from bertsmith.tasks.task import Task
from bertsmith.text.cleaning import clean
from bertsmith.text.han import contains_han
from bertsmith.text.skipped import Skipped

NAME = "table"
TEXTS = (
    *("text", "sentence", "sentence1", "text_a", "content", "body", "review", "comment", "message", "utterance"),
    *("question1", "premise", "query", "question", "document", "article", "abstract", "tweet", "title", "input"),
    *("文本", "内容", "评论", "句子", "text1"),
)
PAIRS = (
    *(("sentence1", "sentence2"), ("text_a", "text_b"), ("text1", "text2"), ("premise", "hypothesis")),
    *(("question1", "question2"), ("question", "sentence"), ("question", "context"), ("query", "passage")),
)
LABELS = (
    *("label", "labels", "category", "class", "intent", "sentiment", "target", "topic", "score", "rating", "stars"),
    *("tag", "polarity", "gold_label", "label_text", "is_duplicate", "similarity", "类别", "标签", "情感"),
)
PARTS = {
    "train": ("train", "training"),
    "validation": ("dev", "valid", "validation", "val", "eval"),
    "test": ("test",),
}
FILES = {part: tuple(f"{stem}{end}" for stem in stems for end in KINDS) for part, stems in PARTS.items()}
MOST_LABELS = 0.5  # of the rows: a column with more different values than that is no column of labels
MANY_HAN = 0.3  # share of the texts from which a table is called Chinese


@dataclass(frozen=True)
class Columns:
    """Which columns are read; "" = to be guessed (text, label), or none (second). regression: None = to be guessed."""

    text: str = ""
    second: str = ""
    label: str = ""
    regression: bool | None = None


def open_table(data: Path, asked: Columns, labelled: bool = True) -> tuple[Task, Columns]:
    """The task that a table, or a folder with train, dev and test tables, makes; and its columns, guessed ones said.

    `labelled`: False where labels are not needed, as for predictions; a column of labels is then read where it is
    named or has one of the usual names. Raises UsageError naming the column that is missing.
    """
    path = table_of(data)
    rows = read_rows(path, Skipped())
    columns = settle(rows, asked, labelled)
    texts = [row.values.get(columns.text) for row in rows.rows[:1000]]
    chinese = sum(contains_han(text) for text in texts if isinstance(text, str)) > MANY_HAN * max(1, len(texts))
    task = Task(
        name=NAME,
        type="regression" if columns.regression else "classification",
        description=f"{path.name}: {columns.label} from {' and '.join(filter(None, (columns.text, columns.second)))}",
        read=partial(read_examples, columns=columns),
        metrics=("pearson", "spearman") if columns.regression else ("accuracy", "macro_f1"),
        files=FILES,
        language="zh" if chinese else "en",
    )
    return task, columns


def table_of(data: Path) -> Path:
    """The table that is read first: the file itself, or the training part, or else the only table of a folder."""
    if not data.is_dir():
        return data
    tables = sorted(path for path in data.iterdir() if path.suffix.lower() in KINDS and path.is_file())
    named = [path for path in tables if path.name.lower() in FILES["train"]]
    if len(named) == 1 or (not named and len(tables) == 1):
        return (named or tables)[0]
    if not tables:
        raise UsageError(f"{data}: holds no .csv, .tsv or .jsonl file")
    found = ", ".join(path.name for path in named or tables[:5])
    raise UsageError(f"{data}: which of {found} is to be trained on? name the file, or call it train.csv")


# --- columns ---


def settle(rows: Rows, asked: Columns, labelled: bool = True) -> Columns:
    """The columns as asked for, with those that were left open guessed and said. Raises UsageError."""
    for flag, name in (("text", asked.text), ("second", asked.second), ("label", asked.label)):
        if name and name not in rows.columns:
            near = did_you_mean(name, rows.columns)
            raise UsageError(
                f"{rows.path}: has no column {name!r} (--{flag}){near or f'; its columns: {listed(rows)}'}"
            )
    named = [name for name in (asked.text, asked.second, asked.label) if name]
    if len(set(named)) < len(named):
        raise UsageError(f"{rows.path}: --text, --second and --label must name different columns, not {named}")
    columns = asked
    guessed: list[str] = []
    if not columns.label:
        label = _guess_label(rows, columns, labelled)
        columns = replace(columns, label=label)
        guessed += [f"label = {label!r}"] if label and labelled else []
    if not columns.text:
        columns = _guess_texts(rows, columns)
        guessed.insert(0, f"text = {columns.text!r}" + (f", second = {columns.second!r}" if columns.second else ""))
    if columns.regression is None and columns.label:
        numbers = _are_scores(rows, columns.label)
        columns = replace(columns, regression=numbers)
        guessed += [f"regression, as {columns.label!r} holds decimal numbers (--no-regression for classes)"] * numbers
    if guessed:
        console.say(f"{rows.path.name}: guessed {', '.join(guessed)}; flags say otherwise")
    return replace(columns, regression=bool(columns.regression))


def listed(rows: Rows) -> str:
    """The columns, for messages."""
    return ", ".join(rows.columns[:12]) + (", ..." if len(rows.columns) > 12 else "")


def _guess_label(rows: Rows, asked: Columns, labelled: bool) -> str:
    free = [name for name in rows.columns if name not in (asked.text, asked.second)]
    lowered = {name.lower(): name for name in reversed(free)}
    usual = next((lowered[name] for name in LABELS if name in lowered), "")
    if usual or not labelled:
        return usual
    different = {name: len({str(row.values.get(name)) for row in rows.rows}) for name in free}
    few = {name: n for name, n in different.items() if 2 <= n <= max(2, MOST_LABELS * len(rows.rows))}
    if not few:
        raise UsageError(f"{rows.path}: which column holds the label? name it with --label ({listed(rows)})")
    return min(few, key=lambda name: few[name])


def _guess_texts(rows: Rows, columns: Columns) -> Columns:
    free = [name for name in rows.columns if name not in (columns.second, columns.label)]
    lowered = {name.lower(): name for name in reversed(free)}
    if not columns.second:
        for first, second in PAIRS:
            if first in lowered and second in lowered:
                return replace(columns, text=lowered[first], second=lowered[second])
    usual = next((lowered[name] for name in TEXTS if name in lowered), "")
    if usual:
        return replace(columns, text=usual)
    lengths = {name: mean_length(rows.rows, name) for name in free}
    if not lengths or max(lengths.values()) == 0:
        raise UsageError(f"{rows.path}: which column holds the text? name it with --text ({listed(rows)})")
    return replace(columns, text=max(lengths, key=lambda name: lengths[name]))


def mean_length(rows: Sequence[Row], name: str) -> float:
    """Characters of a column, on average; 0 where it holds no text."""
    texts = [value for row in rows[:1000] if isinstance(value := row.values.get(name), str)]
    return sum(map(len, texts)) / max(1, len(texts))


def _are_scores(rows: Rows, column: str) -> bool:
    """Whether all values are numbers and at least one has decimals."""
    values = [number_in(row.values.get(column)) for row in rows.rows if row.values.get(column) not in (None, "")]
    return all(v is not None for v in values) and any(v is not None and math.isfinite(v) and v % 1 for v in values)


def number_in(value: Any) -> float | None:
    """A cell as a number, which may not be finite; None where it is none."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        return float(value)
    except (ValueError, OverflowError):
        return None


# --- examples ---


def read_examples(path: Path, skipped: Skipped, columns: Columns) -> list[TextExample]:
    """The rows as examples, named by "file:line"; rows without a usable text or score are counted by reason.

    The label is None where the cell is empty. Raises UsageError when a column is missing in this file.
    """
    rows = read_rows(path, skipped)
    for name in filter(None, (columns.text, columns.second, columns.label)):
        if name not in rows.columns and name != columns.label:
            raise UsageError(f"{path}: has no column {name!r}; its columns: {listed(rows)}")
    if columns.label and columns.label not in rows.columns:
        console.say(f"{path}: has no column {columns.label!r}: its rows have no labels")
    numeric = all(number_in(row.values.get(columns.label)) is not None for row in rows.rows if _filled(row, columns))
    examples = []
    for row in rows.rows:
        example = _example(row, columns, numeric)
        if isinstance(example, str):
            skipped.add(example, row.place)
        else:
            examples.append(example)
    return examples


def _filled(row: Row, columns: Columns) -> bool:
    return row.values.get(columns.label) not in (None, "")


def _example(row: Row, columns: Columns, numeric: bool) -> TextExample | str:
    """The example of a row, or why it makes none. `numeric`: NaN is then a label that is missing, not a class."""
    texts: list[str] = []
    for column in filter(None, (columns.text, columns.second)):
        value = row.values.get(column)
        if value is None:
            return f"column {column!r} is empty"
        if not isinstance(value, str):
            return f"column {column!r} is not text"
        if not (cleaned := clean(value)):
            return f"column {column!r} is empty"
        texts.append(cleaned)
    label = row.values.get(columns.label) if columns.label else None
    if isinstance(label, list | dict):
        return f"column {columns.label!r} is neither text nor a number"
    found: str | float | None = None
    if columns.regression and _filled(row, columns):
        found = number_in(label)
        if found is None or not math.isfinite(found):
            return "the score is not a finite number"
    elif label is not None and not columns.regression:
        text = str(label).lower() if isinstance(label, bool) else " ".join(str(label).split())
        found = None if not text or (numeric and text.lower() == "nan") else text
    return TextExample(row.place, texts[0], texts[1] if columns.second else None, found)


def balance(train: Sequence[TextExample], validation: Sequence[TextExample], shown: int = 20) -> None:
    """Show how many examples of each class the parts hold, the largest classes first."""
    counts = Counter(str(example.label) for example in train)
    held_out = Counter(str(example.label) for example in validation)
    rows = [[label, count, held_out[label]] for label, count in counts.most_common(shown)]
    rest = counts.most_common()[shown:]
    if rest:
        names = [label for label, _ in rest]
        rows.append([f"{len(rest)} more", sum(counts[n] for n in names), sum(held_out[n] for n in names)])
    console.table(f"{len(counts)} classes", rows, ["class", "train", "validation"])
    single = sum(count == 1 for count in counts.values())
    if single:
        console.warn(f"{single} classes have a single training example: a model can hardly learn them")
