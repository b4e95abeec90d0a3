"""Training a WordPiece vocabulary from counted words: the same counts give the same ids, always."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from itertools import islice
from typing import Literal

from bertsmith.errors import UsageError
from bertsmith.text.han import contains_han, is_han
from bertsmith.tokenizers.chunks import split_at_han
from bertsmith.tokenizers.merges import MergeLearner
from bertsmith.tokenizers.tokenizer import SPECIAL_TOKENS, Tokenizer
from bertsmith.tokenizers.wordpiece import CONTINUATION, LONGEST_WORD, WordSplitter, is_continuation, without_prefix
from bertsmith.tokenizers.wordpiece_tokenizer import WordPieceTokenizer

AUTO_SIZES = (4_000, 8_000, 16_000, 30_000)
AUTO_RANK = 0.95  # the merge at this share of the ranks ...
AUTO_COUNT = 100  # ... must occur this often, or the vocabulary is too large to be learned from the text
MOST_WORDS = 500_000  # different words that merges are learned from, the most frequent ones
LEAST_COUNT = 2  # of a pair that is merged
COVERAGE = 0.9999  # share of all characters that the alphabet covers; words with the rarest ones become [UNK]


def count_words(sentences: Iterable[str], lowercase: bool, counts: Counter[str]) -> None:
    """Add the words of the sentences to `counts`: normalised as the tokenizer will, Han characters one by one."""
    chunks: Counter[str] = Counter()
    for sentence in sentences:
        chunks.update(split_at_han(sentence) if contains_han(sentence) else sentence.split(" "))
    split = _splitter(lowercase).split
    for chunk, count in chunks.items():
        for word in split(chunk):
            if len(word) <= LONGEST_WORD:
                counts[word] += count


@cache
def _splitter(lowercase: bool) -> WordSplitter:
    return WordSplitter(lowercase, strip_accents=lowercase)


def train_wordpiece(counts: Mapping[str, int], size: int | Literal["auto"], lowercase: bool) -> Tokenizer:
    """A tokenizer with at most `size` tokens: special tokens, characters, continuing characters, merges.

    "auto" takes the largest of 4k, 8k, 16k and 30k whose merge at 95 % of the ranks occurs at least 100 times in the
    counted words (its pair, when it was learned: after Gowda and May 2020, arXiv 2004.02334), and never one without
    room for the characters. The merges are learned once, at the largest size, and cut.
    Raises UsageError for a size without room for a character and for counts without any word.
    """
    words = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:MOST_WORDS]
    if not words:
        raise UsageError("there is no word in the text to train a tokenizer on")
    largest = AUTO_SIZES[-1] if size == "auto" else size
    if largest <= len(SPECIAL_TOKENS):
        raise UsageError(f"tokenizer.size: {largest} leaves no room beside the {len(SPECIAL_TOKENS)} special tokens")
    characters = _count_characters(words)
    alphabet = _alphabet(characters, largest)
    merges = MergeLearner(alphabet, words).learn(largest - len(SPECIAL_TOKENS) - len(alphabet), LEAST_COUNT)
    if size != "auto":
        return WordPieceTokenizer([*SPECIAL_TOKENS, *alphabet, *merges], lowercase)
    return _largest_learnable(characters, merges, lowercase)


def _count_characters(words: Sequence[tuple[str, int]]) -> Counter[str]:
    """How often each single piece occurs: "a" at the start of words, "##a" within them."""
    pieces: Counter[str] = Counter()
    for word, count in words:
        pieces[word[0]] += count
        for character in word[1:]:
            pieces[CONTINUATION + character] += count
    return pieces


def _alphabet(pieces: Mapping[str, int], size: int) -> list[str]:
    """The single pieces of a vocabulary of `size`: first those that begin words, then those that continue them.

    The most frequent characters up to COVERAGE, as far as they fit; characters that are not Han take half of the
    vocabulary at most, as their merges need the other half.
    """
    totals: Counter[str] = Counter()
    for piece, count in pieces.items():
        totals[piece[-1]] += count
    room = size - len(SPECIAL_TOKENS)
    room_for_spelled = max(2, room // 2)
    uncovered = sum(totals.values()) * (1 - COVERAGE)
    remaining = sum(totals.values())
    chosen: list[str] = []
    for character, count in sorted(totals.items(), key=lambda item: (-item[1], item[0])):
        if remaining <= uncovered:
            break
        remaining -= count
        # Also a character that was only seen within words can begin one in other text.
        forms = [character] + [CONTINUATION + character] * (CONTINUATION + character in pieces)
        if len(forms) > room or (not is_han(character) and len(forms) > room_for_spelled):
            continue
        chosen += forms
        room -= len(forms)
        room_for_spelled -= 0 if is_han(character) else len(forms)
    return sorted(chosen, key=lambda piece: (is_continuation(piece), piece))


def _largest_learnable(pieces: Mapping[str, int], merges: Mapping[str, int], lowercase: bool) -> Tokenizer:
    whole = len(_alphabet(pieces, AUTO_SIZES[-1]))
    best = AUTO_SIZES[0]
    for size in AUTO_SIZES[1:]:
        spelled = _spelled(merges, _alphabet(pieces, size))
        if len(_alphabet(pieces, best)) == whole and not is_learnable(spelled, size - len(SPECIAL_TOKENS) - whole):
            break
        best = size
    alphabet = _alphabet(pieces, best)
    room = best - len(SPECIAL_TOKENS) - len(alphabet)
    return WordPieceTokenizer([*SPECIAL_TOKENS, *alphabet, *islice(_spelled(merges, alphabet), room)], lowercase)


def _spelled(merges: Mapping[str, int], alphabet: Sequence[str]) -> dict[str, int]:
    """The merges that an alphabet can spell, in order: what training with this alphabet would have learned."""
    known = {piece[-1] for piece in alphabet}
    return {merge: n for merge, n in merges.items() if known.issuperset(without_prefix(merge))}


def is_learnable(merges: Mapping[str, int], room: int) -> bool:
    """Whether the merge at AUTO_RANK of `room` merges exists and occurs AUTO_COUNT times."""
    at_rank = next(islice(merges.values(), int(AUTO_RANK * room), None), 0)
    return at_rank >= AUTO_COUNT
