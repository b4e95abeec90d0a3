from __future__ import annotations

import time
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertsmith.text.cleaning import LONGEST_MARK_RUN, clean


@pytest.mark.parametrize(
    ("line", "cleaned"),
    [
        ("  plain text \n", "plain text"),
        ("two  spaces\tand a tab\r\n", "two spaces and a tab"),
        ("cafe\u0301", "caf\u00e9"),
        ("ﬁ ½ Å", "ﬁ ½ Å"),  # NFC, not NFKC: ligatures and fractions stay
        ("bell\x07 and \x1b[0m escape", "bell and [0m escape"),
        ("line\u2028separator\u3000wide\xa0fixed\x85next", "line separator wide fixed next"),
        ("zero\u200bwidth \u202eabc\u202c soft\u00adhyphen \ufeffmark", "zerowidth abc softhyphen mark"),
        ("می\u200cخواهم", "می\u200cخواهم"),  # the joiners spell Persian
        ("half \ud83d character", "half character"),
        ("\u200b \u200b", ""),
        ("", ""),
        ("\ue000 private", "\ue000 private"),
    ],
)
def test_clean(line: str, cleaned: str) -> None:
    assert clean(line) == cleaned


@given(st.text())
def test_a_cleaned_line_is_normal_and_stays_as_it_is(line: str) -> None:
    cleaned = clean(line)
    assert clean(cleaned) == cleaned
    assert cleaned == unicodedata.normalize("NFC", cleaned)
    assert cleaned == " ".join(cleaned.split())
    assert not any(unicodedata.category(c) in ("Cc", "Cs") for c in cleaned)


def test_a_long_run_of_marks_is_shortened_in_linear_time() -> None:
    start = time.process_time()
    cleaned = clean("a" + "\u0301\u0316" * 250_000 + "b")
    assert time.process_time() - start < 1
    assert len(cleaned) <= LONGEST_MARK_RUN + 2 and cleaned.endswith("b")
