"""Multiple choice: RACE's passages, and the one JSON array of DREAM and C3."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from bertsmith.errors import UsageError
from bertsmith.tasks.examples import ChoiceExample
from bertsmith.tasks.readers.files import json_document, json_lines
from bertsmith.text.cleaning import clean
from bertsmith.text.skipped import Skipped

LETTERS = "ABCDEFGH"


def read_dialogues(path: Path, skipped: Skipped) -> list[ChoiceExample]:
    """DREAM and C3: [[turns or paragraphs], [{question, choice, answer}], id] for each context."""
    document = json_document(path)
    if not isinstance(document, list):
        raise UsageError(f"{path}: is no JSON array of dialogues")
    found: list[ChoiceExample] = []
    for number, entry in enumerate(document, 1):
        place = f"{path}: entry {number}"
        if not _is_entry(entry):
            skipped.add("not [texts, questions, id]", place)
            continue
        context = "\n".join(clean(turn) for turn in entry[0])
        for index, question in enumerate(entry[1]):
            name = f"{entry[2]}-{index}"
            values: dict[str, Any] = question if isinstance(question, dict) else {}
            choices, answer = values.get("choice"), values.get("answer")
            if not isinstance(choices, list) or not _are_choices(choices):
                skipped.add("no list of at least two choices", f"{path}: {name}")
            elif answer is not None and answer not in choices:
                skipped.add("the answer is none of the choices", f"{path}: {name}")
            else:
                label = None if answer is None else choices.index(answer)
                found.append(_example(name, context, str(values.get("question", "")), choices, label))
    return found


def _is_entry(entry: object) -> bool:
    if not isinstance(entry, list) or len(entry) != 3:
        return False
    texts, questions, name = entry
    return _all_text(texts) and isinstance(questions, list) and isinstance(name, str | int)


def _all_text(values: object) -> bool:
    return isinstance(values, list) and all(isinstance(value, str) for value in values)


def _are_choices(choices: object) -> bool:
    return isinstance(choices, list) and len(choices) >= 2 and _all_text(choices)


def _example(name: str, context: str, question: str, choices: Sequence[str], label: int | None) -> ChoiceExample:
    return ChoiceExample(name, context, clean(question), tuple(clean(choice) for choice in choices), label)


def read_race(path: Path, skipped: Skipped) -> list[ChoiceExample]:
    """RACE: one passage in a file, {article, questions, options, answers, id}; or one on each line (.jsonl)."""
    found: list[ChoiceExample] = []
    for place, values in _passages(path, skipped):
        article, questions, options = (values.get(key) for key in ("article", "questions", "options"))
        answers = values.get("answers")
        if not isinstance(article, str) or not _all_text(questions) or not isinstance(options, list):
            skipped.add("no article, questions and options", place)
            continue
        assert isinstance(questions, list)
        if len(options) != len(questions) or (isinstance(answers, list) and len(answers) != len(questions)):
            skipped.add("not as many options or answers as questions", place)
            continue
        name = str(values.get("id") or place)
        context = "\n".join(filter(None, map(clean, article.split("\n"))))
        letters: list[Any] = answers if isinstance(answers, list) else [None] * len(questions)
        for index, (question, choices, letter) in enumerate(zip(questions, options, letters, strict=True)):
            if not _are_choices(choices):
                skipped.add("no list of at least two choices", f"{place}: question {index + 1}")
            elif letter is not None and letter not in tuple(LETTERS[: len(choices)]):
                skipped.add("the answer is none of the choices", f"{place}: question {index + 1}")
            else:
                label = None if letter is None else LETTERS.index(letter)
                found.append(_example(f"{name}-{index}", context, question, choices, label))
    return found


def _passages(path: Path, skipped: Skipped) -> Iterator[tuple[str, dict[str, Any]]]:
    if path.name.removesuffix(".gz").endswith(".jsonl"):
        yield from json_lines(path, skipped)
        return
    document = json_document(path)
    if not isinstance(document, dict):
        raise UsageError(f"{path}: is no JSON object with article, questions, options and answers")
    yield str(path), document
