"""Which tokens are hidden, and what stands in their place: a pure function of (seed, epoch, row in the plan).

Rate means masked / maskable tokens; special tokens are never chosen. Two budgets for one sequence:

    rounded      min(max_predictions, max(1, round(rate x length with special tokens)))     BERT
    stochastic   int(rate x maskable tokens + U[0, 1))                                      RoBERTa, wwm

Two units: single tokens, drawn without replacement; or whole words. Under the rounded budget words are taken as
google-research/bert does: shuffled, one that would pass the budget is skipped, which disfavours long words (at 64
tokens a word of four pieces is masked at 11 %, one of one piece at 18 %). Under the stochastic budget every word has
the same chance whatever its length, and the budget is met on average: the shuffled words are laid on a circle, and
those are masked that start within `budget` tokens of a random place on it.

A chosen token becomes [MASK], a random token or stays, in the given shares, drawn for each token (as published, also
under whole words) or once for each word. Random tokens come from the whole vocabulary without its special tokens
(Google's code includes them; they are five in thirty thousand).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from bertsmith.data.compiled import kernel
from bertsmith.data.config import MaskingConfig
from bertsmith.data.cuts.examples import SPECIAL, STARTS, Examples
from bertsmith.data.randomness import SHIFT_32, below_one, draw_one, key, uniform_one

if TYPE_CHECKING:
    from bertsmith.tokenizers.tokenizer import SpecialIds

# Each sequence has one stream of draws: 0 is the budget's, 1 the circle's, then come the choices, then the positions.
BUDGET_DRAW = 0
ENTRY_DRAW = 1
FIRST_CHOICE = 2
FIRST_TREATMENT = 2**32

LOWER_32 = np.uint64(2**32 - 1)


class Masked(NamedTuple):
    """What the encoder sees and what it must predict.

    token_ids: (tokens,) int64, the examples' ids with the chosen ones replaced. rows: (masked,) int64, positions in the
    flat batch, ascending. labels: (masked,) int64, the ids that stood there.
    """

    token_ids: npt.NDArray[np.int64]
    rows: npt.NDArray[np.int64]
    labels: npt.NDArray[np.int64]


def mask(
    examples: Examples,
    config: MaskingConfig,
    special: SpecialIds,
    vocab_size: int,
    seed: int,
    epoch: int,
    indices: npt.NDArray[np.int64],
) -> Masked:
    """Mask sequences.

    indices: (sequences,) int64, each sequence's row in the plan: its mask does not depend on the order or the batch.
    Masks repeat after `config.copies` epochs (0 = never).
    """
    config.check()
    token_ids = examples.token_ids.copy()
    chosen = np.zeros(token_ids.size, dtype=np.uint8)
    stream = key(seed, "mask", epoch % config.copies if config.copies else epoch)
    indices = np.ascontiguousarray(indices, dtype=np.int64)
    longest = int(examples.lengths.max()) if examples.lengths.size else 0
    choose = _choose_words if config.unit == "word" else _choose_tokens
    choose(
        examples.units,
        examples.lengths,
        indices,
        stream,
        config.rate,
        config.budget == "stochastic",
        config.max_predictions,
        longest,
        chosen,
    )
    rows = np.flatnonzero(chosen)
    labels = token_ids[rows]
    _replace(
        token_ids,
        examples.units,
        examples.lengths,
        indices,
        stream,
        chosen,
        config.treatment == "word",
        config.mask_share,
        config.mask_share + config.random_share,
        special.mask,
        np.array(sorted(set(special)), dtype=np.int64),
        vocab_size,
    )
    return Masked(token_ids, rows, labels)


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
def _choose_tokens(
    units: npt.NDArray[np.uint8],
    lengths: npt.NDArray[np.int64],
    indices: npt.NDArray[np.int64],
    key: np.uint64,
    rate: float,
    stochastic: bool,
    max_predictions: int,
    longest: int,
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
            count += units[position] != SPECIAL
        budget = _budget(count, stop - start, stream, rate, stochastic, max_predictions)
        for turn in range(budget):
            other = turn + below_one(draw_one(stream, FIRST_CHOICE + turn), count - turn)
            positions[turn], positions[other] = positions[other], positions[turn]
            chosen[positions[turn]] = 1
        start = stop


@kernel
def _choose_words(
    units: npt.NDArray[np.uint8],
    lengths: npt.NDArray[np.int64],
    indices: npt.NDArray[np.int64],
    key: np.uint64,
    rate: float,
    stochastic: bool,
    max_predictions: int,
    longest: int,
    chosen: npt.NDArray[np.uint8],
) -> None:
    """Set `chosen` at whole words, in the order of a Fisher-Yates shuffle."""
    starts = np.empty(longest, dtype=np.int64)
    sizes = np.empty(longest, dtype=np.int64)
    start = 0
    for sequence in range(lengths.size):
        stop = start + lengths[sequence]
        stream = draw_one(key, indices[sequence])
        words, maskable = _find_words(units, start, stop, starts, sizes)
        budget = _budget(maskable, stop - start, stream, rate, stochastic, max_predictions)
        if stochastic and budget > 0:
            words, budget = _enter_circle(starts, sizes, words, maskable, budget, stream, chosen)
        turn = 0
        while budget > 0 and turn < words:
            other = turn + below_one(draw_one(stream, FIRST_CHOICE + turn), words - turn)
            starts[turn], starts[other] = starts[other], starts[turn]
            sizes[turn], sizes[other] = sizes[other], sizes[turn]
            if stochastic or sizes[turn] <= budget:
                budget -= sizes[turn]
                chosen[starts[turn] : starts[turn] + sizes[turn]] = 1
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
    starts: npt.NDArray[np.int64],
    sizes: npt.NDArray[np.int64],
) -> tuple[int, int]:
    """List the words of one sequence; returns how many they are and how many tokens they have."""
    words = maskable = 0
    after_special = True  # no word reaches across a special token
    for position in range(start, stop):
        if units[position] == SPECIAL:
            after_special = True
            continue
        maskable += 1
        if units[position] == STARTS or after_special:
            after_special = False
            starts[words] = position
            sizes[words] = 1
            words += 1
        else:
            sizes[words - 1] += 1
    return words, maskable


@kernel
def _replace(
    token_ids: npt.NDArray[np.int64],
    units: npt.NDArray[np.uint8],
    lengths: npt.NDArray[np.int64],
    indices: npt.NDArray[np.int64],
    key: np.uint64,
    chosen: npt.NDArray[np.uint8],
    by_word: bool,
    masked_below: float,
    random_below: float,
    mask_id: int,
    special_ids: npt.NDArray[np.int64],
    vocab_size: int,
) -> None:
    """Treat the chosen tokens. The upper 32 bits of a draw say how, the lower 32 which random token."""
    start = 0
    for sequence in range(lengths.size):
        stop = start + lengths[sequence]
        stream = draw_one(key, indices[sequence])
        word = start
        for position in range(start, stop):
            if units[position] == STARTS:
                word = position
            if not chosen[position]:
                continue
            bits = draw_one(stream, FIRST_TREATMENT + position - start)
            treatment = draw_one(stream, FIRST_TREATMENT + word - start) if by_word else bits
            share = np.float64(treatment >> SHIFT_32) * 2.0**-32
            if share < masked_below:
                token_ids[position] = mask_id
            elif share < random_below:
                token = np.int64(((bits & LOWER_32) * np.uint64(vocab_size - special_ids.size)) >> SHIFT_32)
                for special in special_ids:  # ascending: step over each special id at or below
                    token += token >= special
                token_ids[position] = token
        start = stop
