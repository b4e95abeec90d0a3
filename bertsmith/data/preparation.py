"""From text files to a corpus folder: read, clean, split, drop repeats, tokenise, write.

This process reads and writes; worker processes do the rest on chunks of about a megabyte, whose results come back in
order. So the bytes written are a function of the text and the configs alone, for any number of workers.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bertsmith import console, interrupt, randomness, store
from bertsmith.data import sampling
from bertsmith.data.chunks import Chunk, EncodeChunk
from bertsmith.data.corpus import KIND, SPLITS, TOKENIZER, Split
from bertsmith.data.pool import Pool
from bertsmith.data.reading import Reader
from bertsmith.data.repeats import Seen
from bertsmith.data.request import finished, request_of
from bertsmith.data.writer import SplitWriter
from bertsmith.text import documents, tables, words
from bertsmith.text.config import TextConfig
from bertsmith.text.documents import Skipped, Source
from bertsmith.tokenizers.config import TokenizerConfig
from bertsmith.tokenizers.tokenizer import Tokenizer

MODEL_MAX_LENGTH = 512  # what the corpus' own tokenizer states; a trained model states what it was trained with
SMALL_INPUT = 2 * 2**20  # bytes; below, starting worker processes takes longer than the work
MOST_WORKERS = 8  # unless more are asked for: each takes some 100 MB, and one process reads for all of them
MANY_UNKNOWN = 0.01  # share of [UNK] above which a tokenizer does not fit the text
LEAST_BYTES_WRITTEN = 0.5  # of the bytes read: less than any text comes to, so that a disk too small is told early


@dataclass(frozen=True)
class PreparationSummary:
    """What a preparation made.

    bytes: UTF-8 bytes of text taken in. seconds: of this call. unk_rate: share of the tokens that are [UNK].
    alignment_failures: words that begin within a token, which then belongs to the word before.
    skipped: by reason, how many lines, documents or files were left out or cut.
    """

    documents: int
    sentences: int
    tokens: int
    bytes: int
    seconds: float
    unk_rate: float
    tokens_per_word: float
    vocabulary: int
    validation_documents: int
    alignment_failures: int = 0
    skipped: Mapping[str, int] = field(default_factory=dict)


def prepare_corpus(
    paths: Sequence[str],
    out: Path,
    tokenizer_config: TokenizerConfig,
    text_config: TextConfig,
    *,
    seed: int = 0,
    workers: int = 0,
    tokenizer: Path | None = None,
    recipe_text: str = "",
    segment: words.Segmenter | None = None,
) -> PreparationSummary:
    """Make the corpus folder `out` of text files, folders and patterns.

    workers: processes, 0 = one per core, eight at most. tokenizer: a published vocabulary or model folder; None trains
    one. segment: finds the words of Chinese text, which must concatenate to it, in place of `text_config.segmenter`;
    one that other processes cannot import makes this process do all the work. Where `out` holds the finished corpus of
    the same request nothing is done. Raises UsageError naming the field when it holds that of another request,
    BertsmithError when no text is found.
    """
    started = time.monotonic()
    sources = documents.find(paths)
    store.refuse_locked(out)  # before every byte of the text is read to compare it
    published = None if tokenizer is None else _load(tokenizer, tokenizer_config)
    if tokenizer_config.extend:
        sampling.extensible(published)  # or refused before any work
    request = request_of(sources, tokenizer_config, text_config, seed, published, segment)
    done = finished(out, request)
    if done is not None:
        console.say(f"{out}: is prepared already from this text; nothing to do")
        return _summary(done, time.monotonic() - started)
    expected = _unpacked_bytes(sources, text_config.field)
    store.require_space(out, int(expected * LEAST_BYTES_WRITTEN))
    count = 1 if expected < SMALL_INPUT or not words.is_importable(segment) else workers or _default_workers()
    details: dict[str, Any] = {}
    with store.writing(out, KIND, details) as folder:
        trained = published
        if trained is None or tokenizer_config.extend:
            sample = sampling.Sample(sources, text_config, tokenizer_config, expected, seed, count, segment)
            trained = sampling.train(sample) if published is None else sampling.extend(sample, published)
        (folder / TOKENIZER).mkdir()
        trained.save(folder / TOKENIZER, MODEL_MAX_LENGTH)
        details |= _write(folder, sources, text_config, trained, seed, count, segment)
        # The size that "auto" came to belongs into the recipe that is kept; no other field is called so.
        recipe_text = recipe_text.replace('\nsize = "auto"', f"\nsize = {trained.vocab_size}")
        details |= {"request": request, "recipe": recipe_text, "segmenter": _segmenter(text_config, segment)}
    return _summary(details, time.monotonic() - started)


def _segmenter(config: TextConfig, segment: words.Segmenter | None) -> str:
    """The segmenter that marked the words of Chinese text."""
    if segment is not None:
        return words.name_of(segment)
    resolved = words.resolve(config.segmenter)
    if config.segmenter == "auto" and resolved == "characters":
        console.warn("neither rjieba nor jieba is installed: in Chinese text every character is a word of its own")
    return resolved


def _default_workers() -> int:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, MOST_WORKERS)


def _unpacked_bytes(sources: Sequence[Source], field: str) -> int:
    """About how much text the files hold: packed text is a quarter of it, and Parquet files tell."""
    total = 0
    for source in sources:
        stated = None
        if source.kind == "parquet" and not source.compressed and source.path.is_file():
            stated = tables.column_bytes(source.path, field)
        total += stated or source.size * (4 if source.compressed else 1)
    return total


def _load(path: Path, config: TokenizerConfig) -> Tokenizer:
    # The recipes' default is lower case, so only its opposite tells what the user wants of this vocabulary.
    return Tokenizer.load(path, lowercase=None if config.lowercase else False)


# --- the work ---------------------------------------------------------------------------------------------------


def _write(
    folder: Path,
    sources: Sequence[Source],
    config: TextConfig,
    tokenizer: Tokenizer,
    seed: int,
    workers: int,
    segment: words.Segmenter | None,
) -> dict[str, Any]:
    """Write all parts; returns what the manifest says of them."""
    reader = Reader(sources, config, Skipped(fail=config.on_bad == "fail"))
    splits: dict[Split, SplitWriter] = {name: SplitWriter(folder, name, tokenizer.special.unk) for name in SPLITS}
    seen, text_bytes = Seen(), 0
    with (
        Pool(EncodeChunk(tokenizer, config, workers, segment), workers) as pool,
        console.Progress(reader.total, "B", "tokens") as bar,
    ):
        for chunk in pool.map(reader.chunks()):
            held_out = _validation_documents(chunk, config.validation_share, seed)
            new = _new_documents(chunk, seen, reader)
            splits["train"].add(chunk, new & ~held_out)
            splits["validation"].add(chunk, new & held_out)
            text_bytes += chunk.text_bytes
            bar.update(reader.done, f"{console.count(sum(split.tokens for split in splits.values()))} tokens")
    for split in splits.values():
        interrupt.check()
        split.flush()
    reader.explain_skipped()
    if not any(split.documents for split in splits.values()):
        raise reader.nothing_found()
    if not splits["validation"].documents:
        console.warn("no document fell into the validation part; use more documents or a larger text.validation_share")
    details = _details(splits, tokenizer)
    if details["unk_rate"] > MANY_UNKNOWN:
        console.warn(
            f"{details['unk_rate']:.1%} of the tokens are {tokenizer.id_to_token(tokenizer.special.unk)}, that is "
            "unknown: this tokenizer does not fit the text; "
            "choose another with --tokenizer, or leave it out to train one"
        )
    if details["alignment_failures"]:
        console.say(
            f"{details['alignment_failures']:,} words begin within a token; there the token is of the word before"
        )
    return details | {"bytes": text_bytes, "skipped": dict(sorted(reader.skipped.counts.items()))}


def _new_documents(chunk: Chunk, seen: Seen, reader: Reader) -> npt.NDArray[np.bool_]:
    """(documents,) bool: holds text and was not seen before. The others are counted as skipped."""
    empty = chunk.document_lengths == 0
    new = np.zeros(empty.size, dtype=np.bool_)
    new[~empty] = seen.add(chunk.hashes[~empty])
    reader.note([("document without text", empty), ("repeated document", ~empty & ~new)])
    return new


def _validation_documents(chunk: Chunk, share: float, seed: int) -> npt.NDArray[np.bool_]:
    """(documents,) bool: a function of the document's text and the seed, wherever it stands."""
    return randomness.uniform(randomness.key(seed, "validation documents"), chunk.hashes) < share


def _details(splits: Mapping[Split, SplitWriter], tokenizer: Tokenizer) -> dict[str, Any]:
    total = {
        name: sum(getattr(split, name) for split in splits.values())
        for name in ("documents", "sentences", "tokens", "words", "unknown", "misaligned")
    }
    files = {name: digest for split in splits.values() for name, digest in split.files.items()}
    return {
        "documents": total["documents"],
        "sentences": total["sentences"],
        "tokens": total["tokens"],
        "words": total["words"],
        "tokens_per_word": total["tokens"] / total["words"],
        "unk_rate": total["unknown"] / total["tokens"],
        "alignment_failures": total["misaligned"],
        "vocab_size": tokenizer.vocab_size,
        "tokenizer_fingerprint": tokenizer.fingerprint,
        "fingerprint": store.fingerprint(tokenizer.fingerprint, files),
        "splits": {name: split.details() for name, split in splits.items()},
    }


def _summary(details: Mapping[str, Any], seconds: float) -> PreparationSummary:
    return PreparationSummary(
        documents=details["documents"],
        sentences=details["sentences"],
        tokens=details["tokens"],
        bytes=details["bytes"],
        seconds=round(seconds, 3),
        unk_rate=details["unk_rate"],
        tokens_per_word=details["tokens_per_word"],
        vocabulary=details["vocab_size"],
        validation_documents=details["splits"]["validation"]["documents"],
        alignment_failures=details.get("alignment_failures", 0),  # older corpora do not say
        skipped=details["skipped"],
    )
