"""Which words of a text a published WordPiece vocabulary lacks most."""

from __future__ import annotations

from collections.abc import Mapping

from bertsmith.tokenizers.wordpiece import WordPieces
from bertsmith.tokenizers.wordpiece_tokenizer import WordPieceTokenizer


def choose_words(counts: Mapping[str, int], tokenizer: WordPieceTokenizer, most: int) -> list[str]:
    """At most `most` words of letters that the vocabulary cuts into pieces, those that save most pieces first.

    A word saves its count times the pieces it has beyond one. Words that are unknown altogether have no pieces that
    an embedding could start from, and are left out.
    """
    pieces = WordPieces({token: i for i, token in enumerate(tokenizer.tokens)}, tokenizer.special.unk)
    saved = {word: count * (len(pieces.encode(word)) - 1) for word, count in counts.items() if word.isalpha()}
    chosen = [word for word in saved if saved[word] > 0]
    return sorted(chosen, key=lambda word: (-saved[word], word))[:most]
