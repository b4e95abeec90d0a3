"""Examples of a task as a model reads them. Tagging and answering have files of their own."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from bertsmith.data.labelled import Kind, LabelledExample
from bertsmith.data.sequences import TokenSequence, pair, single
from bertsmith.errors import UsageError
from bertsmith.models.config import TaskHead
from bertsmith.tasks.answering import AnswerEncoder
from bertsmith.tasks.examples import ChoiceExample, Example, TaskType, TextExample, texts_in
from bertsmith.tasks.finetuning_config import TaskConfig
from bertsmith.tasks.inputs import Inputs, compact
from bertsmith.tasks.tagging import TagEncoder
from bertsmith.tasks.task import Task
from bertsmith.tokenizers.tokenizer import Tokenizer

SCORE = "score"  # the name of a regression's one output
TEXTS_AT_ONCE = 1024
NO_ROWS = np.zeros(0, dtype=np.int64)
KINDS: dict[TaskType, Kind] = {
    "classification": "sequence",
    "regression": "sequence",
    "tagging": "tokens",
    "answering": "span",
    "choice": "choice",
    "similarity": "pair",
}
Ids = npt.NDArray[Any]


class Encoder(Protocol):
    """Turns examples of one type into inputs of a model. truncated: how many of them were cut so far."""

    truncated: int

    def encode(self, examples: Sequence[Any]) -> list[Inputs]:
        """What the model reads of each example."""
        ...

    def labelled(self, example: Any, inputs: Inputs) -> list[LabelledExample]:
        """What is trained of an example; UsageError naming a label that the head does not know."""
        ...


class Encoded(NamedTuple):
    """A part ready for training. unplaced: answers that are not where they are said to be, and left out."""

    examples: list[LabelledExample]
    truncated: int
    unplaced: int


def head_for(task: Task, labels: Sequence[str]) -> TaskHead | None:
    """The head that a task needs; None where the encoder's own vectors are trained.

    labels: in the order of its outputs; read for classification and tagging.
    """
    kind = KINDS[task.type]
    if kind == "pair":
        return None
    if task.type == "regression":
        return TaskHead("sequence", (SCORE,), regression=True)
    named = task.type in ("classification", "tagging")
    return TaskHead(kind, tuple(labels) if named else ())


def encoder_for(
    task: Task, head: TaskHead | None, tokenizer: Tokenizer, max_length: int, config: TaskConfig
) -> Encoder:
    """The encoder of a task's examples. max_length: tokens of a sequence, special tokens included."""
    if head is None:
        return PairEncoder(tokenizer, max_length, config.objective)
    if task.type == "tagging":
        return TagEncoder(tokenizer, max_length, head.labels, config.stride)
    if task.type == "answering":
        return AnswerEncoder(tokenizer, max_length, config.stride)
    if task.type == "choice":
        return ChoiceEncoder(tokenizer, max_length)
    return TextEncoder(tokenizer, max_length, head)


def encode_part(encoder: Encoder, examples: Sequence[Example]) -> Encoded:
    """All examples of a training part, ready for training."""
    found: list[LabelledExample] = []
    unplaced = 0
    for start in range(0, len(examples), TEXTS_AT_ONCE):
        several = examples[start : start + TEXTS_AT_ONCE]
        for example, inputs in zip(several, encoder.encode(several), strict=True):
            labelled = encoder.labelled(example, inputs)
            unplaced += not labelled
            found += labelled
    return Encoded(found, encoder.truncated, unplaced)


def ids_of(tokenizer: Tokenizer, texts: Iterable[str]) -> list[Ids]:
    """The token ids of each text, without special tokens."""
    encoding = tokenizer.encode_sentences(list(texts))
    return np.split(encoding.token_ids, np.cumsum(encoding.lengths)[:-1]) if len(encoding.lengths) else []


def shared_room(first: int, second: int, room: int) -> tuple[int, int]:
    """Tokens that two segments of these lengths keep where they share a room: the longer one is cut first."""
    kept = min(first, max(room - second, -(-room // 2)))
    return kept, min(second, room - kept)


class TextEncoder:
    """One text, or two: `[CLS] text [SEP]`, `[CLS] first [SEP] second [SEP]`; what does not fit is cut at the end."""

    def __init__(self, tokenizer: Tokenizer, max_length: int, head: TaskHead) -> None:
        self.tokenizer, self.max_length = tokenizer, max_length
        self.regression, self.ids = head.regression, {label: number for number, label in enumerate(head.labels)}
        self.truncated = 0

    def encode(self, examples: Sequence[TextExample]) -> list[Inputs]:
        """See Encoder."""
        firsts = ids_of(self.tokenizer, (example.first for example in examples))
        seconds = ids_of(self.tokenizer, (example.second or "" for example in examples))
        found = []
        for example, first, second in zip(examples, firsts, seconds, strict=True):
            sequence, cut = fitted(self.tokenizer, first, None if example.second is None else second, self.max_length)
            self.truncated += cut
            found.append(Inputs((sequence,)))
        return found

    def labelled(self, example: TextExample, inputs: Inputs) -> list[LabelledExample]:
        """See Encoder."""
        if self.regression:
            assert isinstance(example.label, float | int)
            label = np.array([example.label], dtype=np.float32)
        elif example.label in self.ids:
            label = np.array([self.ids[str(example.label)]])
        else:
            raise unknown_label(example.name, str(example.label), self.ids)
        return [LabelledExample(inputs.sequences, NO_ROWS, label)]


class ChoiceEncoder:
    """One sequence for each choice: `[CLS] context [SEP] question choice [SEP]`, cut as a pair is."""

    def __init__(self, tokenizer: Tokenizer, max_length: int) -> None:
        self.tokenizer, self.max_length = tokenizer, max_length
        self.truncated = 0

    def encode(self, examples: Sequence[ChoiceExample]) -> list[Inputs]:
        """See Encoder."""
        contexts = ids_of(self.tokenizer, (example.context for example in examples))
        questions = ids_of(self.tokenizer, (f"{e.question} {choice}".strip() for e in examples for choice in e.choices))
        found, place = [], 0
        for example, context in zip(examples, contexts, strict=True):
            own = questions[place : place + len(example.choices)]
            place += len(own)
            several = [fitted(self.tokenizer, context, question, self.max_length) for question in own]
            self.truncated += any(cut for _, cut in several)
            found.append(Inputs(tuple(sequence for sequence, _ in several)))
        return found

    def labelled(self, example: ChoiceExample, inputs: Inputs) -> list[LabelledExample]:
        """See Encoder."""
        return [LabelledExample(inputs.sequences, NO_ROWS, np.array([example.label]))]


class PairEncoder:
    """Two texts as a sequence each, or one alone: `[CLS] text [SEP]`; what does not fit is cut at the end.

    objective: what is trained of them (finetuning_config.LEARNT_FROM).
    """

    def __init__(self, tokenizer: Tokenizer, max_length: int, objective: str) -> None:
        self.tokenizer, self.max_length, self.objective = tokenizer, max_length, objective
        self.truncated = 0

    def encode(self, examples: Sequence[TextExample]) -> list[Inputs]:
        """See Encoder."""
        every = [texts_in(example) for example in examples]
        ids = iter(ids_of(self.tokenizer, (text for texts in every for text in texts)))
        found = []
        for texts in every:
            several = [fitted(self.tokenizer, next(ids), None, self.max_length) for _ in texts]
            self.truncated += any(cut for _, cut in several)
            found.append(Inputs(tuple(sequence for sequence, _ in several)))
        return found

    def labelled(self, example: TextExample, inputs: Inputs) -> list[LabelledExample]:
        """See Encoder. Of simcse each text is an example of its own, together with itself."""
        assert isinstance(example.label, float)
        numbers = [_number_of(text) for text in texts_in(example)]
        if self.objective == "simcse":
            each = zip(inputs.sequences, numbers, strict=True)
            return [LabelledExample((one, one), NO_ROWS, np.array([[number, number, 1]])) for one, number in each]
        if self.objective == "cosine":
            return [LabelledExample(inputs.sequences, NO_ROWS, np.array([example.label], dtype=np.float32))]
        return [LabelledExample(inputs.sequences, NO_ROWS, np.array([[*numbers, int(example.label)]]))]


def _number_of(text: str) -> int:
    """The same for equal texts, another one for others: 63 bits of a hash."""
    return int.from_bytes(hashlib.blake2b(text.encode(errors="replace"), digest_size=8).digest()) >> 1


def fitted(tokenizer: Tokenizer, first: Ids, second: Ids | None, max_length: int) -> tuple[TokenSequence, bool]:
    """One or two segments as a sequence of at most `max_length` tokens, and whether anything was cut."""
    if second is None:
        room = max_length - 2
        return compact(single(first[:room], tokenizer.special), tokenizer), len(first) > room
    room = max_length - 2 - tokenizer.separators
    a, b = shared_room(len(first), len(second), room)
    sequence = pair(first[:a], second[:b], tokenizer.special, tokenizer.separators)
    return compact(sequence, tokenizer), a + b < len(first) + len(second)


def unknown_label(name: str, label: str, known: Iterable[str]) -> UsageError:
    """The error for a label that the head does not know."""
    names = list(known)
    more = ", ..." if len(names) > 8 else ""
    return UsageError(f"{name}: label {label[:60]!r} is not one of {', '.join(names[:8])}{more}")
