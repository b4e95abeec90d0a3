"""Texts of the command line, or files of texts, and the answers to them on stdout or in a file."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from bertsmith.cli.common import given_flags, print_result
from bertsmith.errors import UsageError

if TYPE_CHECKING:
    from bertsmith.tasks.user_table import Columns


@Parameter(name="*")
@dataclass(frozen=True)
class FileFlags:
    """Where texts are read from instead of the command line, and where results go."""

    input: Annotated[
        Path | None,
        Parameter(help="read the texts from a table (.csv, .tsv, .jsonl, .parquet) or a text file, one per line"),
    ] = None
    output: Annotated[
        Path | None,
        Parameter(help="write a row for each row of the input there: .jsonl, .csv or .parquet [default: stdout]"),
    ] = None
    text: Annotated[
        str,
        Parameter(show_default=False, help="column of the text, or of the question, in the table [default: guessed]"),
    ] = ""
    workers: Annotated[int, Parameter(help="processes, each with the model; 0 = one per core for a large file")] = 0

    @property
    def columns(self) -> tuple[str, ...]:
        """As named, the first text first."""
        return (self.text,)


@Parameter(name="*")
@dataclass(frozen=True)
class PairFileFlags(FileFlags):
    """The same with a second text, which in a text file stands after a tab."""

    second: Annotated[
        str, Parameter(show_default=False, help="column of the second text, or of the context, in the table")
    ] = ""

    @property
    def columns(self) -> tuple[str, ...]:
        """As named, the first text first."""
        return (self.text, self.second)


NO_FILE, NO_PAIRS = FileFlags(), PairFileFlags()


def asked_texts(texts: Sequence[str], file: FileFlags) -> list[str]:
    """The texts of the command line; UsageError when there are none, or flags of files."""
    if not texts:
        raise UsageError("give texts or --input FILE, one of the two")
    given = {"--output": file.output, "--text": file.text, "--workers": file.workers}
    given |= {"--second": file.second} if isinstance(file, PairFileFlags) else {}
    if alone := next((name for name, value in given.items() if value), ""):
        raise UsageError(f"{alone} goes with --input FILE")
    for text in texts:
        check_text(text)
    return list(texts)


def check_text(text: str) -> None:
    """UsageError for an argument that is no UTF-8."""
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise UsageError(f"{text!r}: is not UTF-8 text")


def two_by_two(texts: Sequence[str], what: str) -> list[tuple[str, str]]:
    """Texts as pairs; UsageError for an odd number of them."""
    if len(texts) % 2:
        raise UsageError(f"{what} wants texts in pairs, not {len(texts)}")
    return list(zip(texts[::2], texts[1::2], strict=True))


def from_file(
    verb: str, model: str, file: FileFlags, texts: Sequence[str], precision: str, as_json: bool, **options: Any
) -> None:
    """Answer every row of the file named by --input."""
    if texts or file.input is None:
        raise UsageError("give texts or --input FILE, one of the two")
    from bertsmith import pipeline

    how: dict[str, Any] = {"columns": _columns(*file.columns), "flags": given_flags(), "precision": precision}
    how |= {"workers": file.workers, **options}
    if file.output is None:
        _print_rows(pipeline.predict_rows(verb, model, file.input, **how), as_json)
        return
    result = pipeline.predict_file(verb, model, file.input, file.output, **how)
    if as_json:
        print_result(result, True, str)


def _columns(text: str, second: str = "") -> Columns | None:
    if not (text or second):
        return None
    from bertsmith.tasks.user_table import Columns

    return Columns(text=text, second=second)


def _print_rows(rows: Iterator[Any], as_json: bool) -> None:
    """One JSON a line as the results come, or one JSON list of them all."""
    before, between, after = ("[", ", ", "]\n") if as_json else ("", "\n", "\n")
    for row in rows:
        print(before, json.dumps(row, ensure_ascii=False, allow_nan=False), sep="", end="", flush=True)
        before = between
    print(end=after)


def print_answers(results: list[Any], asked: Sequence[Any], as_json: bool, text: Callable[[Any], str]) -> None:
    """What was found for the texts of the command line; one text gives its result alone."""
    print_result(results[0] if as_json and len(asked) == 1 else results, as_json, text)
