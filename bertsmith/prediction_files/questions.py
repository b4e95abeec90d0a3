"""The rows of a file as questions to a model, in chunks that depend on the file alone."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from bertsmith import console, interrupt, store
from bertsmith.errors import BertsmithError, UsageError
from bertsmith.prediction_files.verbs import Text, Verb
from bertsmith.tasks.parquet_rows import ParquetTable
from bertsmith.tasks.table_files import Rows, Table, is_table, open_table
from bertsmith.tasks.table_rows import Broken, Row, broken, require_file, text_lines
from bertsmith.tasks.user_table import Columns, settle
from bertsmith.text.cleaning import clean

CHUNK_ROWS = 1024  # enough to sort by length, few enough that a kill costs little
CHUNK_CHARACTERS = 2**18  # a chunk of long texts ends here
HEAD = 1000  # rows from which columns are guessed
BLOCK = 2**20  # bytes


class Unusable(str):
    """Why a row cannot be asked about."""


Question = Text | Unusable


class Chunk(NamedTuple):
    """Consecutive rows. number: of the chunk, from 0; first: number of its first row, from 1."""

    number: int
    first: int
    questions: list[Question]


class Source:
    """A file of texts, its columns settled. Raises UsageError before anything is asked when it holds none.

    columns: the columns of a table that are read, the first text first; () of a text file.
    """

    def __init__(self, path: Path, asked: Columns | None, verb: Verb) -> None:
        self.path, self._verb = path, verb
        self._table: Table | None = None
        self.columns: tuple[str, ...] = ()
        if is_table(path):
            self._table = open_table(path)
            self.columns = self._settled(self._table, asked or Columns())
        elif asked is not None and asked != Columns():
            raise UsageError(f"{path}: --text and --second are for tables (.csv, .tsv, .jsonl, .parquet)")
        else:
            require_file(path)
            if next(text_lines(path), None) is None:
                raise UsageError(f"{path}: is empty")

    def _settled(self, table: Table, asked: Columns) -> tuple[str, ...]:
        head = [row for row in islice(table.rows(), HEAD) if isinstance(row, Row)]
        names = table.columns or tuple(dict.fromkeys(name for row in head for name in row.values))
        if not head:
            raise UsageError(f"{self.path}: holds no row that can be read")
        columns = settle(Rows(self.path, names, head), replace(asked, regression=False), labelled=False)
        found = tuple(filter(None, (columns.text, columns.second)))
        if self._verb.single and len(found) == 2:
            if asked.second:
                raise UsageError(f"{self.path}: --second: {self._verb.name} reads one text of each row")
            console.say(f"{self._verb.name} reads one text of each row: {found[0]!r}")
            return found[:1]
        if len(found) not in self._verb.texts:
            raise UsageError(
                f"{self.path}: {self._verb.name} wants {self._verb.wanted}, as columns (--text, --second) or, in a"
                " text file, with a tab between"
            )
        return found

    def digest(self) -> tuple[str, int]:
        """SHA-256 (hex) of the file's bytes, and about how many rows it holds."""
        digest, ends = hashlib.sha256(), 0
        try:
            with self.path.open("rb") as file:
                while block := file.read(BLOCK):
                    interrupt.check()
                    digest.update(block)
                    ends += block.count(b"\n")
        except OSError as error:
            raise store.explain(error, self.path) from error
        if isinstance(self._table, ParquetTable):
            return digest.hexdigest(), self._table.count
        return digest.hexdigest(), max(1, ends)

    def chunks(self) -> Iterator[Chunk]:
        """All rows, in order. BertsmithError when the file is changed meanwhile."""
        before = self._state()
        chunk, first, number, characters = [], 1, 0, 0
        for question in self._questions():
            chunk.append(question)
            characters += _length(question)
            if len(chunk) == CHUNK_ROWS or characters >= CHUNK_CHARACTERS:
                yield Chunk(number, first, chunk)
                chunk, first, number, characters = [], first + len(chunk), number + 1, 0
        if self._state() != before:
            raise BertsmithError(f"{self.path}: was changed while it was read; type the same line again")
        if chunk:
            yield Chunk(number, first, chunk)

    def _state(self) -> tuple[int, int]:
        found = self.path.stat()
        return found.st_size, found.st_mtime_ns

    def _questions(self) -> Iterator[Question]:
        return map(self._checked, self._of_lines() if self._table is None else self._of_rows(self._table))

    def _of_lines(self) -> Iterator[Question | tuple[str, ...]]:
        for line in text_lines(self.path):
            if isinstance(line, Broken):
                yield Unusable(line.reason)
            else:
                yield line if self._verb.single or "\t" not in line else tuple(line.split("\t"))

    def _of_rows(self, table: Table) -> Iterator[Question | tuple[str, ...]]:
        rows: Iterable[Row | Broken] = table.rows(self.columns)
        for row in rows:
            if isinstance(row, Broken):
                yield Unusable(row.reason)
                continue
            cells = tuple(cell for name in self.columns if isinstance(cell := row.values.get(name), str))
            if len(cells) == len(self.columns):
                yield cells
                continue
            name = next(name for name in self.columns if not isinstance(row.values.get(name), str))
            yield Unusable(f"column {name!r} is {'empty' if row.values.get(name) is None else 'not text'}")

    def _checked(self, found: Question | tuple[str, ...]) -> Question:
        """The question itself, or what is known to be wrong with it before any model sees it."""
        if isinstance(found, Unusable):
            return found
        parts = (found,) if isinstance(found, str) else found
        if not self.columns and not any(map(str.strip, parts)):
            return Unusable("is empty")
        if len(parts) not in self._verb.texts:
            return Unusable(f"wants {self._verb.wanted} with a tab between, not {len(parts)} in a line")
        for index, part in enumerate(parts):
            if reason := broken(part):
                return Unusable(reason)
            if not clean(part):
                return Unusable(f"column {self.columns[index]!r} is empty" if self.columns else "is empty")
        return parts[0] if len(parts) == 1 else (parts[0], parts[1])


def _length(question: Question) -> int:
    return len(question) if isinstance(question, str) else len(question[0]) + len(question[1])
