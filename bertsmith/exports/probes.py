"""What exported models are compared on: batches of random tokens in many shapes, and lines of plain text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch

from bertsmith.batch import Batch, flat_batch
from bertsmith.data.sequences import TokenSequence, single
from bertsmith.tasks.trained import SHORTEST
from bertsmith.tokenizers.tokenizer import Tokenizer

BATCHES = (1, 2, 4)
LINES = (
    "The library opens at nine and closes when the last reader has gone home.",
    "I was charged twice for the same order; when will I get my money back?",
    "Water boils at a lower temperature on a high mountain.",
    "She did not like the film, but the music was wonderful.",
    "Why is the train to the north late again today?",
    "The committee meets in March, in June and in the second week of October 2021.",
    "He put the old map into his pocket and walked along the river until it grew dark.",
    "Most of the votes had been counted before midnight.",
    "这家饭店的菜很好吃，就是等的时间太长了。",
    "请问我的银行卡什么时候可以寄到？",
    "科学家在海底发现了一种新的生物。",
    "昨天晚上的比赛，主队以三比一获胜。",
)
UNKNOWN_SHARE = 0.3  # of the tokens, from which a line is not in a language of the tokenizer


class Shape(NamedTuple):
    """A padded batch: its real sequences, laid end to end, and how long each is padded to be."""

    batch: Batch
    length: int


def shapes(vocab_size: int, types: int, max_length: int, choices: int = 1) -> Iterator[Shape]:
    """Three sizes of batches in three lengths, `choices` sequences to each row; some sequences are shorter.

    From two rows on the first is as long as the batch. The tokens are random, the same every time.
    """
    generator = torch.Generator().manual_seed(0)
    for rows in BATCHES:
        for length in (SHORTEST, (SHORTEST + max_length) // 2, max_length):
            count = rows * choices
            lost = [length * (row + (count == 1)) // (2 * count) for row in range(count)]
            lengths = length - torch.tensor(lost)
            tokens = int(lengths.sum())
            token_ids = torch.randint(vocab_size, (tokens,), generator=generator)
            type_ids = torch.randint(max(1, types), (tokens,), generator=generator)
            yield Shape(flat_batch(token_ids, type_ids, lengths), length)


def text_lines(tokenizer: Tokenizer) -> list[str]:
    """Those of the lines that the tokenizer can read; all where it can read none."""
    unknown = tokenizer.special.unk
    readable = [line for line in LINES if np.mean(_ids(tokenizer, line) == unknown) <= UNKNOWN_SHARE]
    return readable or list(LINES)


def line_sequences(tokenizer: Tokenizer, max_length: int) -> list[TokenSequence]:
    """The lines as a model reads them, cut where they are longer than it is."""
    return [single(_ids(tokenizer, line)[: max_length - 2], tokenizer.special) for line in text_lines(tokenizer)]


def _ids(tokenizer: Tokenizer, line: str) -> np.ndarray:
    return tokenizer.encode_with_offsets(line)[0].astype(np.int64)
