"""What `inspect` finds: parameters by part, and what masking does to real lines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from rich.console import Console
from rich.text import Text

from bertsmith.console import render_table
from bertsmith.data.config import CutConfig, MaskingConfig
from bertsmith.data.corpus import Corpus
from bertsmith.data.cuts.examples import CONTINUES, SPECIAL
from bertsmith.models.config import EncoderConfig, TaskHead
from bertsmith.models.model import count_parameters
from bertsmith.report.examples import Drawn, draw_sequences, part_seed, pieces_of
from bertsmith.tokenizers.tokenizer import Tokenizer

SAMPLED = 8192  # sequences that the shares of masking are measured on
SHOWN = 5  # sequences drawn with their masks
WORD_LENGTHS = (1, 2, 3, 4)  # in characters
MOST_TOKENS = 12  # of a word that is so short: byte-level tokenizers need up to three for a Han character

STYLES = {"special": "dim", "masked": "bold yellow", "replaced": "bold magenta", "kept": "bold cyan"}


def inspect_encoder(config: EncoderConfig, heads: Sequence[str], task: TaskHead | None = None) -> dict[str, Any]:
    """`{"parameters": {encoder, total, parts{...}}}` of a model with these heads, and that of a task, unbuilt.

    encoder: the published base class with its pooler, trained or not; total: what is trained, tied weights once.
    """
    return {"parameters": count_parameters(config.resolved(), tuple(heads), task)}


def inspect_corpus(corpora: Sequence[Corpus], cut: CutConfig, masking: MaskingConfig, seed: int) -> dict[str, Any]:
    """Counts of a corpus (all its splits), what masking does to it, and real lines with their masks.

    Returns documents, sentences, tokens, vocabulary, masking (see `masking_figures`) and lines: per line its tokens as
    [text, what masking did (plain, special, masked, replaced, kept), what stood there, whether a space comes before].
    """
    filled = [corpus for corpus in corpora if corpus.tokens]
    counts = {
        "documents": sum(corpus.document_count for corpus in corpora),
        "sentences": sum(corpus.sentence_count for corpus in corpora),
        "tokens": sum(corpus.tokens for corpus in corpora),
        "vocabulary": corpora[0].vocab_size,
    }
    if not filled:
        return {**counts, "masking": {}, "lines": []}
    tokenizer = filled[0].tokenizer
    seed = part_seed(seed, "train")
    sample = draw_sequences(filled[0], tokenizer, cut, masking, seed, SAMPLED)
    shown = draw_sequences(filled[0], tokenizer, cut, masking, seed, SHOWN)
    lines = [
        [[piece.text, piece.fate, piece.truth, piece.spaced] for piece in pieces]
        for pieces in pieces_of(shown, tokenizer)
    ]
    return {**counts, "masking": masking_figures(sample, tokenizer), "lines": lines}


def masking_figures(sample: Drawn, tokenizer: Tokenizer) -> dict[str, Any]:
    """Measured on real sequences: how many tokens are predicted, and what becomes of them.

    rate: predicted ÷ maskable tokens. mask, random, keep: shares of the predicted. by_word_length: for words of 1 to 4
    characters the share of their tokens that is predicted (null where there are no such words). partial_words: words of
    which some tokens are predicted and others not.
    """
    examples, masked = sample
    predicted = np.zeros(len(examples.token_ids), dtype=bool)
    predicted[masked.rows] = True
    maskable = examples.units != SPECIAL
    starts = np.flatnonzero(examples.units != CONTINUES)
    sizes = np.diff(starts, append=len(predicted))
    hits = np.add.reduceat(predicted, starts, dtype=np.int64) if len(starts) else sizes
    words = maskable[starts]
    lengths = word_lengths(examples.token_ids, starts[words], sizes[words], tokenizer)
    seen = masked.token_ids[masked.rows]
    hidden, kept = seen == tokenizer.special.mask, seen == masked.labels
    total = max(1, len(seen))
    return {
        "rate": int(predicted[maskable].sum()) / max(1, int(maskable.sum())),
        "mask": int(hidden.sum()) / total,
        "random": int((~hidden & ~kept).sum()) / total,
        "keep": int(kept.sum()) / total,
        "by_word_length": {str(n): _share(hits[words][lengths == n], sizes[words][lengths == n]) for n in WORD_LENGTHS},
        "partial_words": int(((hits > 0) & (hits < sizes)).sum()),
    }


def _share(hits: np.ndarray, sizes: np.ndarray) -> float | None:
    return float(hits.sum() / sizes.sum()) if len(sizes) else None


def word_lengths(token_ids: np.ndarray, starts: np.ndarray, sizes: np.ndarray, tokenizer: Tokenizer) -> np.ndarray:
    """Characters of each word (words,), given where its tokens start and how many they are; 0 = too many tokens."""
    lengths = np.zeros(len(starts), dtype=np.int64)
    for size in range(1, MOST_TOKENS + 1):
        of_size = np.flatnonzero(sizes == size)
        if len(of_size):
            rows = token_ids[starts[of_size, None] + np.arange(size)]
            distinct, which = np.unique(rows, axis=0, return_inverse=True)
            lengths[of_size] = np.array([len(tokenizer.decode(row).strip()) for row in distinct])[which.reshape(-1)]
    return lengths


def render_parameters(parameters: Mapping[str, Any]) -> str:
    """Parameters by part with their shares of the total."""
    total = max(1, parameters["total"])
    rows = [
        [part.replace("_", " "), count, f"{count / total:.1%}"] for part, count in parameters["parts"].items() if count
    ]
    rows.append(["total, trained", parameters["total"], "100.0%"])
    rows.append(["published encoder", parameters["encoder"], ""])
    return render_table("", rows, ["part", "parameters", "share"])


def render_corpus(values: Mapping[str, Any], color: bool) -> str:
    """Counts, shares of masking, and the lines with their masks."""
    counts = [[name, values[name]] for name in ("documents", "sentences", "tokens", "vocabulary")]
    blocks = [render_table("", counts, ["", ""])]
    if masking := values["masking"]:
        figures = [
            ["predicted, of the maskable tokens", f"{masking['rate']:.2%}"],
            ["of these: [MASK]", f"{masking['mask']:.1%}"],
            ["of these: a random token", f"{masking['random']:.1%}"],
            ["of these: left as it was", f"{masking['keep']:.1%}"],
        ]
        for size, share in masking["by_word_length"].items():
            characters = "character" if size == "1" else "characters"
            figures.append([f"predicted, in words of {size} {characters}", "none" if share is None else f"{share:.2%}"])
        figures.append(["words predicted in part", f"{masking['partial_words']:,}"])
        blocks.append(render_table("masking, measured", figures, ["", ""]))
        blocks.append(draw_lines(values["lines"], color))
    return "\n\n".join(blocks)


def draw_lines(lines: Sequence[Sequence[Sequence[Any]]], color: bool) -> str:
    """Lines of tokens as `inspect_corpus` gives them: masked, replaced and kept tokens in colour, or in brackets.

    `[cat]` was masked, `[cat>dog]` was replaced by dog, `[cat=]` was kept but must be predicted.
    """
    drawn = [Text(legend := "real lines: [hidden]  [hidden>replaced]  [kept=]")]
    drawn[0].stylize("dim", 0, len(legend))
    for line in lines:
        text = Text()
        for word, fate, truth, spaced in line:
            shown = {"masked": f"[{truth}]", "replaced": f"[{truth}>{word}]", "kept": f"[{word}=]"}
            text.append(" " if spaced and text else "")
            text.append(str(shown.get(fate, word)), STYLES.get(fate, ""))
        drawn.append(text)
    if not color:
        return "\n\n".join(text.plain for text in drawn)
    console = Console(force_terminal=True, color_system="standard", soft_wrap=True)
    with console.capture() as capture:
        for text in drawn:
            console.print(text, end="\n\n", highlight=False)
    return capture.get().rstrip("\n")
