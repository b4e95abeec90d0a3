"""Exact match and F1 of answers as CMRC2018 defines them (Cui et al., 2019), used for DRCD as well.

Text is compared in lower case without punctuation. F1 is over units, a Chinese character or a word of other script,
and counts the longest run of units that both have in common, not the units themselves.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from bertsmith.tasks.examples import AnswerExample
from bertsmith.tasks.predictions import Answered

# The marks that CMRC2018 leaves out. Other marks, the ASCII comma and full stop among them, are text there.
PUNCTUATION = frozenset("-:_*^/\\~`+=，。：？！“”；’《》…·、「」（）－～『』")
_FIRST_HAN, _LAST_HAN = "\u4e00", "\u9fa5"

# Words of other scripts are parted by spaces, and from the marks beside them, by the rules of the Penn Treebank, which
# CMRC2018's own scoring uses. Each rule puts spaces around what it finds; text is in lower case.
_OPENING = re.compile(r"""^"|(?<=^")"|(?<=[ (\[{<])(?:"|'')""")
_CLOSING, _CLOSED = re.compile(r"\"|''"), " '' "
_MARK = re.compile(r"[;@#$%&?!\[\](){}<>\u2012-\u2015\u00ab\u00bb\u2018\u201e]|\.{2,}|[:,](?!\d)")
_FULL_STOP = re.compile(r"(?<=[^.])\.(?=[\])}>\"' \u00bb]*\s*$)")
_OPENING_QUOTE = re.compile(r"(?<!\w)'(?!(?:re|ve|ll|m|t|s|d|n)\b)(?=\w)")
_CLITIC = re.compile(r"(?<=[^' ])('(?:[smd]|ll|re|ve)?|n't)(?= )")
_JOINED = re.compile(
    r"\b(?:(can)(not)|(d)('ye)|(gim)(me)|(gon)(na)|(got)(ta)|(lem)(me)|(more)('n)|(wan)(na)(?=\s))\b"
    r"|(?<= )('t)(is|was)\b"
)


def latin_words(text: str) -> list[str]:
    """Words and marks of a text in lower case that holds no Chinese."""
    text = _OPENING_QUOTE.sub("' ", _OPENING.sub(" `` ", text))
    text = _MARK.sub(r" \g<0> ", _FULL_STOP.sub(" . ", text))
    text = " ".join(f" {_CLOSING.sub(_CLOSED, text)} ".split())
    text = _CLITIC.sub(r" \1", f" {text} ")
    return _JOINED.sub(lambda found: f" {' '.join(filter(None, found.groups()))} ", text).split()


def units(text: str) -> list[str]:
    """Chinese characters and words of other scripts, without punctuation, in lower case."""
    found: list[str] = []
    other = ""
    for character in text.lower().strip():
        if character in PUNCTUATION:
            continue
        if _FIRST_HAN <= character <= _LAST_HAN:
            found += [*latin_words(other), character]
            other = ""
        else:
            other += character
    return found + latin_words(other)


def longest_run(first: Sequence[str], second: Sequence[str]) -> int:
    """Length of the longest run of units that stands in both."""
    longest = 0
    before = [0] * (len(second) + 1)  # of every unit of `second`: the run that ends with it and the last of `first`
    for unit in first:
        now = [0] * (len(second) + 1)
        for index, other in enumerate(second):
            if unit == other:
                now[index + 1] = before[index] + 1
        longest = max(longest, *now)
        before = now
    return longest


def run_f1(predicted: str, gold: str) -> float:
    """F1 of the longest common run of units; 0 when they have nothing in common."""
    said, wanted = units(predicted), units(gold)
    common = longest_run(said, wanted)
    if not common:
        return 0.0
    precision, recall = common / len(said), common / len(wanted)
    return 2 * precision * recall / (precision + recall)


def exact(predicted: str, gold: str) -> float:
    """1.0 when both are the same in lower case and without punctuation; spaces inside count."""
    return float(_bare(predicted) == _bare(gold))


def _bare(text: str) -> str:
    return "".join(character for character in text.lower().strip() if character not in PUNCTUATION)


def score_by_character(examples: Sequence[AnswerExample], predictions: Sequence[Answered]) -> dict[str, float]:
    """`f1` and `exact`: for each question the best over its published answers, then the mean over questions."""
    pairs = [
        (prediction.text, [answer.text for answer in example.answers])
        for example, prediction in zip(examples, predictions, strict=True)
    ]
    return {
        "f1": sum(max(run_f1(text, answer) for answer in gold) for text, gold in pairs) / len(pairs),
        "exact": sum(max(exact(text, answer) for answer in gold) for text, gold in pairs) / len(pairs),
    }
