"""Training a unigram vocabulary from counted words with the sentencepiece library, on one thread."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import regex

from bertsmith import console
from bertsmith.errors import BertsmithError, UsageError
from bertsmith.text.words import Segmenter, segment
from bertsmith.tokenizers import spiece
from bertsmith.tokenizers.training import LONGEST_WORD, train_wordpiece
from bertsmith.tokenizers.training_bytes import words_with_spaces
from bertsmith.tokenizers.unigram import ALBERT_NAMES, Spelling, UnigramTokenizer
from bertsmith.tokenizers.wordpiece import replace_surrogates

COVERAGE = 0.9995  # share of all characters that get a piece of their own; the rest become <unk>
MOST_WORDS = 200_000  # different words, the most frequent ones
MOST_COUNTED = 5_000_000  # words in all: sentencepiece takes time and memory for every occurrence, 0.1 GB a million
_PARTS = regex.compile(r" ?(?:\p{L}\p{M}*)+| ?\p{N}+| ?[^\s\p{L}\p{N}]+")
# Two fields of the model's NormalizerSpec, set anew behind it: a text gets a space put before it, and loses others.
_PUBLISHED_SPACES = b"\x1a\x04\x18\x01\x20\x01"


def count_unigram_words(
    sentences: Iterable[str], lowercase: bool, counts: Counter[str], cut: Segmenter = segment
) -> None:
    """Add the words of the sentences to `counts`, spelled as the tokenizer will, with the space before them.

    What comes behind the first letters, digits or signs of a word has none: ``(cat,`` is " (", "cat" and ",".
    Chinese is counted by the segmenter's words, so that few pieces reach over their boundaries.
    """
    chunks: Counter[str] = Counter()
    for sentence in sentences:
        words = words_with_spaces(sentence, cut)
        chunks.update(words[1:])
        chunks.update(" " + word.lstrip(" ") for word in words[:1])
    spelling = Spelling(True, False, lowercase, b"").normalizer()
    for chunk, count in chunks.items():
        for part in _PARTS.findall(spelling.normalize_str(replace_surrogates(chunk))):
            if len(part) <= LONGEST_WORD:
                counts[part] += count


def train_unigram(counts: Mapping[str, int], size: int | str, lowercase: bool) -> UnigramTokenizer:
    """ALBERT's tokenizer with at most `size` tokens; "auto" takes the size that `train_wordpiece` comes to.

    The same counts give the same ids: words go in by count and spelling, one thread works on them. A text that supports
    fewer pieces gives fewer, which is said. Raises UsageError where sentencepiece is missing or the size is too small.
    """
    try:
        import sentencepiece
    except ImportError:
        raise UsageError(
            "tokenizer.kind: unigram needs the library sentencepiece; `pip install sentencepiece`"
        ) from None
    words = _scaled(sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:MOST_WORDS])
    if not words:
        raise UsageError("there is no word in the text to train a tokenizer on")
    wanted = _automatic_size(counts, lowercase) if size == "auto" else int(size)
    written = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=(f"{word}\t{count}" for word, count in words),
            input_format="tsv",
            model_writer=written,
            model_type="unigram",
            vocab_size=wanted,
            hard_vocab_limit=False,
            add_dummy_prefix=False,  # the words bring their spaces along
            remove_extra_whitespaces=False,
            character_coverage=COVERAGE,
            pad_id=0,
            unk_id=1,
            bos_id=-1,
            eos_id=-1,
            pad_piece=ALBERT_NAMES[0],
            unk_piece=ALBERT_NAMES[1],
            control_symbols=list(ALBERT_NAMES[2:]),
            num_threads=1,
            minloglevel=2,
        )
    except RuntimeError as error:
        said = " ".join(str(error).split())
        raise UsageError(f"tokenizer.size: {wanted} cannot be trained on this text ({said[-160:]})") from None
    data = written.getvalue() + _PUBLISHED_SPACES
    try:
        model = spiece.parse(data)
    except BertsmithError as error:
        raise BertsmithError(f"what sentencepiece trained {error}") from None
    if len(model.pieces) < wanted:
        console.say(f"the text supports {len(model.pieces):,} pieces, fewer than the {wanted:,} of tokenizer.size")
    return UnigramTokenizer(model.pieces, Spelling(True, False, lowercase, model.charsmap), "AlbertTokenizer", data)


def _scaled(words: Sequence[tuple[str, int]]) -> list[tuple[str, int]]:
    """The words, their counts in proportion, MOST_COUNTED in all at most; what comes to under a half is left out."""
    share = min(1.0, MOST_COUNTED / max(1, sum(count for _, count in words)))
    scaled = [(word, round(count * share)) for word, count in words]
    return [(word, count) for word, count in scaled if count]


def _automatic_size(counts: Mapping[str, int], lowercase: bool) -> int:
    words: Counter[str] = Counter()
    for word, count in counts.items():
        words[word.lstrip(" ")] += count
    return train_wordpiece(words, "auto", lowercase).vocab_size
