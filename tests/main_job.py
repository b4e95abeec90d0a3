"""The main job on a made-up language: text -> corpus -> model, through the command line."""

from __future__ import annotations

import io
import json
import random
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from bertsmith import cli

SUBJECTS = ("the cat", "the dog", "a bird", "my sister", "our teacher")
VERBS = {"eats": ("fish", "bread", "rice"), "reads": ("books", "letters", "maps"), "sees": ("hills", "boats", "stars")}
PLACES = ("at home .", "in town .", "by the sea .", "at school .")
SHRUNK = (
    *("--tokenizer.size", "400", "--text.sentences", "line", "--text.validation-share", "0.1"),
    *("--model.hidden-size", "64", "--cut.length", "64", "--training.batch-size", "16", "--training.steps", "150"),
    *("--training.precision", "fp32", "--training.compile", "off", "--training.learning-rate", "3e-3"),
    *("--training.threads", "1"),
)


class MainJob(NamedTuple):
    """Where everything lies, and what the two commands printed."""

    text: Path
    held_out: Path
    corpus: Path
    run: Path
    prepared: dict[str, Any]
    trained: dict[str, Any]


def ask(*arguments: str | Path) -> Any:
    """What a command line prints with --json."""
    printed = io.StringIO()
    with redirect_stdout(printed):
        code = cli.run([*map(str, arguments), "--json"])
    assert code == 0
    return json.loads(printed.getvalue())


def write_language(path: Path, documents: int, seed: int) -> Path:
    """Documents of sentences in which the object depends on the verb: a context that frequencies alone miss."""
    draw = random.Random(seed)
    lines: list[str] = []
    for _ in range(documents):
        subject = draw.choice(SUBJECTS)  # one for a whole document, so that pairs can be told apart
        for _ in range(draw.randint(4, 9)):
            verb = draw.choice(list(VERBS))
            lines.append(f"{subject} {verb} {draw.choice(VERBS[verb])} {draw.choice(PLACES)}")
        lines.append("")
    path.write_text("\n".join(lines), "utf-8")
    return path


def do_main_job(folder: Path) -> MainJob:
    """Prepare and pretrain with the shipped recipe bert-tiny, shrunk."""
    text = write_language(folder / "text.txt", 300, seed=1)
    held_out = write_language(folder / "held-out.txt", 40, seed=2)
    corpus, run = folder / "corpus", folder / "run"
    prepared = ask("prepare", "bert-tiny", "--text", text, "--out", corpus, *SHRUNK)
    trained = ask("pretrain", "bert-tiny", "--corpus", corpus, "--out", run, *SHRUNK)
    return MainJob(text, held_out, corpus, run, prepared, trained)


@pytest.fixture(scope="session")
def main_job(tmp_path_factory: pytest.TempPathFactory) -> MainJob:
    """Done once for all tests of a process, which only read it."""
    return do_main_job(tmp_path_factory.mktemp("main_job"))
