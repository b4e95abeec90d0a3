"""Which characters are Han, that is, words of their own for BERT."""

from __future__ import annotations

import re

# The ranges of `tokenizers`' BertNormalizer, which differ from google-research/bert in one place: U+2B820 to U+2B91F
# is left out there. Published vocabularies are used through Hugging Face, so its ranges are the ones to equal.
RANGES = (
    (0x3400, 0x4DBF),
    (0x4E00, 0x9FFF),
    (0xF900, 0xFAFF),
    (0x20000, 0x2A6DF),
    (0x2A700, 0x2B81F),
    (0x2B920, 0x2CEAF),
    (0x2F800, 0x2FA1F),
)
CHARACTERS = "".join(f"{chr(first)}-{chr(last)}" for first, last in RANGES)  # for a regular expression's [...]
_ANY = re.compile(f"[{CHARACTERS}]")


def contains_han(text: str) -> bool:
    """Whether the text holds at least one Han character."""
    return not text.isascii() and _ANY.search(text) is not None


def is_han(character: str) -> bool:
    """Whether a single character is Han."""
    code = ord(character)
    return code >= 0x3400 and any(first <= code <= last for first, last in RANGES)
