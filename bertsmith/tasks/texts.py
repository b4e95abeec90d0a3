"""Text that a model is asked about: read as a corpus is, and what cannot be read is told."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bertsmith import console
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


def tell(skipped: Skipped) -> None:
    """A warning for each reason why something was left out."""
    for reason, count in skipped.counts.items():
        console.warn(f"{count} times {reason}, first at {skipped.examples[reason][0]}")
