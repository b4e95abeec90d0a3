"""Whole-word masks of Chinese lines: ours, and transformers' collator with whole_word_mask=True on the same ids.

    python benchmarks/whole_words.py --text zh.txt --vocabulary vocab.txt [--lines 5000]

One line is one sequence, cut at 128 tokens. Words are those of the segmenter that `prepare` uses; each side's masks are
held against them. Per side: the rate and shares, the share of the tokens hidden by length of word, the words hidden in
part, and how many lines are hidden whole or not at all.
"""

from __future__ import annotations

import argparse
import json
import os
import warnings
from pathlib import Path

os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

import numpy as np
import torch
from transformers import BertTokenizer, DataCollatorForLanguageModeling

from bertsmith.data.config import MaskingConfig
from bertsmith.data.cuts.examples import SPECIAL, STARTS, Examples
from bertsmith.data.masking import Masked, mask
from bertsmith.report.examples import Drawn
from bertsmith.report.inspection import masking_figures
from bertsmith.text.cleaning import clean
from bertsmith.tokenizers.tokenizer import Tokenizer

LENGTH = 128


def examples_of(lines: list[str], tokenizer: Tokenizer) -> Examples:
    """Each line as [CLS] tokens [SEP], with the words of the segmenter."""
    encoding = tokenizer.encode_sentences(lines)
    ids, units, lengths, start = [], [], [], 0
    for size in encoding.lengths.tolist():
        kept = min(size, LENGTH - 2)
        ids += [tokenizer.special.cls, *encoding.token_ids[start : start + kept].tolist(), tokenizer.special.sep]
        units += [SPECIAL, *encoding.word_starts[start : start + kept].tolist(), SPECIAL]
        lengths.append(kept + 2)
        start += size
    made = np.array(units, dtype=np.uint8)
    made[np.cumsum(lengths) - lengths + 1] = STARTS
    count = len(lengths)
    return Examples(np.array(ids), np.zeros(len(ids), np.int64), made, np.array(lengths), np.full(count, -1))


def masked_by_transformers(lines: list[str], examples: Examples, tokenizer: BertTokenizer) -> Masked:
    """The same ids through the collator, a line at a time as lines differ in length."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        collator = DataCollatorForLanguageModeling(tokenizer, whole_word_mask=True, seed=0)
    seen, labels = [], []
    for line in lines:
        encoded = tokenizer(
            line, truncation=True, max_length=LENGTH, return_offsets_mapping=True, return_special_tokens_mask=True
        )
        batch = collator([dict(encoded)])
        seen.append(batch["input_ids"][0])
        labels.append(batch["labels"][0])
    flat, wanted = torch.cat(seen).numpy(), torch.cat(labels).numpy()
    rows = np.flatnonzero(wanted != -100)
    restored = flat.copy()
    restored[rows] = wanted[rows]
    assert (restored == examples.token_ids).all(), "both sides read the same ids"
    return Masked(flat, rows, wanted[rows])


def figures(examples: Examples, masked: Masked, tokenizer: Tokenizer) -> dict[str, object]:
    """Statistics of one side's masks."""
    hidden = np.zeros(examples.token_ids.size, dtype=bool)
    hidden[masked.rows] = True
    starts = np.cumsum(examples.lengths) - examples.lengths
    per_line = np.add.reduceat(hidden, starts, dtype=np.int64) / (examples.lengths - 2)
    return {
        **masking_figures(Drawn(examples, masked), tokenizer),
        "lines_hidden_whole": int((per_line == 1).sum()),
        "lines_without_any": int((per_line == 0).sum()),
        "lines_between_10_and_20_percent": int(((per_line >= 0.1) & (per_line <= 0.2)).sum()),
    }


def main() -> None:
    """Prints one JSON object per side."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--text", required=True, help="Chinese text, one sentence per line")
    parser.add_argument("--vocabulary", required=True, help="a published vocab.txt")
    parser.add_argument("--lines", type=int, default=5000)
    arguments = parser.parse_args()
    ours, theirs = Tokenizer.load(arguments.vocabulary), BertTokenizer(arguments.vocabulary)
    text = Path(arguments.text).read_text(encoding="utf-8").splitlines()
    lines = [line for line in map(clean, text) if len(line) >= 10][: arguments.lines]
    examples = examples_of(lines, ours)
    rows = np.arange(len(lines))
    print(json.dumps({"lines": len(lines), "tokens": int((examples.units != SPECIAL).sum())}), flush=True)
    for unit in ("word", "ngram"):
        config = MaskingConfig(unit=unit, budget="stochastic", copies=0)
        masked = mask(examples, config, ours.special, ours.vocab_size, 0, 0, rows)
        print(json.dumps({"side": f"bertsmith, {unit}", **figures(examples, masked, ours)}), flush=True)
    masked = masked_by_transformers(lines, examples, theirs)
    print(json.dumps({"side": "transformers, whole_word_mask", **figures(examples, masked, ours)}), flush=True)


if __name__ == "__main__":
    main()
