from __future__ import annotations

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertsmith.errors import UsageError
from bertsmith.text import words
from bertsmith.text.traditional import simplify

MIXED = st.text(alphabet=st.one_of(st.sampled_from("今天老師馬上點名玩DOTA 2.5%é😀\u0301、。"), st.characters()))


def test_words_of_chinese() -> None:
    assert words.segment("我们在野生动物园玩") == ["我们", "在", "野生", "动物园", "玩"]


def test_traditional_text_is_cut_like_its_simplified_form() -> None:
    assert words.segment("老師馬上點名") == ["老師", "馬上", "點名"]
    assert [simplify(w) for w in words.segment("老師馬上點名")] == words.segment("老师马上点名")


def test_simplify_leaves_simplified_text_alone() -> None:
    assert simplify("著名的瞭望台，乾隆皇帝") == "著名的瞭望台，乾隆皇帝"
    assert simplify("dragon 龍 \U00020000") == "dragon 龙 \U00020000"


@given(MIXED)
def test_words_concatenate_to_the_text(text: str) -> None:
    assert "".join(words.segment(text)) == text
    assert "".join(words.segment_characters(text)) == text
    assert len(simplify(text)) == len(text)


def test_jieba_and_rjieba_agree() -> None:
    text = "小明硕士毕业于中国科学院计算所，后在日本京都大学深造。老師馬上點名2.5%"
    assert words.segmenter("jieba")(text) == words.segmenter("rjieba")(text)


def test_characters() -> None:
    assert words.segmenter("characters")("今天 DOTA好") == ["今", "天", " DOTA", "好"]


def test_a_missing_segmenter(monkeypatch: pytest.MonkeyPatch) -> None:
    words._load.cache_clear()
    monkeypatch.setitem(sys.modules, "rjieba", None)
    assert words.segmenter("auto")("今天天气") == ["今天天气"]  # jieba's dictionary knows it as one
    monkeypatch.setitem(sys.modules, "jieba", None)
    words._load.cache_clear()
    assert words.segmenter("auto")("今天天气") == ["今", "天", "天", "气"]
    with pytest.raises(UsageError, match="text.segmenter: rjieba is not installed"):
        words.segmenter("rjieba")
    words._load.cache_clear()


def test_text_that_is_cut_by_spaces() -> None:
    for spaced, text, expected in (
        ("今天 天气 很 好 。", "今天天气很好。", ["今天", "天气", "很", "好", "。"]),
        ("玩 DOTA 的 人", "玩 DOTA 的人", ["玩", " ", "DOTA", " ", "的", "人"]),
        ("共 2 。", "共 2。", ["共", " ", "2", "。"]),
        ("no Han here", "no Han here", ["no", " ", "Han", " ", "here"]),
    ):
        found = words.SegmentedText.of(spaced)
        assert found == text and words.segmenter("spaces")(found) == expected
        assert "".join(words.segment_at_spaces(spaced)) == spaced


def test_names_of_segmenters() -> None:
    assert words.name_of(words.segment_characters) == "bertsmith.text.words.segment_characters"
    assert words.is_importable(words.segment_characters)
    assert not words.is_importable(lambda text: [text])
