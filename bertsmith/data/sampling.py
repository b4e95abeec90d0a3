"""The first pass over the text: count the words of a sample and train a tokenizer on them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from bertsmith import console, interrupt
from bertsmith.data.chunks import CountChunk
from bertsmith.data.pool import Pool
from bertsmith.data.reading import Reader
from bertsmith.randomness import key, uniform_at
from bertsmith.text.config import TextConfig
from bertsmith.text.documents import Skipped, Source
from bertsmith.tokenizers.config import TokenizerConfig
from bertsmith.tokenizers.tokenizer import Tokenizer
from bertsmith.tokenizers.training import train_wordpiece
from bertsmith.tokenizers.training_bytes import train_byte_bpe
from bertsmith.tokenizers.training_unigram import train_unigram

MOST_WORDS = 1_000_000  # different words counted at a time, about 150 MB; the rarest go when there are more


def train(
    sources: Sequence[Source],
    text_config: TextConfig,
    config: TokenizerConfig,
    expected: int,
    seed: int,
    workers: int,
) -> Tokenizer:
    """A tokenizer of about `config.sample_megabytes` of the text, its documents chosen by a hash of their number.

    expected: bytes of text that all sources hold, roughly. The same text gives the same tokenizer for any number of
    workers. Raises BertsmithError when there is no text.
    """
    share = min(1.0, config.sample_megabytes * 1e6 / max(1, expected))
    sample = key(seed, "tokenizer sample")
    reader = Reader(sources, text_config, Skipped(fail=text_config.on_bad == "fail"))
    counts: Counter[str] = Counter()
    chunks = reader.chunks(lambda number: uniform_at(sample, number) < share)
    with Pool(CountChunk(config), workers) as pool, console.Progress(reader.total, "B", "words") as bar:
        for counted in pool.map(chunks):
            reader.note([])  # nothing to count, but the places of the chunk are no longer needed
            counts.update(counted)
            prune(counts, MOST_WORDS)
            bar.update(reader.done, f"{console.count(len(counts))} different words")
    if not counts:
        raise reader.nothing_found()
    interrupt.check()
    tokenizer = _train(counts, config)
    console.say(f"vocabulary: {tokenizer.vocab_size:,} tokens trained on {sum(counts.values()):,} words")
    return tokenizer


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
