"""Training a unigram vocabulary from counted words with the sentencepiece library, on one thread."""

from __future__ import annotations

import io
from collections.abc import Mapping

from bertsmith import console
from bertsmith.errors import BertsmithError, UsageError
from bertsmith.tokenizers import spiece
from bertsmith.tokenizers.training import MOST_WORDS, train_wordpiece
from bertsmith.tokenizers.unigram import ALBERT_NAMES, Spelling, UnigramTokenizer

COVERAGE = 0.9995  # share of all characters that get a piece of their own; the rest become <unk>


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
    words = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:MOST_WORDS]
    if not words:
        raise UsageError("there is no word in the text to train a tokenizer on")
    wanted = train_wordpiece(counts, size, lowercase).vocab_size if size == "auto" else int(size)
    written = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=(f"{word}\t{count}" for word, count in words),
            input_format="tsv",
            model_writer=written,
            model_type="unigram",
            vocab_size=wanted,
            hard_vocab_limit=False,
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
    data = written.getvalue()
    try:
        model = spiece.parse(data)
    except BertsmithError as error:
        raise BertsmithError(f"what sentencepiece trained {error}") from None
    if len(model.pieces) < wanted:
        console.say(f"the text supports {len(model.pieces):,} pieces, fewer than the {wanted:,} of tokenizer.size")
    return UnigramTokenizer(model.pieces, Spelling(True, False, lowercase, model.charsmap), "AlbertTokenizer", data)
