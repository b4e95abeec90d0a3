"""Pairs of segments out of chunks of consecutive sentences: what BERT's, ALBERT's and RoBERTa's pairs have in common.

A chunk is gathered from a document until it is long enough, and divided into A and B. B may give way to a random
segment of another document of the same part; the sentences it was made of then go back to be used again. Or, in
sentence_order, A and B may change places. Both are cut to the length a token at a time, as published.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import numpy.typing as npt

from bertsmith.compiled import kernel
from bertsmith.data.corpus import Part
from bertsmith.data.cuts.cut import Cut
from bertsmith.data.cuts.examples import A_START, A_STOP, B_START, B_STOP, LABEL, Rows
from bertsmith.randomness import below_one, draw_one, key, uniform_one

TRUE_PAIR, FALSE_PAIR = 0, 1
TRIES = 10  # draws of another document before the same one is accepted
UNBOUNDED = 2**30  # more tokens or sentences than a part can have


class SegmentPairs(Cut):
    """Rows of two segments, labelled 0 where B follows A and 1 where it does not.

    swaps: a false pair is A and B in the wrong order, not A and a random segment.
    sentences: most sentences in a chunk; where they are few, they and not a length in tokens bound it.
    """

    swaps: ClassVar[bool] = False
    sentences: ClassVar[int] = UNBOUNDED

    def _most_rows(self, part: Part) -> int:
        return part.sentences.size - 1  # a row uses up one sentence at least

    def _plan_part(self, part: Part, plan_number: int, part_number: int, rows: Rows) -> int:
        by_tokens = self.sentences == UNBOUNDED
        room = self.config.length - self.template.pair_specials
        return _plan(
            part.sentences,
            part.documents,
            key(self.seed, self.config.name, plan_number, part_number),
            room,
            room if by_tokens else UNBOUNDED,
            self.config.short_probability if by_tokens else 0.0,
            self.config.random_probability,
            self.sentences,
            self.swaps,
            rows,
        )


@kernel
def _plan(
    sentences: npt.NDArray[np.int32],
    documents: npt.NDArray[np.int32],
    part_key: np.uint64,
    room: int,
    longest: int,
    short_probability: float,
    random_probability: float,
    most: int,
    swaps: bool,
    rows: Rows,
) -> int:
    """Plan one part and return the number of rows; each document has its own stream of draws.

    A chunk is closed at `longest` tokens (or a shorter length drawn for the document) or `most` sentences; a pair is
    cut to `room` tokens.
    """
    count = 0
    for document in range(documents.size - 1):
        stream = draw_one(part_key, document)
        target = longest
        if uniform_one(draw_one(stream, 0)) < short_probability:
            target = 2 + below_one(draw_one(stream, 1), room - 1)
        draws = 2
        last = documents[document + 1]
        sentence = chunk = documents[document]
        while sentence < last:
            size = sentence + 1 - chunk
            if sentence < last - 1 and size < most and sentences[sentence + 1] - sentences[chunk] < target:
                sentence += 1
                continue
            split = chunk + 1
            if size > 1:
                split += below_one(draw_one(stream, draws), size - 1)
            a_start, a_stop = int(sentences[chunk]), int(sentences[split])
            false = size == 1 or uniform_one(draw_one(stream, draws + 1)) < random_probability
            draws += 2
            b_start, b_stop = a_stop, int(sentences[sentence + 1])
            if false and swaps and size > 1:
                a_start, a_stop, b_start, b_stop = b_start, b_stop, a_start, a_stop
            elif false:
                b_start, b_stop, draws = _random_segment(
                    sentences, documents, document, target - (a_stop - a_start), most - 1, stream, draws
                )
                sentence = split - 1  # what was gathered for B goes back to be used again
            cuts = _truncation(a_stop - a_start, b_stop - b_start, room, stream, draws)
            draws = cuts[4]
            rows[count, A_START], rows[count, A_STOP] = a_start + cuts[0], a_stop - cuts[1]
            rows[count, B_START], rows[count, B_STOP] = b_start + cuts[2], b_stop - cuts[3]
            rows[count, LABEL] = FALSE_PAIR if false else TRUE_PAIR
            count += 1
            sentence += 1
            chunk = sentence
    return count


@kernel
def _random_segment(
    sentences: npt.NDArray[np.int32],
    documents: npt.NDArray[np.int32],
    document: int,
    wanted: int,
    most: int,
    stream: np.uint64,
    draws: int,
) -> tuple[int, int, int]:
    """Sentences of another document, from a random one on until `wanted` tokens or `most` sentences; the next draw."""
    other = document
    for _ in range(TRIES):
        other = below_one(draw_one(stream, draws), documents.size - 1)
        draws += 1
        if other != document:
            break
    first, last = documents[other], documents[other + 1]
    first += below_one(draw_one(stream, draws), last - first)
    stop = first + 1
    while stop < last and stop - first < most and sentences[stop] - sentences[first] < wanted:
        stop += 1
    return int(sentences[first]), int(sentences[stop]), draws + 1


@kernel
def _truncation(a: int, b: int, room: int, stream: np.uint64, draws: int) -> tuple[int, int, int, int, int]:
    """Tokens removed from the front and back of A, the front and back of B; and the next unused draw.

    Tokens go one at a time from the longer segment (B when equal), each from the front or the back with equal chance.
    How many each segment loses follows from the lengths; how many of those in front is a count of random bits.
    """
    excess = max(0, a + b - room)
    from_a = min(excess, max(0, a - b))
    from_b = min(excess, max(0, b - a))
    rest = excess - from_a - from_b
    from_a += rest // 2
    from_b += rest - rest // 2
    a_front, draws = _heads(from_a, stream, draws)
    b_front, draws = _heads(from_b, stream, draws)
    return a_front, from_a - a_front, b_front, from_b - b_front, draws


@kernel
def _heads(tosses: int, stream: np.uint64, draws: int) -> tuple[int, int]:
    """How many of `tosses` fair coins fall heads, 64 coins a draw; and the next unused draw."""
    heads = 0
    while tosses > 0:
        bits = draw_one(stream, draws)
        draws += 1
        for _ in range(min(tosses, 64)):
            heads += int(np.int64(bits & np.uint64(1)))
            bits >>= np.uint64(1)
        tosses -= 64
    return heads, draws
