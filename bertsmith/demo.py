"""The demo's text and its closing words: the whole way on text that every Python carries, its own documentation."""

from __future__ import annotations

import ast
import inspect
import re
import sysconfig
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from bertsmith.errors import BertsmithError
from bertsmith.store import fingerprint, write_atomic

SKIPPED_FOLDERS = frozenset(
    {"test", "tests", "idle_test", "site-packages", "dist-packages", "__pycache__", "ensurepip", "_pyrepl"}
)
HELD_OUT = 20  # one document in so many is kept away from training
SMALLEST = 500_000  # characters; a Python whose library is stripped of its sources gives less, and teaches nothing


class Gathered(NamedTuple):
    """Where the demo's text is: `text` to learn from and `held_out` (a twentieth of the documents) to be judged on."""

    text: Path
    held_out: Path


def gather(folder: Path) -> Gathered:
    """Write the English documentation of this Python (about 2 MB) to `folder`, in two files.

    One paragraph per line, a blank line between documents: the help topics that `pydoc` shows, then per source file
    of the standard library its docstrings. A paragraph that was seen before is left out, so nothing held out was
    learnt. Sources are parsed, never imported; the same Python gives the same bytes. Raises BertsmithError when this
    Python carries too little documentation.
    """
    library = Path(sysconfig.get_paths()["stdlib"])
    learnt, held_out, seen = [], [], set()
    for name, paragraphs in [*_topics(library), *_docstrings(library)]:
        fresh = list(dict.fromkeys(paragraph for paragraph in paragraphs if paragraph not in seen))
        seen.update(fresh)
        if fresh:
            chosen = int(fingerprint(name), 16) % HELD_OUT == 0
            (held_out if chosen else learnt).append("\n".join(fresh))
    size = sum(map(len, learnt))
    if size < SMALLEST:
        raise BertsmithError(
            f"this Python carries only {size:,} characters of documentation in {library}: "
            "use one with the sources of its standard library, or prepare a text of your own"
        )
    gathered = Gathered(folder / "python-documentation.txt", folder / "held-out.txt")
    for path, documents in zip(gathered, (learnt, held_out), strict=True):
        write_atomic(path, ("\n\n".join(documents) + "\n").encode("utf-8", "replace"))
    return gathered


def _topics(library: Path) -> Iterator[tuple[str, list[str]]]:
    """The help topics, one document each. They are one dictionary of strings in a generated file."""
    for tree in _parsed(library / "pydoc_data" / "topics.py"):
        for node in ast.walk(tree):
            if isinstance(node, ast.Dict):
                for name, text in zip(node.keys, node.values, strict=True):
                    if isinstance(name, ast.Constant) and isinstance(text, ast.Constant):
                        yield f"topic {name.value}", list(prose(str(text.value)))


def _docstrings(library: Path) -> Iterator[tuple[str, list[str]]]:
    """All docstrings of one source file, in the order of the file, as one document."""
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    for source in sorted(library.rglob("*.py")):
        name = source.relative_to(library)
        if SKIPPED_FOLDERS.intersection(name.parts[:-1]):
            continue
        for tree in _parsed(source):
            nodes = [node for node in ast.walk(tree) if isinstance(node, documented)]
            nodes.sort(key=lambda node: getattr(node, "lineno", 0))
            yield name.as_posix(), [text for node in nodes for text in prose(ast.get_docstring(node) or "")]


def _parsed(source: Path) -> Iterator[ast.Module]:
    """The syntax tree of a source file; nothing for a file that is missing or is no Python of this version."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # other people's invalid escapes
            yield ast.parse(source.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return


def prose(text: str) -> Iterator[str]:
    """The paragraphs of a docstring that are sentences, each on one line: no examples, tables, titles or rules."""
    for block in re.split(r"\n\s*\n", inspect.cleandoc(text)):
        lines = [line.strip() for line in block.splitlines()]
        if any(line.startswith((">>>", "...", "$ ", "+--", "|")) for line in lines):
            continue
        lines = [line for line in lines if not re.fullmatch(r"[-=~*^#+\s]*", line)]
        joined = re.sub(r"(\w-) (?=\w)", r"\1", " ".join(lines))  # a word broken at its hyphen
        paragraph = re.sub(r"\s+", " ", joined).strip()
        letters = sum(character.isalpha() or character == " " for character in paragraph)
        if len(paragraph.split()) >= 4 and letters >= 0.8 * len(paragraph):
            yield paragraph
