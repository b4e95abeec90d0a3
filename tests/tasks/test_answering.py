"""Answers as spans: where they are in tokens, windows over long contexts, and the best of all windows."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertsmith.tasks.answering import AnswerEncoder, answered, best_span, first_answer, windows_of
from bertsmith.tasks.examples import Answer, AnswerExample
from bertsmith.tasks.inputs import Inputs
from tests.tiny_tasks import tokenizer_of

ALL_KINDS = pytest.mark.parametrize("kind", ["wordpiece", "byte_bpe", "unigram"])
CONTEXT = "The cat sat on a mat, and a dog ran over it. They went home at 10."


def ask(text: str, context: str = CONTEXT) -> AnswerExample:
    return AnswerExample("q", context, "Was it late?", (Answer(text, context.index(text)),), False)


def perfect(inputs: Inputs, targets: list[list[int]], sure: float = 9.0) -> list[np.ndarray]:
    """The scores of a model that knows the targets."""
    scores = [np.zeros((len(sequence.token_ids), 2), dtype=np.float32) for sequence in inputs.sequences]
    for grid, (start, end) in zip(scores, targets, strict=True):
        grid[start, 0] = grid[end, 1] = sure
    return scores


@given(tokens=st.integers(0, 300), room=st.integers(2, 60), stride=st.integers(1, 80))
def test_windows_cover_everything_and_overlap(tokens: int, room: int, stride: int) -> None:
    windows = windows_of(tokens, room, stride)
    assert windows[0][0] == 0 and windows[-1][1] == tokens
    for (start, stop), (following, end) in zip(windows, windows[1:], strict=False):
        assert stop - start == room and end > stop
        assert stop - following == min(stride, room * 2 // 5)


@ALL_KINDS
@pytest.mark.parametrize("answer", ["cat", "a mat, and a dog", "10", "home at 10."])
@pytest.mark.parametrize("max_length", [128, 40])
def test_a_perfect_model_gives_back_the_answer(kind: str, answer: str, max_length: int) -> None:
    encoder = AnswerEncoder(tokenizer_of(kind), max_length, 12)
    example = ask(answer)
    (inputs,) = encoder.encode([example])
    targets = [found.labels[0].tolist() for found in encoder.labelled(example, inputs)]
    assert len(targets) == len(inputs.sequences) and any(target != [0, 0] for target in targets)
    found = answered(example, inputs, perfect(inputs, targets), 30, may_be_none=True)
    expected = "home at 10" if answer == "home at 10." and found.text == "home at 10" else answer
    assert found.text == found.best == expected == example.context[found.start : found.end]
    assert found.no_answer < 0 < found.score <= 1
    assert all(len(sequence.token_ids) <= max_length for sequence in inputs.sequences)


def test_chinese_answers_are_characters() -> None:
    context = "今天我们上学，老师点名。我们玩。"
    for kind in ("wordpiece", "byte_bpe"):
        encoder = AnswerEncoder(tokenizer_of(kind), 128, 12)
        example = ask("老师", context)
        (inputs,) = encoder.encode([example])
        (target,) = [found.labels[0].tolist() for found in encoder.labelled(example, inputs)]
        found = answered(example, inputs, perfect(inputs, [target]), 30, False)
        assert (found.text, found.start, found.end) == ("老师", 7, 9)


@ALL_KINDS
def test_the_question_is_first_and_windows_repeat_it(kind: str) -> None:
    tokenizer = tokenizer_of(kind)
    (inputs,) = AnswerEncoder(tokenizer, 24, 8).encode([ask("home")])
    question = tokenizer.encode_sentences(["Was it late?"]).token_ids.tolist()
    head = [tokenizer.special.cls, *question, *[tokenizer.special.sep] * tokenizer.separators]
    assert len(inputs.sequences) > 1
    for sequence in inputs.sequences:
        assert sequence.token_ids[: sequence.first].tolist() == head
        assert sequence.token_ids[-1] == tokenizer.special.sep


def test_windows_without_the_answer_point_at_cls() -> None:
    encoder = AnswerEncoder(tokenizer_of("wordpiece"), 24, 4)
    example = ask("10")
    (inputs,) = encoder.encode([example])
    targets = [found.labels[0].tolist() for found in encoder.labelled(example, inputs)]
    assert len(targets) > 1 and targets[0] == [0, 0] and targets[-1] != [0, 0]
    impossible = example._replace(answers=(), impossible=True)
    assert {tuple(found.labels[0]) for found in encoder.labelled(impossible, inputs)} == {(0, 0)}


def test_an_answer_that_is_not_there_is_not_trained() -> None:
    encoder = AnswerEncoder(tokenizer_of("wordpiece"), 64, 8)
    example = ask("cat")._replace(answers=(Answer("tiger", -1),))
    (inputs,) = encoder.encode([example])
    assert encoder.labelled(example, inputs) == []
    assert inputs.offsets is not None
    second = example._replace(answers=(Answer("tiger", -1), Answer("cat", 4)))
    assert first_answer(second, inputs.offsets) == (1, 1)


def test_a_long_question_leaves_half_the_room_and_is_counted() -> None:
    encoder = AnswerEncoder(tokenizer_of("wordpiece"), 23, 8)
    (inputs,) = encoder.encode([ask("cat")._replace(question="the cat sat on a mat and a dog ran over it then")])
    assert encoder.truncated == 1
    assert inputs.sequences[0].first == 1 + 10 + 1


def test_no_answer_needs_every_window_to_say_so() -> None:
    encoder = AnswerEncoder(tokenizer_of("wordpiece"), 24, 4)
    example = ask("home")
    (inputs,) = encoder.encode([example])
    nothing = [[0, 0]] * len(inputs.sequences)
    silent = answered(example, inputs, perfect(inputs, nothing), 30, may_be_none=True)
    assert silent.text == "" and silent.no_answer > 0 and silent.best and silent.score > 0.9
    forced = answered(example, inputs, perfect(inputs, nothing), 30, may_be_none=False)
    assert forced.text == silent.best and forced.no_answer == silent.no_answer
    one = [*nothing[:-1], [int(inputs.windows[-1].rows[2])] * 2]
    assert answered(example, inputs, perfect(inputs, one), 30, may_be_none=True).text


def test_an_empty_context_has_no_answer() -> None:
    encoder = AnswerEncoder(tokenizer_of("wordpiece"), 24, 4)
    example = AnswerExample("q", "", "who ?", (), True)
    (inputs,) = encoder.encode([example])
    assert answered(example, inputs, [np.zeros((len(inputs.sequences[0].token_ids), 2))], 30, False).text == ""


@given(seed=st.integers(0, 1000), size=st.integers(1, 12), longest=st.integers(1, 15))
def test_the_best_span_is_the_best_of_all(seed: int, size: int, longest: int) -> None:
    starts, ends = np.random.default_rng(seed).standard_normal((2, size))
    expected = max((float(starts[i] + ends[j]), i, j) for i in range(size) for j in range(i, min(size, i + longest)))
    found = best_span(starts, ends, longest)
    assert found[0] == pytest.approx(expected[0]) and found[1:] == expected[1:]


def test_no_span_without_tokens() -> None:
    assert best_span(np.zeros(0), np.zeros(0), 5)[0] == -math.inf
