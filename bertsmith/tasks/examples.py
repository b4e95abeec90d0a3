"""Examples of the tasks, as their files hold them: text and labels, before any tokenizer."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

TaskType = Literal["classification", "regression", "choice", "tagging", "answering", "similarity"]


class TextExample(NamedTuple):
    """One text, or a pair of texts, with a label (classification), a score (regression), or None where there is none.

    Of similarity the label is a score too, or 1 for texts that belong together and 0 for texts that do not; a text
    alone belongs with itself.

    name: the published id of an unlabelled row that has one, otherwise "file:line".
    """

    name: str
    first: str
    second: str | None
    label: str | float | None


class ChoiceExample(NamedTuple):
    """A context, a question and two answers or more to choose from; label: which of them is right, from 0."""

    name: str
    context: str
    question: str
    choices: tuple[str, ...]
    label: int | None


class TaggedExample(NamedTuple):
    """Words with a tag each. spaced: whether spaces stand between the words.

    Where `spaced` is False the words are the characters of the text, its white space included, so that the text is
    their concatenation and their places are its offsets. Such a word may be white space, which no tokenizer knows.
    """

    name: str
    words: tuple[str, ...]
    tags: tuple[str, ...] | None
    spaced: bool


class Answer(NamedTuple):
    """The text of an answer, and its first character in the context: -1 where the context does not hold the text."""

    text: str
    start: int


class AnswerExample(NamedTuple):
    """A question on a context. answers: all that count as right; none where there is no answer or none is published.

    name: the id of the question. impossible: the context holds no answer, and the file says so.
    """

    name: str
    context: str
    question: str
    answers: tuple[Answer, ...]
    impossible: bool


Example = TextExample | ChoiceExample | TaggedExample | AnswerExample


def is_labelled(example: Example) -> bool:
    """Whether it is known what is right."""
    match example:
        case TextExample() | ChoiceExample():
            return example.label is not None
        case TaggedExample():
            return example.tags is not None
        case AnswerExample():
            return example.impossible or bool(example.answers)


def texts_in(example: TextExample) -> tuple[str, ...]:
    """One text or two."""
    return (example.first,) if example.second is None else (example.first, example.second)


def content(example: Example) -> tuple[Any, ...]:
    """What is asked, without its name and its label."""
    match example:
        case TextExample():
            return example.first, example.second
        case ChoiceExample():
            return example.context, example.question, example.choices
        case TaggedExample():
            return (example.words,)
        case AnswerExample():
            return example.context, example.question
