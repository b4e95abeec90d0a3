"""Tokens back to readable text."""

from __future__ import annotations

from collections.abc import Sequence

from bertsmith.text.han import is_han
from bertsmith.tokenizers.wordpiece import CONTINUATION

_NO_SPACE_BEFORE = set(".,!?;:%)]}'’”、。，！？；：）》」』】")
_NO_SPACE_AFTER = set("([{'’“（《「『【、。，！？；：")


def join_tokens(tokens: Sequence[str]) -> str:
    """Pieces joined to words, words to text; what the tokenizer dropped (case, spaces) is guessed, not restored."""
    parts: list[str] = []
    for token in tokens:
        if token.startswith(CONTINUATION) and len(token) > len(CONTINUATION):
            parts.append(token[len(CONTINUATION) :])
        else:
            if parts and _needs_space(parts[-1], token):
                parts.append(" ")
            parts.append(token)
    return "".join(parts)


def _needs_space(before: str, after: str) -> bool:
    if after in _NO_SPACE_BEFORE or before in _NO_SPACE_AFTER:
        return False
    return not (is_han(before[-1]) or is_han(after[0]))
