"""Text that a model is asked about: read as a corpus is, and what cannot be read is told."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from bertsmith import console
from bertsmith.errors import UsageError
from bertsmith.text.config import TextConfig
from bertsmith.text.documents import find, read
from bertsmith.text.sentences import sentences_of
from bertsmith.text.skipped import Skipped


def documents(paths: Sequence[str], text: TextConfig) -> Iterator[list[str]]:
    """Clean sentences of each document; what was skipped is told at the end."""
    skipped = Skipped(fail=text.on_bad == "fail")
    for source in find(paths):
        for document in read(source, text, skipped):
            sentences = sentences_of(document.lines, text)
            if sentences:
                yield sentences
    tell(skipped)


def text_lines(source: Path) -> list[str]:
    """The lines of a file that hold text. UsageError when it is not there or no UTF-8."""
    try:
        lines = [line.removesuffix("\r") for line in source.read_text("utf-8-sig").split("\n")]
    except UnicodeDecodeError as error:
        raise UsageError(f"{source}: is not UTF-8 text (byte {error.start})") from error
    except (FileNotFoundError, IsADirectoryError) as error:
        raise UsageError(f"{source}: there is no such file") from error
    return [line for line in lines if line.strip()]


def tell(skipped: Skipped) -> None:
    """A warning for each reason why something was left out."""
    for reason, count in skipped.counts.items():
        console.warn(f"{count} times {reason}, first at {skipped.examples[reason][0]}")
