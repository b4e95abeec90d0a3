"""Cleaning of one line: Unicode form, control characters, white space."""

from __future__ import annotations

import re
import unicodedata

import regex

LONGEST_MARK_RUN = 30  # Unicode's Stream-Safe Text Format (UAX #15): more combining marks in a row carry no text
LONG = 1000  # characters

_SURROGATE = re.compile("[\ud800-\udfff]")
# Controls and invisible formatting (bidi, zero width, soft hyphen, byte order mark), but not white space and not
# the two joiners, which spell words in Persian and many Indian scripts.
_INVISIBLE = regex.compile(r"[\p{Cc}\p{Cf}--\s--\u200c--\u200d]+", regex.V1)
_MARKS = regex.compile(rf"(\p{{M}}{{{LONGEST_MARK_RUN}}})\p{{M}}+")


def clean(line: str) -> str:
    """The line in NFC, without control characters, every run of white space as one space, none at the ends.

    The case and everything else stay as they are: what a tokenizer ignores is its own affair.
    """
    if line.isprintable():  # no controls and no white space but plain spaces
        if line.isascii():
            return line.strip() if "  " not in line else " ".join(line.split())
    else:
        line = _SURROGATE.sub("", line)  # half a character, from a JSON escape: no encoder accepts it
        line = _INVISIBLE.sub("", line)
    if len(line) > LONG:  # NFC takes quadratic time over a long run of marks
        line = _MARKS.sub(r"\1", line)
    return " ".join(unicodedata.normalize("NFC", line).split())
