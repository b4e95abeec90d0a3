"""What can be asked of a model for the rows of a file, and what the answers look like. Needs no torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Text = str | tuple[str, str]
Options = Mapping[str, Any]
ERROR = "error"
PAIR = ("a", "a")


@dataclass(frozen=True)
class Verb:
    """One verb of `predict`.

    texts: how many texts a row may hold; wanted: the same in words. columns: of its results in tables, `error` apart.
    ask: the predictor on texts and with the verb's options. probe: a text that any model with the right head answers.
    """

    name: str
    texts: tuple[int, ...]
    wanted: str
    columns: tuple[str, ...]
    ask: Callable[[Any, list[Any], Options], Sequence[Any]]
    probe: Text = "a"

    @property
    def single(self) -> bool:
        """Whether it reads one text alone, so that a tab is white space."""
        return self.texts == (1,)

    def record(self, result: Any) -> dict[str, Any]:
        """A result as one row of a table: a list stands in the verb's only column."""
        return result if isinstance(result, dict) else {self.columns[0]: result}


def _embed(predictor: Any, texts: list[Any], options: Options) -> list[Any]:
    return [{"embedding": vector} for vector in predictor.embed(texts, **options)]


VERBS: dict[str, Verb] = {
    verb.name: verb
    for verb in (
        Verb("fill-mask", (1,), "one text", ("masks",), lambda p, texts, o: p.fill_mask(texts, **o), "a [MASK]"),
        Verb(
            "next-sentence",
            (2,),
            "two texts",
            ("is_next",),
            lambda p, pairs, o: p.next_sentence(pairs, **o),
            PAIR,
        ),
        Verb("classify", (1, 2), "one text or two", ("label", "score"), lambda p, texts, o: p.classify(texts, **o)),
        Verb("tag", (1,), "one text", ("entities",), lambda p, texts, o: p.tag(texts, **o)),
        Verb(
            "answer",
            (2,),
            "a question and its context",
            ("answer", "score", "start", "end"),
            lambda p, asked, o: p.answer(asked, **o),
            PAIR,
        ),
        Verb("similarity", (2,), "two texts", ("score",), lambda p, pairs, o: p.similarity(pairs, **o), PAIR),
        Verb("embed", (1,), "one text", ("embedding",), _embed),
    )
}
"""The explicit table of verbs."""
