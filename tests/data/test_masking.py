"""Masks: how many, which, and what stands in their place."""

import numpy as np
import pytest

from bertsmith.data.config import MaskingConfig
from bertsmith.data.cuts.examples import SPECIAL, Examples
from bertsmith.data.masking import Masked, mask
from bertsmith.errors import UsageError
from bertsmith.tokenizers.tokenizer import SpecialIds
from tests.helpers import SPECIAL as IDS

VOCABULARY = 1000


def examples_of(word_sizes: list[list[int]]) -> Examples:
    """Sequences of words of these numbers of tokens, between [CLS] and [SEP]; every token is 7."""
    units = [np.concatenate([[2], *([1] + [0] * (size - 1) for size in sizes), [2]]) for sizes in word_sizes]
    flat = np.concatenate(units).astype(np.uint8)
    token_ids = np.where(flat == SPECIAL, IDS.cls, 7)
    lengths = np.array([unit.size for unit in units])
    return Examples(token_ids, np.zeros_like(token_ids), flat, lengths, np.full(lengths.size, -1))


def random_examples(sequences: int, tokens: int, seed: int = 0) -> Examples:
    """Sequences of `tokens` tokens with words of one to four."""
    generator = np.random.default_rng(seed)
    found = []
    for _ in range(sequences):
        sizes = generator.choice([1, 2, 3, 4], p=[0.45, 0.35, 0.12, 0.08], size=tokens)
        kept = sizes[np.cumsum(sizes) <= tokens - 2].tolist()
        found.append(kept + [tokens - 2 - sum(kept)] * (sum(kept) < tokens - 2))
    return examples_of(found)


def run(examples: Examples, epoch: int = 0, seed: int = 0, **config) -> Masked:
    return mask(examples, MaskingConfig(**config), IDS, VOCABULARY, seed, epoch, np.arange(examples.lengths.size))


def per_sequence(examples: Examples, masked: Masked) -> np.ndarray:
    ends = np.cumsum(examples.lengths)
    return np.bincount(np.searchsorted(ends, masked.rows, side="right"), minlength=ends.size)


def words(examples: Examples) -> tuple[np.ndarray, np.ndarray]:
    """Start and size of every word."""
    edges = np.append(np.flatnonzero(examples.units != 0), examples.units.size)
    starts = np.flatnonzero(examples.units == 1)
    return starts, edges[np.searchsorted(edges, starts) + 1] - starts


@pytest.mark.parametrize(
    ("maskable", "limit", "wanted"),
    [(126, 20, 19), (510, 20, 20), (510, 80, 77), (510, 0, 77), (1, 20, 1), (2, 20, 1), (8, 20, 2), (28, 20, 4)],
)
def test_the_rounded_budget_is_berts(maskable: int, limit: int, wanted: int):
    """min(limit, max(1, round(0.15 x length))), special tokens counted; 10 and 30 round 1.5 and 4.5 to even."""
    examples = examples_of([[1] * maskable] * 50)
    assert per_sequence(examples, run(examples, max_predictions=limit)).tolist() == [wanted] * 50


def test_the_stochastic_budget_meets_the_rate_in_the_mean():
    examples = examples_of([[1] * 30] * 4000)
    counts = per_sequence(examples, run(examples, budget="stochastic"))
    assert set(counts.tolist()) == {4, 5}
    assert abs(counts.mean() - 4.5) < 0.03


@pytest.mark.parametrize("unit", ["token", "word"])
@pytest.mark.parametrize("budget", ["rounded", "stochastic"])
def test_specials_stay_and_labels_are_what_stood_there(unit: str, budget: str):
    examples = random_examples(300, 64)
    before = examples.token_ids.copy()
    masked = run(examples, unit=unit, budget=budget)
    assert (examples.token_ids == before).all()
    assert (examples.units[masked.rows] != SPECIAL).all()
    assert (np.diff(masked.rows) > 0).all()
    assert (masked.labels == before[masked.rows]).all()
    untouched = np.ones(before.size, bool)
    untouched[masked.rows] = False
    assert (masked.token_ids[untouched] == before[untouched]).all()


def test_shares_of_mask_random_and_keep():
    masked = run(examples_of([[1] * 126] * 3000), rate=0.5, budget="stochastic")
    now = masked.token_ids[masked.rows]
    assert abs((now == IDS.mask).mean() - 0.8) < 0.005
    assert abs((now == 7).mean() - 0.1) < 0.005
    random = now[(now != IDS.mask) & (now != 7)]
    assert random.min() == len(IDS) and random.max() == VOCABULARY - 1  # any token but the special ones
    assert np.bincount(random, minlength=VOCABULARY)[5:].std() < 2 * np.sqrt(random.size / VOCABULARY)


def test_other_shares():
    examples = examples_of([[1] * 100] * 20)
    masked = run(examples, mask_share=1.0, random_share=0.0, keep_share=0.0)
    assert (masked.token_ids[masked.rows] == IDS.mask).all()
    kept = run(examples, mask_share=0.0, random_share=0.0, keep_share=1.0)
    assert (kept.token_ids == examples.token_ids).all() and kept.rows.size
    with pytest.raises(UsageError, match=r"masking.mask_share .* is 0.9; they must sum to 1"):
        run(examples, mask_share=0.7)


def test_special_ids_anywhere_in_the_vocabulary_are_never_drawn():
    spread = SpecialIds(pad=0, unk=100, cls=101, sep=102, mask=103)
    examples = examples_of([[1] * 126] * 500)
    config = MaskingConfig(rate=1.0, budget="stochastic", mask_share=0.0, random_share=1.0, keep_share=0.0)
    drawn = mask(examples, config, spread, 200, 0, 0, np.arange(500)).token_ids[examples.units != SPECIAL]
    counts = np.bincount(drawn, minlength=200)
    assert set(np.flatnonzero(counts == 0).tolist()) == set(spread)
    assert counts.size == 200 and counts[counts > 0].min() > 200


@pytest.mark.parametrize("budget", ["rounded", "stochastic"])
def test_words_are_masked_whole(budget: str):
    examples = random_examples(500, 64)
    masked = run(examples, unit="word", budget=budget)
    chosen = np.zeros(examples.units.size, int)
    chosen[masked.rows] = 1
    for start, size in zip(*words(examples), strict=True):
        assert chosen[start : start + size].sum() in (0, size)


def test_whole_words_never_pass_the_rounded_budget():
    examples = random_examples(500, 64)
    counts = per_sequence(examples, run(examples, unit="word"))
    assert counts.max() == 10 and counts.mean() > 9.9
    # one word longer than the budget: nothing can be masked
    assert per_sequence(examples_of([[20]]), run(examples_of([[20]]), unit="word")).tolist() == [0]


def test_everything_can_be_masked():
    examples = random_examples(50, 32)
    for unit in ("token", "word"):
        assert run(examples, unit=unit, budget="stochastic", rate=1.0).rows.size == (examples.units != SPECIAL).sum()
        assert run(examples, unit=unit, budget="stochastic", rate=0.0).rows.size == 0


def test_single_tokens_are_drawn_evenly():
    counts = np.zeros(42, int)
    examples = examples_of([[1] * 40] * 5000)
    np.add.at(counts, run(examples, budget="stochastic").rows % 42, 1)
    assert counts[0] == counts[41] == 0
    assert counts[1:41].min() > 650 and counts[1:41].max() < 850  # 750 expected


def test_no_word_reaches_across_a_separator():
    units = np.array([2, 1, 0, 2, 0, 0, 2], dtype=np.uint8)  # what follows the separator continues nothing
    examples = Examples(np.full(7, 7), np.zeros(7, np.int64), units, np.array([7]), np.array([-1]))
    seen = set()
    for seed in range(200):
        seen.add(tuple(run(examples, seed=seed, unit="word", rate=0.3).rows.tolist()))
    assert seen == {(1, 2), (4, 5)}


def test_treatment_by_word():
    examples = examples_of([[4] * 30] * 300)
    by_word = run(examples, unit="word", treatment="word")
    treated = (by_word.token_ids[by_word.rows] == IDS.mask).reshape(-1, 4)
    assert (treated.all(1) | ~treated.any(1)).all()
    assert abs(treated.all(1).mean() - 0.8) < 0.03
    by_token = run(examples, unit="word", treatment="token")
    mixed = (by_token.token_ids[by_token.rows] == IDS.mask).reshape(-1, 4)
    assert abs(mixed.all(1).mean() - 0.8**4) < 0.04


def test_masks_repeat_after_their_copies():
    examples = random_examples(20, 64)
    fixed = [run(examples, epoch, copies=2).rows.tolist() for epoch in range(4)]
    assert fixed[0] == fixed[2] != fixed[1] == fixed[3]
    assert run(examples, 0, copies=0).rows.tolist() != run(examples, 2, copies=0).rows.tolist()
    assert run(examples, 0, copies=0).rows.tolist() == fixed[0]  # static and dynamic differ in the copies alone


def test_no_sequences():
    none = np.zeros(0, np.int64)
    assert run(Examples(none, none, np.zeros(0, np.uint8), none, none)).rows.size == 0


def runs_of_ones(flags: np.ndarray) -> np.ndarray:
    """The lengths of neighbouring ones."""
    edges = np.flatnonzero(np.diff(np.concatenate(([0], flags.astype(int), [0]))))
    return edges[1::2] - edges[::2]


def test_spans_are_as_long_as_words_and_begin_anywhere():
    """One span a sequence (12 tokens, a budget of 3 at most): its length is that of a word, its place is not."""
    examples = examples_of([[3, 1, 2, 3, 3]] * 3000)
    masked = run(examples, unit="span", budget="stochastic", rate=0.12)
    flags = np.zeros(examples.units.size, bool)
    flags[masked.rows] = True
    assert (examples.units[masked.rows] != SPECIAL).all()
    starts = [int(np.flatnonzero(row)[0]) for row in flags.reshape(3000, 14) if row.any()]
    assert set(starts) == set(range(1, 13))  # words begin at 1, 4, 5, 7 and 10 alone
    lengths = np.concatenate([runs_of_ones(row) for row in flags.reshape(3000, 14)])
    assert {1, 2, 3} <= set(lengths.tolist())
    assert abs(per_sequence(examples, masked).mean() - 0.12 * 12) < 0.05


def test_spans_keep_to_their_side_of_a_special_token():
    examples = examples_of([[4, 1, 1]])
    inner = np.concatenate([examples.units, examples.units[1:]])  # [CLS] A [SEP] B [SEP]
    pairs = Examples(np.full(15, 7), np.zeros(15, int), inner, np.array([15]), np.array([-1]))
    for seed in range(200):
        masked = run(pairs, unit="span", seed=seed, rate=0.5, max_predictions=0)
        assert 7 not in masked.rows and masked.rows.max() < 14


def test_a_span_is_no_word_to_treat():
    with pytest.raises(UsageError, match="masking.treatment"):
        run(examples_of([[1, 2]]), unit="span", treatment="word")
    with pytest.raises(UsageError, match="masking.special_positions"):
        run(examples_of([[1, 2]]), unit="span", special_positions=True)
