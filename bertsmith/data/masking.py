"""Which tokens are hidden, and what stands in their place: a pure function of (seed, epoch, row in the plan).

Rate means masked / maskable tokens; special tokens are chosen only where `special_positions` asks for it. Two budgets
for one sequence:

    rounded      min(max_predictions, max(1, round(rate x length with special tokens)))     BERT
    stochastic   int(rate x maskable tokens + U[0, 1))                                      RoBERTa, wwm

Which tokens meet the budget: bertsmith.data.choosing. A chosen token becomes [MASK], a random token or stays, in the
given shares, drawn for each token (as published, also under whole words) or once for each word. Random tokens come from
the whole vocabulary without its special tokens, or with them where `special_replacements` asks for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from bertsmith.compiled import kernel
from bertsmith.data.choosing import choose_rare_tokens, choose_tokens, choose_words
from bertsmith.data.config import MaskingConfig
from bertsmith.data.cuts.examples import CONTINUES, Examples
from bertsmith.randomness import SHIFT_32, draw_one, key

if TYPE_CHECKING:
    from bertsmith.tokenizers.tokenizer import SpecialIds

FIRST_TREATMENT = 2**32  # of a sequence's draws; those before it choose the positions

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
    weights: npt.NDArray[np.float64] | None = None,
) -> Masked:
    """Mask sequences.

    indices: (sequences,) int64, each sequence's row in the plan: its mask does not depend on the order or the batch.
    Masks repeat after `config.copies` epochs (0 = never). weights: (vocabulary,), how often each token is chosen beside
    others (`token_weights`); None = all alike.
    """
    config.check()
    token_ids = examples.token_ids.copy()
    chosen = np.zeros(token_ids.size, dtype=np.uint8)
    stream = key(seed, "mask", epoch % config.copies if config.copies else epoch)
    indices = np.ascontiguousarray(indices, dtype=np.int64)
    longest = int(examples.lengths.max()) if examples.lengths.size else 0
    budget = (config.rate, config.budget == "stochastic", config.max_predictions, longest, config.special_positions)
    if weights is not None:
        of_tokens = weights[examples.token_ids]
        choose_rare_tokens(examples.units, examples.lengths, indices, stream, *budget, of_tokens, chosen)
    elif config.unit == "token":
        choose_tokens(examples.units, examples.lengths, indices, stream, *budget, chosen)
    else:
        most = config.ngram_max if config.unit == "ngram" else 1
        spans = config.unit == "span"
        choose_words(examples.units, examples.lengths, indices, stream, *budget, most, spans, chosen)
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
        np.array([] if config.special_replacements else sorted(set(special)), dtype=np.int64),
        vocab_size,
    )
    return Masked(token_ids, rows, labels)


def token_weights(config: MaskingConfig, counts: npt.NDArray[Any]) -> npt.NDArray[np.float64] | None:
    """What `mask` wants, from how often each token stands in the corpus (vocabulary,); None where all are alike."""
    return np.maximum(counts, 1.0).astype(np.float64) ** -config.rarity if config.rarity else None


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
    left_out: npt.NDArray[np.int64],
    vocab_size: int,
) -> None:
    """Treat the chosen tokens. The upper 32 bits of a draw say how, the lower 32 which random token."""
    start = 0
    for sequence in range(lengths.size):
        stop = start + lengths[sequence]
        stream = draw_one(key, indices[sequence])
        word = start
        for position in range(start, stop):
            if units[position] != CONTINUES:
                word = position
            if not chosen[position]:
                continue
            bits = draw_one(stream, FIRST_TREATMENT + position - start)
            treatment = draw_one(stream, FIRST_TREATMENT + word - start) if by_word else bits
            share = np.float64(treatment >> SHIFT_32) * 2.0**-32
            if share < masked_below:
                token_ids[position] = mask_id
            elif share < random_below:
                token = np.int64(((bits & LOWER_32) * np.uint64(vocab_size - left_out.size)) >> SHIFT_32)
                for other in left_out:  # ascending: step over each id at or below that must not be drawn
                    token += token >= other
                token_ids[position] = token
        start = stop
