"""Questions on contexts: SQuAD 1.1 and 2.0, DRCD in the same form, and CMRC2018 in both of its forms."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from bertsmith.errors import UsageError
from bertsmith.tasks.examples import Answer, AnswerExample
from bertsmith.tasks.readers.files import in_place, json_document
from bertsmith.text.skipped import Skipped

MOVED = "an answer that is not where the file says; taken where its text stands nearest"
NOT_THERE = "an answer whose text is not in its context; it counts in scores, not in training"


class Question(NamedTuple):
    """A question as a file holds it, still unchecked; answers: None where none are published."""

    context: str
    question: Any
    name: Any
    answers: list[Any] | None
    impossible: bool


def read_squad1(path: Path, skipped: Skipped) -> list[AnswerExample]:
    """SQuAD 1.1 and DRCD: data, paragraphs, qas, answers with text and answer_start. Every question has an answer."""
    return _examples(path, _squad_questions(path, json_document(path), skipped), skipped)


def read_squad2(path: Path, skipped: Skipped) -> list[AnswerExample]:
    """SQuAD 2.0: the same with is_impossible; a question with an empty list of answers has none either."""
    return _examples(path, _squad_questions(path, json_document(path), skipped), skipped, no_answer=True)


def read_cmrc(path: Path, skipped: Skipped) -> list[AnswerExample]:
    """CMRC2018 in SQuAD's form, or as an array of {context_text, qas: [{query_text, query_id, answers}]}.

    The array has no places: an answer is taken where its text stands first.
    """
    document = json_document(path)
    flat = isinstance(document, list) and any(isinstance(entry, dict) and "context_text" in entry for entry in document)
    questions = _flat_questions(path, document, skipped) if flat else _squad_questions(path, document, skipped)
    return _examples(path, questions, skipped)


def _squad_questions(path: Path, document: Any, skipped: Skipped) -> Iterator[Question]:
    data = document.get("data") if isinstance(document, dict) else None
    if not isinstance(data, list):
        raise UsageError(f"{path}: has no list 'data', so it is not in SQuAD's form")
    for number, article in enumerate(data, 1):
        paragraphs = article.get("paragraphs") if isinstance(article, dict) else None
        if not isinstance(paragraphs, list):
            skipped.add("an article without paragraphs", f"{path}: article {number}")
            continue
        for index, paragraph in enumerate(paragraphs, 1):
            context, asked = (
                (paragraph.get("context"), paragraph.get("qas")) if isinstance(paragraph, dict) else (None, None)
            )
            if not isinstance(context, str) or not isinstance(asked, list):
                skipped.add("a paragraph without context and questions", f"{path}: article {number}, {index}")
                continue
            yield from _asked(context, asked, ("question", "id"), f"{path}: article {number}, {index}", skipped)


def _flat_questions(path: Path, document: list[Any], skipped: Skipped) -> Iterator[Question]:
    for number, entry in enumerate(document, 1):
        context, asked = (entry.get("context_text"), entry.get("qas")) if isinstance(entry, dict) else (None, None)
        if not isinstance(context, str) or not isinstance(asked, list):
            skipped.add("a paragraph without context and questions", f"{path}: entry {number}")
            continue
        yield from _asked(context, asked, ("query_text", "query_id"), f"{path}: entry {number}", skipped)


def _asked(context: str, asked: list[Any], keys: tuple[str, str], place: str, skipped: Skipped) -> Iterator[Question]:
    for entry in asked:
        if not isinstance(entry, dict):
            skipped.add("a question that is no JSON object", place)
            continue
        answers = entry.get("answers")
        impossible = entry.get("is_impossible", answers == []) is True
        if answers is not None and not isinstance(answers, list):
            skipped.add("answers that are no list", place)
            continue
        yield Question(context, entry.get(keys[0]), entry.get(keys[1]), answers, impossible)


def _examples(
    path: Path, questions: Iterator[Question], skipped: Skipped, no_answer: bool = False
) -> list[AnswerExample]:
    found: list[AnswerExample] = []
    names: set[str] = set()
    for question in questions:
        place = f"{path}: question {question.name}"
        text = in_place(question.question).strip() if isinstance(question.question, str) else ""
        if not text or not isinstance(question.name, str | int):
            skipped.add("a question without text or id", place)
        elif str(question.name) in names:
            skipped.add("a second question of the same id", place)
        elif question.impossible and question.answers:
            skipped.add("a question marked impossible that has answers", place)
        elif question.impossible and not no_answer:
            skipped.add("a question without an answer (the task squad2 takes those)", place)
        elif (answers := _answers(question, place, skipped)) is None:
            skipped.add("answers without text", place)
        elif question.answers is not None and not answers and not question.impossible:
            skipped.add("a question without answers that is not marked impossible", place)
        else:
            names.add(str(question.name))
            context = in_place(question.context)
            found.append(AnswerExample(str(question.name), context, text, answers, question.impossible))
    return found


def _answers(question: Question, place: str, skipped: Skipped) -> tuple[Answer, ...] | None:
    """The answers, each where it stands in the context; None when one of them has no text."""
    context = in_place(question.context)
    found: list[Answer] = []
    for entry in question.answers or ():
        told = isinstance(entry, dict)
        text = _text(entry.get("text") if told else entry)
        if text is None:
            return None
        stated = entry.get("answer_start") if told else 0
        start = place_of(text, context, stated if isinstance(stated, int) else -1)
        if start < 0:
            skipped.note(NOT_THERE, place)
        elif told and start != stated:
            skipped.note(MOVED, place)
        found.append(Answer(text, start))
    return tuple(found)


def _text(value: object) -> str | None:
    """Text of an answer; some of CMRC2018's are JSON numbers."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        return None
    text = in_place(str(value))
    return text if text.strip() else None


def place_of(text: str, context: str, stated: int) -> int:
    """Where the text stands in the context: at `stated`, or else where it is nearest to it; -1 = nowhere."""
    if stated >= 0 and context.startswith(text, stated):
        return stated
    before, after = context.rfind(text, 0, max(stated, 0) + len(text)), context.find(text, max(stated, 0))
    if before < 0 or after < 0:
        return max(before, after)
    return before if stated - before <= after - stated else after
