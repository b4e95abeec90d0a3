"""Training byte-level BPE from counted words: the same counts give the same ids, always."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import islice

from tokenizers import pre_tokenizers

from bertsmith.errors import UsageError
from bertsmith.text.han import contains_han
from bertsmith.text.words import Segmenter, segment
from bertsmith.tokenizers.backed import split_at_spaces
from bertsmith.tokenizers.byte_bpe import FIRST_TOKENS, MASK, ByteBPETokenizer, Merge, byte_signs
from bertsmith.tokenizers.merges import MergeLearner
from bertsmith.tokenizers.training import AUTO_SIZES, LEAST_COUNT, MOST_WORDS, is_learnable
from bertsmith.tokenizers.wordpiece import replace_surrogates

LONGEST_WORD = 100  # bytes; longer ones teach nothing
_BYTES = pre_tokenizers.ByteLevel(add_prefix_space=False)
_RESERVED = len(FIRST_TOKENS) + 1 + 256


def count_byte_words(sentences: Iterable[str], counts: Counter[str], cut: Segmenter = segment) -> None:
    """Add the words of the sentences to `counts`, in the signs of their bytes, each with the space before it.

    Chinese is counted by the segmenter's words, so that merges seldom reach over their boundaries.
    """
    chunks: Counter[str] = Counter()
    for sentence in sentences:
        chunks.update(words_with_spaces(sentence, cut))
    for chunk, count in chunks.items():
        for word, _ in _BYTES.pre_tokenize_str(replace_surrogates(chunk)):
            if len(word) <= LONGEST_WORD:
                counts[word] += count


def words_with_spaces(sentence: str, cut: Segmenter) -> list[str]:
    """The words of a sentence, each with the space before it; in sentences with Chinese those of the segmenter."""
    if not contains_han(sentence):
        return split_at_spaces(sentence)
    found: list[str] = []
    space = ""
    for word in cut(sentence):
        for number, part in enumerate(word.split(" ")):
            space = " " if number else space
            if part:
                found.append(space + part)
                space = ""
    return found


def train_byte_bpe(counts: Mapping[str, int], size: int | str) -> ByteBPETokenizer:
    """A tokenizer with at most `size` tokens: <s> <pad> </s> <unk>, the 256 bytes, merges, <mask>.

    "auto" follows `train_wordpiece`. Raises UsageError for a size below 261 and for counts without any word.
    """
    words = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:MOST_WORDS]
    if not words:
        raise UsageError("there is no word in the text to train a tokenizer on")
    largest = AUTO_SIZES[-1] if size == "auto" else int(size)
    if largest < _RESERVED:
        raise UsageError(f"tokenizer.size: {largest} is too small; 256 bytes and the special tokens take {_RESERVED}")
    learner = MergeLearner(byte_signs(), words, continuation="")
    learned = learner.learn(largest - _RESERVED, LEAST_COUNT)
    if size == "auto":
        largest = AUTO_SIZES[0]
        for candidate in AUTO_SIZES[1:]:
            if not is_learnable(learned, candidate - _RESERVED):
                break
            largest = candidate
    tokens = [*FIRST_TOKENS, *byte_signs(), *islice(learned, largest - _RESERVED), MASK]
    return ByteBPETokenizer(tokens, _merges(learner.joined, set(tokens)))


def _merges(joined: Iterable[Merge], tokens: set[str]) -> list[Merge]:
    """The joins that the kept tokens were made by, also where two joins make one token."""
    merges: list[Merge] = []
    for left, right in joined:
        if left + right not in tokens:
            break
        merges.append((left, right))
    return merges
