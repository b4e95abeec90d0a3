"""Which tokens of a sequence are hidden: single tokens, whole words, or n-grams of whole words, within a budget.

Under the rounded budget words are taken as google-research/bert does: shuffled, one that would pass the budget is
skipped, which disfavours long words (at 64 tokens a word of four pieces is masked at 11 %, one of one piece at 18 %).
Under the stochastic budget every word has the same chance whatever its length, and the budget is met on average: the
shuffled words are laid on a circle, and those are masked that start within `budget` tokens of a random place on it.

For n-grams (google-research/albert) a sequence is first divided from left to right into runs of n words, n drawn with a
chance proportional to 1/n and ended early by a special token; the runs are then chosen as words are. So under the
stochastic budget a word has the same chance whatever its length and neighbours. Under the rounded one a run too long
for what is left of the budget gives up its last words until it fits.

Spans are words whose boundaries have been moved: the lengths of the words of a sequence in a random order, from special
token to special token. They tell apart what hiding words does from what hiding several tokens in a row does.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from bertsmith.compiled import kernel
from bertsmith.data.cuts.examples import CONTINUES, SPECIAL
from bertsmith.randomness import below_one, draw_one, uniform_one

# Each sequence has one stream of draws: 0 is the budget's, 1 the circle's, then come the choices, the sizes of n-grams
# or the order of spans, and from 2**32 on the treatments (bertsmith.data.masking).
BUDGET_DRAW = 0
ENTRY_DRAW = 1
FIRST_CHOICE = 2
FIRST_GRAM = 2**31


@kernel
def _budget(maskable: int, length: int, stream: np.uint64, rate: float, stochastic: bool, max_predictions: int) -> int:
    """How many tokens of a sequence to predict."""
    if stochastic:
        return int(rate * maskable + uniform_one(draw_one(stream, BUDGET_DRAW)))
    budget = max(1, int(np.rint(length * rate)))  # half to even, as Python's round in the published code
    if max_predictions > 0:
        budget = min(budget, max_predictions)
    return min(budget, maskable)


@kernel
def choose_tokens(
    units: npt.NDArray[np.uint8],
    lengths: npt.NDArray[np.int64],
    indices: npt.NDArray[np.int64],
    key: np.uint64,
    rate: float,
    stochastic: bool,
    max_predictions: int,
    longest: int,
    specials: bool,
    chosen: npt.NDArray[np.uint8],
) -> None:
    """Set `chosen` at single tokens: the first steps of a Fisher-Yates shuffle of the maskable positions."""
    positions = np.empty(longest, dtype=np.int64)
    start = 0
    for sequence in range(lengths.size):
        stop = start + lengths[sequence]
        stream = draw_one(key, indices[sequence])
        count = 0
        for position in range(start, stop):
            positions[count] = position
            count += specials or units[position] != SPECIAL
        budget = _budget(count, stop - start, stream, rate, stochastic, max_predictions)
        for turn in range(budget):
            other = turn + below_one(draw_one(stream, FIRST_CHOICE + turn), count - turn)
            positions[turn], positions[other] = positions[other], positions[turn]
            chosen[positions[turn]] = 1
        start = stop


@kernel
def choose_rare_tokens(
    units: npt.NDArray[np.uint8],
    lengths: npt.NDArray[np.int64],
    indices: npt.NDArray[np.int64],
    key: np.uint64,
    rate: float,
    stochastic: bool,
    max_predictions: int,
    longest: int,
    specials: bool,
    weights: npt.NDArray[np.float64],
    chosen: npt.NDArray[np.uint8],
) -> None:
    """Set `chosen` at single tokens, drawn one after another without repetition in proportion to `weights` (tokens,).

    The smallest of -log(u) / weight are such a draw (Efraimidis and Spirakis, 2006).
    """
    positions = np.empty(longest, dtype=np.int64)
    waits = np.empty(longest, dtype=np.float64)
    start = 0
    for sequence in range(lengths.size):
        stop = start + lengths[sequence]
        stream = draw_one(key, indices[sequence])
        count = 0
        for position in range(start, stop):
            if specials or units[position] != SPECIAL:
                draw = uniform_one(draw_one(stream, FIRST_CHOICE + position - start))
                positions[count] = position
                waits[count] = -np.log1p(-draw) / weights[position]
                count += 1
        budget = _budget(count, stop - start, stream, rate, stochastic, max_predictions)
        for place in np.argsort(waits[:count])[:budget]:
            chosen[positions[place]] = 1
        start = stop


@kernel
def choose_words(
    units: npt.NDArray[np.uint8],
    lengths: npt.NDArray[np.int64],
    indices: npt.NDArray[np.int64],
    key: np.uint64,
    rate: float,
    stochastic: bool,
    max_predictions: int,
    longest: int,
    specials: bool,
    ngram_max: int,
    spans: bool,
    chosen: npt.NDArray[np.uint8],
) -> None:
    """Set `chosen` at words, n-grams where `ngram_max` > 1, or `spans`, in the order of a Fisher-Yates shuffle."""
    starts = np.empty(longest, dtype=np.int64)
    sizes = np.empty(longest, dtype=np.int64)
    start = 0
    for sequence in range(lengths.size):
        stop = start + lengths[sequence]
        stream = draw_one(key, indices[sequence])
        words, maskable = _find_words(units, start, stop, specials, starts, sizes)
        if ngram_max > 1:
            words = _join_words(units, starts, sizes, words, ngram_max, stream)
        if spans:
            _move_boundaries(starts, sizes, words, stream)
        budget = _budget(maskable, stop - start, stream, rate, stochastic, max_predictions)
        if stochastic and budget > 0:
            words, budget = _enter_circle(starts, sizes, words, maskable, budget, stream, chosen)
        turn = 0
        while budget > 0 and turn < words:
            other = turn + below_one(draw_one(stream, FIRST_CHOICE + turn), words - turn)
            starts[turn], starts[other] = starts[other], starts[turn]
            sizes[turn], sizes[other] = sizes[other], sizes[turn]
            size = sizes[turn]
            if not stochastic and size > budget:
                size = 0 if spans else _fitting(units, starts[turn], size, budget)
            chosen[starts[turn] : starts[turn] + size] = 1
            budget -= size
            turn += 1
        if stochastic and budget > 0:  # all the way round, back to the word that was entered in its middle
            chosen[starts[words] : starts[words] + sizes[words]] = 1
        start = stop


@kernel
def _enter_circle(
    starts: npt.NDArray[np.int64],
    sizes: npt.NDArray[np.int64],
    words: int,
    maskable: int,
    budget: int,
    stream: np.uint64,
    chosen: npt.NDArray[np.uint8],
) -> tuple[int, int]:
    """Enter the circle of words at a random token; returns how many words lie ahead and the budget left for them.

    The word entered moves behind the others. Entered at its first token it is chosen, else its rest uses up budget.
    """
    place = below_one(draw_one(stream, ENTRY_DRAW), maskable)
    word = 0
    while place >= sizes[word]:
        place -= sizes[word]
        word += 1
    last = words - 1
    starts[word], starts[last] = starts[last], starts[word]
    sizes[word], sizes[last] = sizes[last], sizes[word]
    if place == 0:
        chosen[starts[last] : starts[last] + sizes[last]] = 1
    return last, budget - (sizes[last] - place)


@kernel
def _find_words(
    units: npt.NDArray[np.uint8],
    start: int,
    stop: int,
    specials: bool,
    starts: npt.NDArray[np.int64],
    sizes: npt.NDArray[np.int64],
) -> tuple[int, int]:
    """List the words of one sequence; returns how many they are and how many tokens they have.

    With `specials` a special token is a word too.
    """
    words = maskable = 0
    after_special = True  # no word reaches across a special token
    for position in range(start, stop):
        special = units[position] == SPECIAL
        if special and not specials:
            after_special = True
            continue
        maskable += 1
        if units[position] != CONTINUES or after_special:
            after_special = special
            starts[words] = position
            sizes[words] = 1
            words += 1
        else:
            sizes[words - 1] += 1
    return words, maskable


@kernel
def _join_words(
    units: npt.NDArray[np.uint8],
    starts: npt.NDArray[np.int64],
    sizes: npt.NDArray[np.int64],
    words: int,
    ngram_max: int,
    stream: np.uint64,
) -> int:
    """Join neighbouring words to n-grams, in place; returns how many these are. None reaches across a special token."""
    total = 0.0
    for n in range(1, ngram_max + 1):
        total += 1.0 / n
    grams = word = 0
    while word < words:
        share = total * uniform_one(draw_one(stream, FIRST_GRAM + grams))
        n = 1
        while n < ngram_max and share >= 1.0 / n:
            share -= 1.0 / n
            n += 1
        last = word + n
        start, stop = starts[word], starts[word] + sizes[word]
        word += 1
        if units[start] != SPECIAL:
            while word < min(last, words) and starts[word] == stop and units[stop] != SPECIAL:
                stop += sizes[word]
                word += 1
        starts[grams], sizes[grams] = start, stop - start
        grams += 1
    return grams


@kernel
def _move_boundaries(
    starts: npt.NDArray[np.int64], sizes: npt.NDArray[np.int64], words: int, stream: np.uint64
) -> None:
    """Shuffle the sizes of neighbouring words, in place; none comes to reach across a special token."""
    first = 0
    while first < words:
        last = first + 1
        while last < words and starts[last] == starts[last - 1] + sizes[last - 1]:
            last += 1
        begin = starts[first]
        for turn in range(first, last):
            other = turn + below_one(draw_one(stream, FIRST_GRAM + turn), last - turn)
            sizes[turn], sizes[other] = sizes[other], sizes[turn]
            starts[turn] = begin
            begin += sizes[turn]
        first = last


@kernel
def _fitting(units: npt.NDArray[np.uint8], start: int, size: int, room: int) -> int:
    """Tokens of those first words of an n-gram that fit into `room` tokens; 0 where its first word does not."""
    while size > room:
        size -= 1
        while size > 0 and units[start + size] == CONTINUES:
            size -= 1
    return size
