"""What a model reads of texts, pairs and choices."""

from __future__ import annotations

import numpy as np
import pytest

from bertsmith.errors import UsageError
from bertsmith.tasks.encoding import ChoiceEncoder, TextEncoder, encode_part, encoder_for, shared_room
from bertsmith.tasks.examples import ChoiceExample, TextExample
from bertsmith.tasks.finetuning_config import TaskConfig
from tests.tiny_tasks import choices, head_of, questions, scores, tagged_texts, task_of, texts, tokenizer_of

ALL_KINDS = pytest.mark.parametrize("kind", ["wordpiece", "byte_bpe", "unigram"])
CLASSES = head_of(task_of("classification"), ("bad", "good"))


def cut_one_by_one(first: int, second: int, room: int) -> tuple[int, int]:
    """The longer segment loses a token until both fit; of equal ones the second."""
    while first + second > room:
        if first > second:
            first -= 1
        else:
            second -= 1
    return first, second


def test_the_longer_segment_is_cut_first() -> None:
    for first in range(9):
        for second in range(9):
            for room in range(2, 12):
                assert shared_room(first, second, room) == cut_one_by_one(first, second, room)


@ALL_KINDS
def test_texts_and_pairs_stand_between_special_tokens(kind: str) -> None:
    tokenizer = tokenizer_of(kind)
    special = tokenizer.special
    encoder = TextEncoder(tokenizer, 24, CLASSES)
    one, two = encoder.encode(
        [TextExample("a", "the cat sat", None, "good"), TextExample("b", "the cat sat", "on a mat", "bad")]
    )
    first, second = (tokenizer.encode_sentences([text]).token_ids.tolist() for text in ("the cat sat", "on a mat"))
    between = [special.sep] * tokenizer.separators
    assert one.sequences[0].token_ids.tolist() == [special.cls, *first, special.sep]
    assert two.sequences[0].token_ids.tolist() == [special.cls, *first, *between, *second, special.sep]
    assert two.sequences[0].first == 1 + len(first) + tokenizer.separators
    assert encoder.truncated == 0


@ALL_KINDS
def test_what_is_too_long_is_cut_and_counted(kind: str) -> None:
    tokenizer = tokenizer_of(kind)
    encoder = TextEncoder(tokenizer, 12, CLASSES)
    long = "the cat sat on a mat and a dog ran over it"
    found = encoder.encode([TextExample("a", long, None, "bad"), TextExample("b", long, "it", "bad")])
    assert [len(inputs.sequences[0].token_ids) for inputs in found] == [12, 12]
    short = tokenizer.encode_sentences(["it"]).token_ids.tolist()
    assert found[1].sequences[0].token_ids.tolist()[-1 - len(short) : -1] == short
    assert encoder.truncated == 2


def test_labels_are_ids_and_unknown_ones_are_named() -> None:
    encoder = TextEncoder(tokenizer_of("wordpiece"), 24, CLASSES)
    example = TextExample("file.tsv:7", "a cat", None, "ugly")
    with pytest.raises(UsageError, match=r"^file.tsv:7: label 'ugly' is not one of bad, good$"):
        encode_part(encoder, [example])
    (found,) = encode_part(encoder, [example._replace(label="good")]).examples
    assert found.labels.tolist() == [1] and found.labels.dtype == np.int64


def test_scores_are_numbers() -> None:
    task = task_of("regression")
    encoder = encoder_for(task, head_of(task, ()), tokenizer_of("wordpiece"), 24, TaskConfig())
    found = encode_part(encoder, scores(3)).examples
    assert [example.labels.dtype for example in found] == [np.float32] * 3
    assert np.concatenate([example.labels for example in found]).tolist() == [0.0, 1.0, 2.0]


@ALL_KINDS
def test_each_choice_is_a_sequence(kind: str) -> None:
    tokenizer = tokenizer_of(kind)
    encoder = ChoiceEncoder(tokenizer, 24)
    example = ChoiceExample("a", "the cat sat", "who ?", ("a dog", "the cat", "it"), 1)
    (inputs,) = encoder.encode([example])
    assert len(inputs.sequences) == 3
    last = tokenizer.encode_sentences(["who ? it"]).token_ids.tolist()
    assert inputs.sequences[2].token_ids.tolist()[-1 - len(last) : -1] == last
    assert encoder.labelled(example, inputs)[0].labels.tolist() == [1]
    long = example._replace(context="the cat sat on a mat " * 3)
    assert {len(sequence.token_ids) for sequence in encoder.encode([long])[0].sequences} == {24}
    assert encoder.truncated == 1


def test_heads_of_tasks() -> None:
    assert head_of(task_of("regression"), ()).regression
    assert head_of(task_of("choice"), ()).outputs == 1
    assert head_of(task_of("answering"), ("x",)).outputs == 2
    assert head_of(task_of("tagging"), ("O", "B-X")).kind == "tokens"


@ALL_KINDS
@pytest.mark.parametrize("type_", ["classification", "regression", "choice", "tagging", "answering"])
def test_a_whole_part_of_every_type(kind: str, type_: str) -> None:
    made = {
        "classification": (texts(9), ("bad", "good")),
        "regression": (scores(9), ()),
        "choice": (choices(9), ()),
        "tagging": (tagged_texts(9), ("B-PLACE", "B-THING", "O")),
        "answering": (questions(9, impossible=True), ()),
    }
    examples, labels = made[type_]
    task = task_of(type_)
    encoded = encode_part(encoder_for(task, head_of(task, labels), tokenizer_of(kind), 32, TaskConfig()), examples)
    assert len(encoded.examples) >= 9 and encoded.unplaced == 0
