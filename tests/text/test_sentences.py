from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertsmith.text import sentences
from bertsmith.text.cleaning import clean
from bertsmith.text.config import TextConfig
from bertsmith.text.sentences import sentences_of, split


@pytest.mark.parametrize(
    "parts",
    [
        ["He was born in Paris.", "He studied law there."],
        ["Is it?", "Yes!", "Then go."],
        ["Dr. Smith met J. R. Brown in St. Louis on Jan. 5.", "They talked."],
        ["The U.S. economy grew by 2.5 percent."],
        ['"Go home," he said.', '"No!"'],
        ["no capital, no stop"],
        ["The end.", "In 1984 it began."],
        ["今天天气很好。", "我们去公园吧！", "好吗？"],
        ["他说：“走吧。”", "然后就走了。"],
        ["真的吗？！", "真的！！"],
        ["他的老师A. B. Smith教授来了。", "大家都很高兴。"],
        ["老师来了!", "快跑"],
        ["今天。", "Tomorrow is another day."],
    ],
)
def test_split(parts: list[str]) -> None:
    joined = "".join(f" {p}" if sentences.han.contains_han(p) is False else p for p in parts).strip()
    assert split(joined) == parts


@given(st.text(alphabet=st.sampled_from("aB. !?\"'”。！中文(1\n…"), max_size=200))
def test_nothing_is_lost(text: str) -> None:
    text = clean(text)
    parts = split(text)
    assert "".join("".join(parts).split()) == "".join(text.split())
    assert all(part and part == part.strip() for part in parts)


def test_a_single_sentence_needs_no_splitter(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise AssertionError("syntok was asked")

    monkeypatch.setattr(sentences, "_splitter", refuse)
    line = "In 1904 Mr. J. Smith (b. 1870) of St. Louis sold No. 5 for 3.5 million dollars."
    assert split(line) == [line]
    with pytest.raises(AssertionError):
        split("One. Two. Three.")


def test_lines_are_kept_whole_when_asked() -> None:
    lines = ["One here. Two there.\n", " \u200b\n", "Three.\r\n"]
    assert sentences_of(lines, TextConfig(sentences="line")) == ["One here. Two there.", "Three."]
    assert sentences_of(lines, TextConfig()) == ["One here.", "Two there.", "Three."]


def test_a_very_long_paragraph_is_split_in_stretches() -> None:
    paragraph = "This is one sentence. " * 2000
    assert split(clean(paragraph)) == ["This is one sentence."] * 2000
