"""Entities from tags: which stretches of a text its words' BIO or BIOES tags spell."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from bertsmith.tasks.predictions import Tagged
from bertsmith.tasks.words import word_spans
from bertsmith.text.han import contains_han


class Span(NamedTuple):
    """Characters [start, end) of one label, and the mean probability of its words' tags."""

    label: str
    start: int
    end: int
    score: float


def words_of(text: str) -> list[tuple[int, int]]:
    """Where the words of a text stand, as the tasks' files divide it: Chinese by character, white space left out."""
    if contains_han(text):
        return [(place, place + 1) for place, character in enumerate(text) if not character.isspace()]
    return [(int(start), int(stop)) for start, stop in word_spans(text)]


def entities_of(prediction: Tagged, places: Sequence[Sequence[int]]) -> Iterator[Span]:
    """The entities that BIO or BIOES tags spell, by characters; an inside tag without a beginning begins one.

    places: (start, end) of each word.
    """
    first, label = 0, ""
    for number, tag in enumerate([*prediction.tags, "O"]):
        prefix, _, kind = tag.partition("-")
        kind = kind or tag  # a tag without a prefix is a label of its own
        if label and (prefix in ("O", "B", "S") or kind != label):
            scores = prediction.scores[first:number]
            yield Span(label, int(places[first][0]), int(places[number - 1][1]), sum(scores) / len(scores))
            label = ""
        if not label and prefix != "O":
            first, label = number, kind
        if label and prefix in ("E", "S"):
            scores = prediction.scores[first : number + 1]
            yield Span(label, int(places[first][0]), int(places[number][1]), sum(scores) / len(scores))
            label = ""
