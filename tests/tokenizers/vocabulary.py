"""A small vocabulary in the manner of BERT's, for tests."""

from __future__ import annotations

from bertsmith.tokenizers.tokenizer import SPECIAL_TOKENS
from bertsmith.tokenizers.wordpiece_tokenizer import WordPieceTokenizer

WORDS = "hello world the play player mask sep un believ naive cafe uber dota wa 2 5 10".split()
HAN = "今 天 老 師 馬 上 點 名 我 玩".split()
PIECES = "##s ##ing ##ed ##er ##able ##ly ##t ##nt ##o ##a ##e ##n ##0 ##5".split()
PUNCTUATION = list(".,!?'\"-[]()#%。，")
LETTERS = "a b c d e n o p s t u é Hello World The MASK".split()


def small_tokens() -> list[str]:
    return [*SPECIAL_TOKENS, *PUNCTUATION, *WORDS, *HAN, *LETTERS, *PIECES]


def small_tokenizer(lowercase: bool = True) -> WordPieceTokenizer:
    return WordPieceTokenizer(small_tokens(), lowercase)
