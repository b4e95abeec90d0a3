"""Documents as raw lines, streamed from text, JSON lines and Parquet files at bounded memory.

Whatever cannot be used is left out and counted by reason with its file and line; nothing raises a traceback.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import NamedTuple

from bertsmith.text.config import TextConfig
from bertsmith.text.lines import LONGEST_LINE, NumberedText, cut_text, jsonl_texts, text_lines
from bertsmith.text.skipped import Skipped
from bertsmith.text.sources import Source, UnusableFile, find, open_source
from bertsmith.text.tables import ParquetTexts

__all__ = ["LARGEST_DOCUMENT", "RawDocument", "Skipped", "Source", "find", "read"]

LARGEST_DOCUMENT = 8 * 2**20  # characters; what is longer becomes several documents
MOST_LINES = 2**17  # of a document: short lines take more memory than their characters


class RawDocument(NamedTuple):
    """The lines of one document as they stand in the file, decoded but not cleaned; none of them blank.

    first_line: number (from 1) of its first line, JSON line or table row. position: bytes of the file on disk taken in
    when it ended, for progress.
    """

    file: str
    first_line: int
    lines: list[str]
    position: int


def read(source: Source, config: TextConfig, skipped: Skipped) -> Iterator[RawDocument]:
    """The documents of one file, in order.

    .txt: one sentence or paragraph a line, a blank line between documents. .jsonl: one document a line, in the field
    `config.field`, whose newlines separate paragraphs. .parquet: one document a row, in the column `config.field`.
    A line is cut at 1 MiB, a document at 8 Mi characters or 131,072 lines. With `Skipped(fail=True)` the
    first thing that would be left out raises BertsmithError.
    """
    name = os.fsencode(source.path).decode(errors="replace")  # what can be printed of it
    try:
        before = os.stat(source.path)
        yield from _read(source, name, config, skipped)
        after = os.stat(source.path)
        if (before.st_size, before.st_mtime_ns, before.st_ino) != (after.st_size, after.st_mtime_ns, after.st_ino):
            skipped.add("the file changed while it was read", name)
    except OSError as error:
        skipped.add(f"the file cannot be read ({error.strerror or error})", name)


def _read(source: Source, name: str, config: TextConfig, skipped: Skipped) -> Iterator[RawDocument]:
    try:
        with open_source(source) as stream:
            if source.kind == "txt":
                yield from _documents(text_lines(stream, name, skipped), name, stream.position, skipped)
            elif source.kind == "jsonl":
                texts = jsonl_texts(stream, name, config.field, skipped)
                yield from _documents(_paragraphs(texts, name, skipped), name, stream.position, skipped)
            else:
                table = ParquetTexts(stream, name, config.field, skipped)
                lines = _paragraphs(iter(table), name, skipped)
                yield from _documents(lines, name, lambda: int(table.share * source.size), skipped)
    except UnusableFile as error:
        skipped.add(str(error), name)


def _documents(
    lines: Iterator[NumberedText], name: str, position: Callable[[], int], skipped: Skipped
) -> Iterator[RawDocument]:
    """Group lines into documents at blank lines; a document that grows too large is cut in two."""
    document: list[str] = []
    first = size = 0
    for number, text in lines:
        if not text or text.isspace():
            if document:
                yield RawDocument(name, first, document, position())
                document, size = [], 0
            continue
        if size + len(text) > LARGEST_DOCUMENT or len(document) == MOST_LINES:
            skipped.note("document cut", f"{name}:{number}")
            yield RawDocument(name, first, document, position())
            document, size = [], 0
        if not document:
            first = number
        document.append(text)
        size += len(text)
    if document:
        yield RawDocument(name, first, document, position())


def _paragraphs(texts: Iterator[NumberedText], name: str, skipped: Skipped) -> Iterator[NumberedText]:
    """The paragraphs of each text as lines, and a blank line after each text."""
    for number, text in texts:
        for line in text.split("\n"):
            if len(line) > LONGEST_LINE:
                skipped.note("line cut", f"{name}:{number}")
                yield from ((number, piece) for piece in cut_text(line))
            elif line and not line.isspace():
                yield number, line
        yield number, ""
