"""BERT's pairs: segment B follows A in the document, or comes from another one (google-research/bert,
`create_pretraining_data.py`). Label 0 = B is next, 1 = B is random.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from bertsmith import interrupt
from bertsmith.data.compiled import kernel
from bertsmith.data.config import CutConfig
from bertsmith.data.corpus import Corpus
from bertsmith.data.cuts.examples import (
    A_START,
    A_STOP,
    B_START,
    B_STOP,
    LABEL,
    PART,
    SPECIAL,
    STARTS,
    Examples,
    Rows,
    by_part,
    empty_examples,
)
from bertsmith.data.randomness import below_one, draw_one, key, uniform_one

if TYPE_CHECKING:
    from bertsmith.tokenizers.tokenizer import SpecialIds

SPECIALS = 3  # [CLS] A [SEP] B [SEP]
IS_NEXT, IS_RANDOM = 0, 1
TRIES = 10  # draws of another document before the same one is accepted


@dataclass(frozen=True)
class NextSentence:
    """The next_sentence cut. Random segments come from the same part of the corpus as their partner."""

    config: CutConfig
    special: SpecialIds
    seed: int
    has_pairs = True

    def plan_number(self, epoch: int) -> int:
        """Cuts repeat after `copies` epochs."""
        return epoch % self.config.copies if self.config.copies else epoch

    def plan(self, corpus: Corpus, epoch: int) -> Rows:
        """The rows of an epoch, (rows, 6) int32; a function of (seed, plan number) and the corpus."""
        planned = [np.empty((0, 6), dtype=np.int32)]
        for number, part in enumerate(corpus.parts):
            interrupt.check()
            rows = np.empty((part.sentences.size - 1, 6), dtype=np.int32)  # a row uses up one sentence at least
            rows[:, PART] = number
            count = _plan_part(
                part.sentences,
                part.documents,
                key(self.seed, "next_sentence", self.plan_number(epoch), number),
                self.config.length - SPECIALS,
                self.config.short_probability,
                self.config.random_probability,
                rows,
            )
            planned.append(rows[:count].copy())
        return np.concatenate(planned)

    def build(self, corpus: Corpus, rows: Rows) -> Examples:
        """[CLS] A [SEP] with type 0, then B [SEP] with type 1."""
        rows = np.ascontiguousarray(rows, dtype=np.int32)
        lengths = (rows[:, A_STOP] - rows[:, A_START] + rows[:, B_STOP] - rows[:, B_START]).astype(np.int64) + SPECIALS
        examples = empty_examples(lengths, rows[:, LABEL].astype(np.int64))
        places = np.cumsum(lengths) - lengths
        for part, chosen in by_part(corpus, rows):
            _fill_pairs(
                part.token_ids,
                part.word_starts,
                rows,
                chosen,
                places,
                self.special.cls,
                self.special.sep,
                examples.token_ids,
                examples.type_ids,
                examples.units,
            )
        return examples


@kernel
def _plan_part(
    sentences: npt.NDArray[np.int32],
    documents: npt.NDArray[np.int32],
    part_key: np.uint64,
    room: int,
    short_probability: float,
    random_probability: float,
    rows: Rows,
) -> int:
    """Plan one part and return the number of rows; each document has its own stream of draws."""
    count = 0
    for document in range(documents.size - 1):
        stream = draw_one(part_key, document)
        target = room
        if uniform_one(draw_one(stream, 0)) < short_probability:
            target = 2 + below_one(draw_one(stream, 1), room - 1)
        draws = 2
        last = documents[document + 1]
        sentence = chunk = documents[document]
        while sentence < last:
            if sentence < last - 1 and sentences[sentence + 1] - sentences[chunk] < target:
                sentence += 1
                continue
            size = sentence + 1 - chunk
            split = chunk + 1
            if size > 1:
                split += below_one(draw_one(stream, draws), size - 1)
            a_start, a_stop = int(sentences[chunk]), int(sentences[split])
            random = size == 1 or uniform_one(draw_one(stream, draws + 1)) < random_probability
            draws += 2
            if random:
                b_start, b_stop, draws = _random_segment(
                    sentences, documents, document, target - (a_stop - a_start), stream, draws
                )
                sentence = split - 1  # what was gathered for B goes back to be used again
            else:
                b_start, b_stop = a_stop, int(sentences[sentence + 1])
            cuts = _truncation(a_stop - a_start, b_stop - b_start, room, stream, draws)
            draws = cuts[4]
            rows[count, A_START], rows[count, A_STOP] = a_start + cuts[0], a_stop - cuts[1]
            rows[count, B_START], rows[count, B_STOP] = b_start + cuts[2], b_stop - cuts[3]
            rows[count, LABEL] = IS_RANDOM if random else IS_NEXT
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
    stream: np.uint64,
    draws: int,
) -> tuple[int, int, int]:
    """Sentences of another document, from a random one on until `wanted` tokens; and the next unused draw."""
    other = document
    for _ in range(TRIES):
        other = below_one(draw_one(stream, draws), documents.size - 1)
        draws += 1
        if other != document:
            break
    first, last = documents[other], documents[other + 1]
    first += below_one(draw_one(stream, draws), last - first)
    stop = first + 1
    while stop < last and sentences[stop] - sentences[first] < wanted:
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


@kernel
def _fill_pairs(
    tokens: npt.NDArray[Any],
    word_starts: npt.NDArray[np.uint8],
    rows: Rows,
    chosen: npt.NDArray[np.int64],
    places: npt.NDArray[np.int64],
    cls: int,
    sep: int,
    token_ids: npt.NDArray[np.int64],
    type_ids: npt.NDArray[np.int64],
    units: npt.NDArray[np.uint8],
) -> None:
    for row in chosen:
        place = places[row]
        token_ids[place], type_ids[place], units[place] = cls, 0, SPECIAL
        place += 1
        for segment in range(2):
            start, stop = rows[row, A_START + 2 * segment], rows[row, A_STOP + 2 * segment]
            for source in range(start, stop):
                token_ids[place], type_ids[place], units[place] = tokens[source], segment, word_starts[source]
                if source == start:
                    units[place] = STARTS
                place += 1
            token_ids[place], type_ids[place], units[place] = sep, segment, SPECIAL
            place += 1
