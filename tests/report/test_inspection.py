"""inspect: parameters of published models, and shares of masking counted another way."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bertsmith.data.config import CutConfig, MaskingConfig
from bertsmith.data.corpus import Corpus
from bertsmith.data.cuts.examples import CONTINUES, SPECIAL, STARTS, Examples
from bertsmith.data.masking import Masked
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
    tokenizer = tiny_tokenizer()
    mask, cat, dog = tokenizer.special.mask, tokenizer.tokens.index("cat"), tokenizer.tokens.index("dog")
    units = np.array([SPECIAL, STARTS, STARTS, CONTINUES, STARTS, CONTINUES, CONTINUES, STARTS, SPECIAL], np.uint8)
    ids = np.full(9, cat)
    seen = ids.copy()
    seen[[1, 2]] = mask
    seen[4] = dog
    masked = Masked(seen, rows=np.array([1, 2, 4, 5]), labels=ids[[1, 2, 4, 5]])
    examples = Examples(ids, np.zeros(9, np.int64), units, np.array([9]), np.array([-1]))
    figures = masking_figures(Drawn(examples, masked), tokenizer)
    assert figures == {
        "rate": 4 / 7,
        "mask": 0.5,
        "random": 0.25,
        "keep": 0.25,
        "by_word_length": {"1": 0.5, "2": 0.5, "3": pytest.approx(2 / 3), "4": None},
        "partial_words": 2,
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
