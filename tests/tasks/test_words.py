"""Words that evaluation asks for: the same for every tokenizer, whole, and at the rate that is said."""

from __future__ import annotations

import numpy as np
import pytest

from bertsmith.tasks.words import WordChoice, word_spans


def words(text: str) -> list[str]:
    return [text[start:stop] for start, stop in word_spans(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Don't stop, 3.5 km!", ["Don", "'", "t", "stop", ",", "3", ".", "5", "km", "!"]),
        ("  two\twords ", ["two", "words"]),
        ("", []),
        ("नमस्ते दुनिया", ["नमस्ते", "दुनिया"]),  # vowel signs belong to their word
        ("cafe\u0301 x", ["cafe\u0301", "x"]),
    ],
)
def test_words_are_runs_of_letters_marks_and_digits(text: str, expected: list[str]) -> None:
    assert words(text) == expected


def test_chinese_runs_are_cut_by_the_segmenter_and_concatenate_to_the_run() -> None:
    found = words("今天我们玩DOTA。")
    assert "".join(found) == "今天我们玩DOTA。"
    assert "今天" in found and "。" in found


def test_a_segmenter_of_the_callers_own_is_used() -> None:
    spans = word_spans("今天玩 a", segmenter=list)
    assert spans.tolist() == [[0, 1], [1, 2], [2, 3], [4, 5]]


def test_the_choice_depends_on_seed_and_offset_alone() -> None:
    text = "one two three four five six seven eight nine ten " * 20
    first = WordChoice(seed=1).chosen_characters(text, 0)
    assert np.array_equal(first, WordChoice(seed=1).chosen_characters(text, 0))
    assert not np.array_equal(first, WordChoice(seed=2).chosen_characters(text, 0))
    assert not np.array_equal(first, WordChoice(seed=1).chosen_characters(text, 1))
    cut = text.index("six")  # the same words of a text that is read in two pieces
    pieces = [WordChoice(1).chosen_characters(text[:cut], 0), WordChoice(1).chosen_characters(text[cut:], cut)]
    assert np.array_equal(first, np.concatenate(pieces))


def test_words_are_chosen_whole_and_at_the_rate() -> None:
    text = "alpha beta gamma delta " * 5000
    chosen = WordChoice(seed=3, rate=0.15).chosen_characters(text, 0)
    shares = np.array([chosen[start:stop].mean() for start, stop in word_spans(text)])
    assert set(np.unique(shares)) == {0.0, 1.0}
    assert abs(shares.mean() - 0.15) < 0.01  # 20,000 words: a standard deviation is 0.0025
