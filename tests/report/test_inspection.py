"""inspect: parameters of published models, and shares of masking counted another way."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bertsmith.data.config import CutConfig, MaskingConfig
from bertsmith.data.corpus import Corpus
from bertsmith.data.cuts.examples import CONTINUES, SPECIAL, STARTS, Examples
from bertsmith.data.masking import Masked
from bertsmith.data.preparation import prepare_corpus
from bertsmith.models.config import EncoderConfig
from bertsmith.report.examples import Drawn
from bertsmith.report.inspection import (
    draw_lines,
    inspect_corpus,
    inspect_encoder,
    masking_figures,
    render_corpus,
    render_parameters,
)
from bertsmith.text.config import TextConfig
from bertsmith.tokenizers.config import TokenizerConfig
from tests.stories import tiny_tokenizer

BOTH = ("masked_lm", "pair")


def test_bert_base_has_the_published_parameters() -> None:
    parameters = inspect_encoder(EncoderConfig(), BOTH)["parameters"]
    assert (parameters["encoder"], parameters["total"]) == (109_482_240, 110_106_428)
    assert sum(parameters["parts"].values()) == parameters["total"]
    assert inspect_encoder(EncoderConfig(), ("masked_lm",))["parameters"]["total"] == 109_514_298


def test_parameters_are_rendered_with_their_shares() -> None:
    text = render_parameters(inspect_encoder(EncoderConfig(), BOTH)["parameters"])
    assert "110,106,428  100.0%" in text
    assert "feed forward          56,669,184  51.5%" in text


def test_masking_is_measured_on_tokens_and_words() -> None:
    """[CLS] cat [SEP] a 今 天 | 学 校 老 dog##s [SEP], with the words bracketed by their starts."""
    tokenizer = tiny_tokenizer()
    mask, dog = tokenizer.special.mask, tokenizer.tokens.index("dog")
    written = ["[CLS]", "cat", "a", "今", "天", "学", "校", "老", "dog", "##s", "[SEP]"]
    ids = np.array([tokenizer.tokens.index(token) for token in written])
    units = np.array(
        [SPECIAL, STARTS, STARTS, STARTS, CONTINUES, STARTS, CONTINUES, CONTINUES, STARTS, CONTINUES, SPECIAL]
    )
    rows = np.array([1, 3, 4, 5])
    seen = ids.copy()
    seen[[1, 3]] = mask
    seen[4] = dog
    masked = Masked(seen, rows, labels=ids[rows])
    examples = Examples(ids, np.zeros(11, np.int64), units.astype(np.uint8), np.array([11]), np.array([-1]))
    figures = masking_figures(Drawn(examples, masked), tokenizer)
    assert figures == {
        "rate": 4 / 9,
        "mask": 0.5,
        "random": 0.25,
        "keep": 0.25,
        "by_word_length": {"1": 0.0, "2": 1.0, "3": pytest.approx(2 / 4), "4": 0.0},  # 3: cat and 学校老; 4: dogs
        "partial_words": 1,
    }


@pytest.mark.parametrize(("unit", "partial"), [("word", False), ("token", True)])
def test_a_corpus_is_inspected_with_the_masking_asked_for(english: Path, unit: str, partial: bool) -> None:
    corpora = [Corpus.open(english, "train"), Corpus.open(english, "validation")]
    masking = MaskingConfig(unit="word" if unit == "word" else "token", budget="stochastic", max_predictions=0)
    values = inspect_corpus(corpora, CutConfig(length=64), masking, seed=0)
    assert values["documents"] == sum(corpus.document_count for corpus in corpora)
    assert values["tokens"] == sum(corpus.tokens for corpus in corpora)
    assert values["vocabulary"] == corpora[0].tokenizer.vocab_size
    assert (values["masking"]["partial_words"] > 0) == partial
    assert values["masking"]["rate"] == pytest.approx(0.15, abs=0.02)
    assert set(values["masking"]["by_word_length"]) == {"1", "2", "3", "4"}
    drawn = [fate for line in values["lines"] for _, fate, _, _ in line]
    assert "masked" in drawn and "plain" in drawn


def test_whole_words_of_chinese_are_measured_and_drawn(tmp_path: Path) -> None:
    """Over 100,000 tokens of words of one to four characters: rate, shares, every length, and no word in part."""
    words = "我 你 书 花 红 走 学校 今天 朋友 音乐 图书馆 出版社 计算机 莫名其妙 半途而废 画蛇添足 守株待兔".split()
    draw = np.random.default_rng(0)
    text = tmp_path / "text.txt"
    lines = ["".join(draw.choice(words, size=40)) + "。\n" for _ in range(3000)]
    text.write_text("".join(line + "\n" * (number % 5 == 4) for number, line in enumerate(lines)))
    prepare_corpus([str(text)], tmp_path / "zh", TokenizerConfig(size=100), TextConfig(), workers=1)
    masking = MaskingConfig(unit="word", budget="stochastic", copies=0)
    corpus = Corpus.open(tmp_path / "zh")
    assert corpus.tokens > 100_000
    values = inspect_corpus([corpus], CutConfig(name="full_sentences", length=64), masking, seed=0)
    figures = values["masking"]
    assert figures["partial_words"] == 0
    assert figures["rate"] == pytest.approx(0.15, abs=0.003)
    assert [figures[name] for name in ("mask", "random", "keep")] == pytest.approx([0.8, 0.1, 0.1], abs=0.005)
    assert list(figures["by_word_length"].values()) == pytest.approx([0.15] * 4, abs=0.02)
    text_of = draw_lines(values["lines"], color=False).split("\n\n", 1)[1]
    assert "[" in text_of and "]" in text_of and " 我" not in text_of  # no space is drawn between Han characters


def test_lines_are_drawn_in_brackets_or_in_colour() -> None:
    line = [["[CLS]", "special", "", True], ["[MASK]", "masked", "cat", True], ["s", "plain", "", False]]
    line += [["dog", "replaced", "mat", True], ["on", "kept", "on", True]]
    assert draw_lines([line], color=False).splitlines()[-1] == "[CLS] [cat]s [mat>dog] [on=]"
    colored = draw_lines([line], color=True)
    assert "\x1b[" in colored and "[cat]" in colored


def test_a_corpus_is_rendered_whole(english: Path) -> None:
    values = inspect_corpus([Corpus.open(english)], CutConfig(length=32), MaskingConfig(), seed=0)
    text = render_corpus(values, color=False)
    assert "of these: [MASK]" in text and "words predicted in part" in text and "real lines" in text


def test_an_empty_corpus_is_inspected_too(english: Path) -> None:
    empty = Corpus([], Corpus.open(english).details, english)
    values = inspect_corpus([empty, empty], CutConfig(), MaskingConfig(), seed=0)
    assert values["tokens"] == 0 and values["masking"] == {} and values["lines"] == []
    assert "tokens" in render_corpus(values, color=False)
