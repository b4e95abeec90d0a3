"""The demo's text and its closing words: the whole way on text that every Python carries, its own documentation."""

from __future__ import annotations

import ast
import inspect
import re
import sysconfig
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from bertsmith.console import render_table
from bertsmith.errors import BertsmithError
from bertsmith.randomness import key, permutation, uniform
from bertsmith.store import fingerprint, write_atomic
from bertsmith.text.sentences import split

SKIPPED_FOLDERS = frozenset(
    {"test", "tests", "idle_test", "site-packages", "dist-packages", "__pycache__", "ensurepip", "_pyrepl"}
)
HELD_OUT = 20  # one document in so many is kept away from training
ASKED = 8  # hidden words shown, and pairs
KNOWN = 20  # times a word must occur in the learnt text to be asked for
SHORTEST, LONGEST = 7, 30  # words of a sentence that is shown
WORD = re.compile(r"\b[A-Za-z]{3,}\b")
NEXT = """Next, with your own text (a file, a folder; a blank line between documents):
  bertsmith prepare bert-mini --text YOUR_FILES --out corpus
  bertsmith pretrain bert-mini --corpus corpus --out run --training.minutes 40
  bertsmith predict fill-mask --from run "Some text with a [MASK]." """
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


class HiddenWord(NamedTuple):
    """A sentence with one word hidden, and the word."""

    text: str
    word: str


class Pair(NamedTuple):
    """Two sentences, and whether the second follows the first."""

    first: str
    second: str
    is_next: bool


class Questions(NamedTuple):
    """What the demo asks its model. All of it comes from the held-out documents and is drawn by the seed alone."""

    hidden: list[HiddenWord]
    pairs: list[Pair]


def questions(gathered: Gathered, seed: int) -> Questions:
    """Sentences of the held-out documents to fill in and pairs of them to judge.

    Only words that the learnt text holds at least 20 times are hidden: shorter training knows no others.
    """
    known = Counter(WORD.findall(gathered.text.read_text("utf-8")))
    documents = [_sentences(document) for document in gathered.held_out.read_text("utf-8").split("\n\n")]
    sentences = sorted({sentence for document in documents for sentence in document if _is_fit(sentence)})
    hidden: list[HiddenWord] = []
    for index in permutation(key(seed, "demo sentences"), len(sentences)).tolist():
        sentence = sentences[index]
        words = [match for match in WORD.finditer(sentence) if known[match.group()] >= KNOWN]
        if words and len(hidden) < ASKED:
            match = words[int(uniform(key(seed, "demo words"), index) * len(words))]
            hidden.append(HiddenWord(sentence[: match.start()] + "[MASK]" + sentence[match.end() :], match.group()))
    return Questions(hidden, _pairs(documents, sentences, seed))


def _sentences(document: str) -> list[str]:
    return [sentence for line in document.splitlines() for sentence in split(line)]


def _is_fit(sentence: str) -> bool:
    """Whether a sentence is good to show: whole, neither very short nor very long."""
    return SHORTEST <= len(sentence.split()) <= LONGEST and sentence.endswith(".")


def _pairs(documents: list[list[str]], sentences: list[str], seed: int) -> list[Pair]:
    """As many true as random pairs: neighbours in a document, and their first sentence with any other sentence."""
    neighbours = [pair for document in documents for pair in pairwise(document) if all(map(_is_fit, pair))]
    pairs: list[Pair] = []
    for turn, index in enumerate(permutation(key(seed, "demo pairs"), len(neighbours))[:ASKED].tolist()):
        first, second = neighbours[index]
        if turn % 2:
            second = sentences[int(uniform(key(seed, "demo random sentences"), index) * len(sentences))]
        pairs.append(Pair(first, second, second == neighbours[index][1]))
    return pairs


def render(result: Mapping[str, Any]) -> str:
    """The demo's findings beside its two baselines, what the model answered, and what to type next.

    `result`: mlm and pairs (as `evaluate` gives them), questions, fillings and judgements (as `predict` gives them, in
    the order of the questions) and report (a path).
    """
    mlm, pairs = result["mlm"], result["pairs"]
    figures = [
        ["loss of masked tokens, nats", f"{mlm['loss']:.2f}", f"{mlm['unigram_loss']:.2f} by frequencies alone"],
        ["masked tokens restored", f"{mlm['accuracy']:.1%}", ""],
        ["tokens of hidden words restored", f"{mlm['word_accuracy']:.1%}", ""],
        ["pairs judged rightly", f"{pairs['accuracy']:.1%}", f"{pairs['constant_accuracy']:.1%} by one answer for all"],
    ]
    hidden, judged = [], []
    for (text, word), [candidates] in zip(result["questions"]["hidden"], result["fillings"], strict=True):
        best = ", ".join(f"{candidate['token']} {candidate['score']:.0%}" for candidate in candidates[:3])
        hidden.append(["✓" if candidates[0]["token"] == word.lower() else "✗", _short(text), word, best])
    for (first, second, truth), answer in zip(result["questions"]["pairs"], result["judgements"], strict=True):
        sign = "✓" if (answer["is_next"] > 0.5) == truth else "✗"
        probability = f"{answer['is_next']:.0%}"
        judged.append([sign, probability, "is next" if truth else "random", _short(first, 48), _short(second, 48)])
    return "\n\n".join(
        [
            render_table("documents the model has not seen", figures, ["", "model", "to compare"]),
            render_table("hidden words", hidden, ["", "sentence", "hidden", "the model's three best"]),
            render_table("pairs", judged, ["", "P(is next)", "truth", "first", "second"]),
            f"report: {result['report']}",
            NEXT,
        ]
    )


def _short(text: str, width: int = 72) -> str:
    """The text cut to a width; around its `[MASK]` where it has one."""
    if len(text) <= width:
        return text
    place = max(0, text.find("[MASK]"))
    start = max(0, min(place - width // 2, len(text) - width))
    cut = text[start : start + width]
    return ("…" if start else "") + cut[1 if start else 0 : -1] + ("…" if start + width < len(text) else text[-1])
