"""The cuts by name. A new cut is one file here and one line in `cut_for`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bertsmith.data.config import CutConfig
from bertsmith.data.cuts.examples import Cut, Examples
from bertsmith.data.cuts.full_sentences import FullSentences
from bertsmith.data.cuts.next_sentence import NextSentence

if TYPE_CHECKING:
    from bertsmith.tokenizers.tokenizer import SpecialIds

__all__ = ["Cut", "Examples", "cut_for"]


def cut_for(config: CutConfig, special: SpecialIds, seed: int) -> Cut:
    """The cut that a config names."""
    match config.name:
        case "next_sentence":
            return NextSentence(config, special, seed)
        case "full_sentences":
            return FullSentences(config, special)
