"""The first pass over the text: count the words of a sample and train a tokenizer on them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from bertsmith import console, interrupt
from bertsmith.data.chunks import CountChunk
from bertsmith.data.pool import Pool
from bertsmith.data.reading import Reader
from bertsmith.errors import UsageError
from bertsmith.randomness import key, uniform_at
from bertsmith.text.config import TextConfig
from bertsmith.text.documents import Skipped, Source
from bertsmith.text.words import Segmenter
from bertsmith.tokenizers.config import TokenizerConfig
from bertsmith.tokenizers.extension import choose_words
from bertsmith.tokenizers.tokenizer import Tokenizer
from bertsmith.tokenizers.training import train_wordpiece
from bertsmith.tokenizers.training_bytes import train_byte_bpe
from bertsmith.tokenizers.training_unigram import train_unigram
from bertsmith.tokenizers.wordpiece_tokenizer import WordPieceTokenizer

MOST_WORDS = 1_000_000  # different words counted at a time, about 150 MB; the rarest go when there are more


class Sample(NamedTuple):
    """The text that a vocabulary is made from.

    expected: bytes of text that all sources hold, roughly; about `config.sample_megabytes` of it are taken, documents
    chosen by a hash of their number. segment: in place of the configured segmenter.
    """

    sources: Sequence[Source]
    text_config: TextConfig
    config: TokenizerConfig
    expected: int
    seed: int
    workers: int
    segment: Segmenter | None = None


def train(sample: Sample) -> Tokenizer:
    """A tokenizer of the sample: the same text gives the same one, for any number of workers.

    Raises BertsmithError when there is no text.
    """
    counts = _count(sample)
    tokenizer = _train(counts, sample.config)
    console.say(f"vocabulary: {tokenizer.vocab_size:,} tokens trained on {sum(counts.values()):,} words")
    return tokenizer


def extend(sample: Sample, published: Tokenizer) -> Tokenizer:
    """A published WordPiece vocabulary with `config.extend` words of the sample behind it; fewer are said.

    Raises UsageError for another kind of tokenizer, BertsmithError when there is no text.
    """
    old = extensible(published)
    config = replace(sample.config, kind="wordpiece", lowercase=old.lowercase)
    new = choose_words(_count(sample._replace(config=config)), old, config.extend)
    console.say(f"vocabulary: {len(new):,} words of the text added to {old.vocab_size:,} tokens")
    if len(new) < config.extend:
        console.say(f"the text holds no more words of two or more pieces (tokenizer.extend: {config.extend:,})")
    return old.extended(new)


def extensible(published: Tokenizer | None) -> WordPieceTokenizer:
    """The published tokenizer that words can be added to; UsageError where there is none or it takes none."""
    if published is None:
        raise UsageError("tokenizer.extend: adds words to a published vocabulary; name it with --tokenizer")
    if not isinstance(published, WordPieceTokenizer):
        raise UsageError(f"tokenizer.extend: only WordPiece takes further words, --tokenizer is {published.kind}")
    return published


def _count(sample: Sample) -> Counter[str]:
    text_config, config = sample.text_config, sample.config
    share = min(1.0, config.sample_megabytes * 1e6 / max(1, sample.expected))
    chosen = key(sample.seed, "tokenizer sample")
    reader = Reader(sample.sources, text_config, Skipped(fail=text_config.on_bad == "fail"))
    counts: Counter[str] = Counter()
    chunks = reader.chunks(lambda number: uniform_at(chosen, number) < share)
    task = CountChunk(config, text_config, sample.segment)
    with Pool(task, sample.workers) as pool, console.Progress(reader.total, "B", "words") as bar:
        for counted in pool.map(chunks):
            reader.note([])  # nothing to count, but the places of the chunk are no longer needed
            counts.update(counted)
            prune(counts, MOST_WORDS)
            bar.update(reader.done, f"{console.count(len(counts))} different words")
    if not counts:
        raise reader.nothing_found()
    interrupt.check()
    return counts


def _train(counts: Counter[str], config: TokenizerConfig) -> Tokenizer:
    if config.kind == "byte_bpe":
        return train_byte_bpe(counts, config.size)
    if config.kind == "unigram":
        return train_unigram(counts, config.size, config.lowercase)
    return train_wordpiece(counts, config.size, config.lowercase)


def prune(counts: Counter[str], most: int) -> None:
    """When there are more than `most` words, drop those seen once, then twice and so on until half of that is left.

    A word that comes again after it was dropped is counted anew: frequent words lose nothing that matters.
    """
    least = 1
    while len(counts) > (most if least == 1 else most // 2):
        for word in [word for word, count in counts.items() if count <= least]:
            del counts[word]
        least += 1
