"""Tokens back to readable text."""

from __future__ import annotations

from collections.abc import Sequence

from bertsmith.text.han import is_han
from bertsmith.tokenizers.wordpiece import is_continuation, without_prefix

_CLOSING = frozenset(".,!?;:%)]}'’”、。，！？；：）》」』】…")
_OPENING = frozenset("([{‘“（《「『【、。，！？；：$£#@")
_JOINING = frozenset("-/–_")
_ENDINGS = frozenset(("s", "t", "m", "d", "re", "ve", "ll"))  # after an apostrophe


def join_tokens(tokens: Sequence[str]) -> str:
    """Pieces joined to words, words to text. What the tokenizer dropped (case, spaces) is guessed, not restored."""
    words: list[str] = []
    for token in tokens:
        if is_continuation(token) and words:
            words[-1] += without_prefix(token)
        else:
            words.append(without_prefix(token) if is_continuation(token) else token)
    text, quoted, just_opened = "", False, False
    for i, word in enumerate(words):
        is_quote = word == '"'
        closes = is_quote and quoted
        if i and not closes and not just_opened and _is_apart(words, i):
            text += " "
        text += word
        just_opened = is_quote and not quoted
        quoted ^= is_quote
    return text


def _is_apart(words: Sequence[str], i: int) -> bool:
    """Whether a space belongs between words i - 1 and i."""
    before, after = words[i - 1], words[i]
    earlier = words[i - 2] if i > 1 else ""
    if after in _CLOSING or before in _OPENING or before in _JOINING or after in _JOINING:
        return False
    if before in ".,:" and after[0].isdigit() and earlier[-1:].isdigit():
        return False  # 2.5
    if before in "'’" and after in _ENDINGS and earlier.isalpha():
        return False  # don't
    return not (is_han(before[-1]) or is_han(after[0]))
