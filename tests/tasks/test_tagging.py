"""Tags of words: which piece stands for a word, and windows over long texts."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertsmith.errors import UsageError
from bertsmith.tasks.examples import TaggedExample
from bertsmith.tasks.tagging import TagEncoder, spans_of, tagged
from tests.tiny_tasks import tokenizer_of

LABELS = ("O", "B-X", "I-X")


def encoder(kind: str = "wordpiece", max_length: int = 24, stride: int = 4) -> TagEncoder:
    return TagEncoder(tokenizer_of(kind), max_length, LABELS, stride)


@given(
    lengths=st.lists(st.integers(1, 9), max_size=40),
    room=st.integers(9, 20),
    stride=st.integers(1, 12),
)
def test_every_word_is_decided_in_one_window(lengths: list[int], room: int, stride: int) -> None:
    spans = spans_of(lengths, room, stride)
    decided = [word for span in spans for word in range(span.own, span.end)]
    assert decided == list(range(len(lengths)))
    for span in spans:
        assert sum(lengths[span.first : span.last]) <= room
        assert span.first <= span.own <= span.end <= span.last
    assert all(a.last < b.last and a.first < b.first for a, b in zip(spans, spans[1:], strict=False))


def test_neighbouring_windows_share_words_and_divide_them() -> None:
    assert spans_of([1] * 22, 10, 4) == [(0, 10, 0, 8), (6, 16, 8, 14), (12, 22, 14, 22)]
    assert spans_of([1] * 22, 10, 100) == spans_of([1] * 22, 10, 4), "at most 0.4 of a window"
    assert spans_of([1] * 6, 6, 4) == [(0, 6, 0, 6)]
    assert spans_of([], 6, 4) == [(0, 0, 0, 0)]


@pytest.mark.parametrize("kind", ["wordpiece", "byte_bpe", "unigram"])
def test_the_first_piece_of_a_word_is_labelled(kind: str) -> None:
    tokenizer, tagger = tokenizer_of(kind), encoder(kind, 64)
    words = ("the", "catmat", "sat", ",", "late")
    example = TaggedExample("a", words, ("O", "B-X", "I-X", "O", "O"), True)
    (inputs,) = tagger.encode([example])
    (found,) = tagger.labelled(example, inputs)
    assert found.labels.tolist() == [0, 1, 2, 0, 0]
    ids = inputs.sequences[0].token_ids.tolist()
    places = [*found.rows.tolist(), len(ids) - 1]
    pieces = [ids[a:b] for a, b in zip(places, places[1:], strict=False)]
    assert places[0] == 1 and all(pieces)
    assert tokenizer.decode(pieces[1]).strip() == "catmat" and len(pieces[1]) > 1
    if kind == "byte_bpe":
        joined = tokenizer.encode_sentences(["the catmat"]).token_ids.tolist()
        assert sum(pieces[:2], []) == joined, "as it stands in a text, with the space before it"


def test_words_without_a_token_have_a_tag_all_the_same() -> None:
    tagger = encoder()
    example = TaggedExample("a", ("今", " ", "天", "\u200b"), ("B-X", "I-X", "I-X", "O"), False)
    (inputs,) = tagger.encode([example])
    unknown = tokenizer_of("wordpiece").special.unk
    assert inputs.sequences[0].token_ids[[2, 4]].tolist() == [unknown] * 2
    assert tagger.labelled(example, inputs)[0].labels.tolist() == [1, 2, 2, 0]


def test_a_word_longer_than_a_sequence_is_cut_and_counted() -> None:
    tagger = encoder(max_length=10)
    example = TaggedExample("a", ("the", "xyzxyzxyzxyzxyz", "cat"), ("O", "B-X", "O"), True)
    (inputs,) = tagger.encode([example])
    assert tagger.truncated == 1
    assert max(len(sequence.token_ids) for sequence in inputs.sequences) == 10
    labels = np.concatenate([found.labels for found in tagger.labelled(example, inputs)])
    assert labels.tolist() == [0, 1, 0]


def test_long_texts_get_a_tag_for_every_word() -> None:
    tagger = encoder(max_length=10)
    words = tuple("the cat sat on a mat and a dog ran over it".split())
    example = TaggedExample("a", words, tuple(LABELS[i % 3] for i in range(len(words))), True)
    (inputs,) = tagger.encode([example])
    assert len(inputs.sequences) > 1
    logits, wanted = [], iter(range(len(words)))
    for sequence, window in zip(inputs.sequences, inputs.windows, strict=True):
        scores = np.zeros((len(sequence.token_ids), 3), dtype=np.float32)
        for row in window.rows:
            scores[row, next(wanted) % 3] = 4.0
        logits.append(scores)
    found = tagged(example, inputs, logits, LABELS)
    assert found.tags == example.tags
    assert found.scores[0] == pytest.approx(np.exp(4) / (np.exp(4) + 2))


def test_a_text_without_words() -> None:
    example = TaggedExample("a", (), (), True)
    (inputs,) = encoder().encode([example])
    assert tagged(example, inputs, [np.zeros((2, 3))], LABELS) == ((), ())
    assert encoder().labelled(example, inputs) == []


def test_an_unknown_tag_is_named() -> None:
    example = TaggedExample("dev.txt:3", ("cat",), ("B-Y",), True)
    with pytest.raises(UsageError, match=r"^dev.txt:3: tag 'B-Y' is not one of O, B-X, I-X"):
        encoder().labelled(example, encoder().encode([example])[0])
