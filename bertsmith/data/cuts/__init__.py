"""The cuts by name. A new cut is one file here, one line in `CUTS`, and its name in data/config.py."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bertsmith.data.config import CutConfig, CutName
from bertsmith.data.cuts.cut import Cut
from bertsmith.data.cuts.doc_sentences import DocSentences
from bertsmith.data.cuts.examples import Examples
from bertsmith.data.cuts.full_sentences import FullSentences
from bertsmith.data.cuts.next_sentence import NextSentence
from bertsmith.data.cuts.sentence_order import SentenceOrder
from bertsmith.data.cuts.sentence_pair import SentencePair
from bertsmith.data.cuts.template import Template

if TYPE_CHECKING:
    from bertsmith.tokenizers.tokenizer import SpecialIds

__all__ = ["CUTS", "Cut", "Examples", "Template", "cut_for"]

CUTS: dict[CutName, type[Cut]] = {
    "next_sentence": NextSentence,
    "sentence_order": SentenceOrder,
    "sentence_pair": SentencePair,
    "full_sentences": FullSentences,
    "doc_sentences": DocSentences,
}


def cut_for(config: CutConfig, special: SpecialIds, seed: int, separators: int = 1) -> Cut:
    """The cut that a config names. separators: special tokens between two segments, as the tokenizer says."""
    return CUTS[config.name](config, Template(special, separators), seed)
