"""N-grams of whole words, special tokens as choices, and the statistics of masks on made-up text."""

from __future__ import annotations

import numpy as np
import pytest

from bertsmith.data.config import MaskingConfig
from bertsmith.data.cuts.examples import CONTINUES, SPECIAL, STARTS, Examples
from bertsmith.data.masking import Masked, mask, token_weights
from bertsmith.errors import UsageError
from tests.data.test_masking import examples_of, per_sequence, random_examples, run, words
from tests.helpers import SPECIAL as IDS


def hidden(examples: Examples, masked: Masked) -> np.ndarray:
    found = np.zeros(examples.units.size, dtype=bool)
    found[masked.rows] = True
    return found


def runs(examples: Examples, masked: Masked) -> list[int]:
    """Words in each run of hidden words; a special token ends one."""
    chosen = hidden(examples, masked)
    starts = np.flatnonzero(examples.units != CONTINUES)
    padded = np.concatenate([[0], chosen[starts].astype(int), [0]])
    edges = np.flatnonzero(np.diff(padded))
    return (edges[1::2] - edges[::2]).tolist()


@pytest.mark.parametrize("ngram_max", [1, 2, 3, 5])
def test_the_chance_of_n_words_is_proportional_to_its_inverse(ngram_max: int):
    """6/11, 3/11 and 2/11 by default; seen at a rate so low that n-grams hardly ever touch."""
    examples = random_examples(2000, 512, seed=3)
    masked = run(examples, unit="ngram", budget="stochastic", rate=0.01, ngram_max=ngram_max)
    counts = np.bincount(runs(examples, masked), minlength=8)
    wanted = 1 / np.arange(1, ngram_max + 1)
    shares = counts[1 : ngram_max + 1] / counts.sum()
    assert abs(shares - wanted / wanted.sum()).max() < 0.025
    if ngram_max == 1:
        as_words = run(examples, unit="word", budget="stochastic", rate=0.01)
        assert masked.rows.tolist() == as_words.rows.tolist()


@pytest.mark.parametrize("budget", ["rounded", "stochastic"])
def test_ngrams_are_whole_words_within_their_segment(budget: str):
    units = np.array([SPECIAL, STARTS, SPECIAL, STARTS, CONTINUES, SPECIAL, STARTS, STARTS, SPECIAL], np.uint8)
    examples = Examples(np.full(9, 7), np.zeros(9, np.int64), units, np.array([9]), np.array([-1]))
    seen = set()
    for seed in range(400):
        masked = run(examples, seed=seed, unit="ngram", budget=budget, rate=0.2)
        seen.add(tuple(masked.rows.tolist()))
    one = {(1,), (3, 4), (6,), (7,), (6, 7)}  # never 1 with 3, nor 4 with 6
    two = {(1, 6), (1, 7), (1, 3, 4), (3, 4, 6), (3, 4, 7)}  # n-grams that the budget let in together
    assert {(6, 7), (3, 4)} <= seen <= one | two | {()}


def test_a_long_ngram_gives_up_words_until_it_fits():
    """Budget 4 with words of three tokens: never two words, and nearly always one."""
    examples = examples_of([[3] * 8] * 400)
    counts = per_sequence(examples, run(examples, unit="ngram"))
    assert set(counts.tolist()) == {3}
    single = examples_of([[1] * 24] * 400)
    assert set(per_sequence(single, run(single, unit="ngram")).tolist()) == {4}  # shortened, the budget is always met


def test_ngrams_are_a_function_of_seed_epoch_and_row():
    examples = random_examples(20, 64)
    config = {"unit": "ngram", "budget": "stochastic", "copies": 0}
    first = run(examples, **config)
    assert first.rows.tolist() == run(examples, **config).rows.tolist()
    assert first.rows.tolist() != run(examples, epoch=1, **config).rows.tolist()
    assert first.rows.tolist() != run(examples, seed=1, **config).rows.tolist()


@pytest.mark.parametrize("unit", ["token", "word", "ngram"])
@pytest.mark.parametrize("tokens", [64, 128, 512])
def test_statistics_of_the_stochastic_budget(unit: str, tokens: int):
    """Rate 15 ± 0.3 %, shares ± 0.5 points, every word length within 1 point, no word in part."""
    examples = random_examples(1_000_000 // tokens, tokens, seed=1)
    masked = run(examples, unit=unit, budget="stochastic")
    chosen = hidden(examples, masked)
    assert abs(chosen.sum() / (examples.units != SPECIAL).sum() - 0.15) < 0.003
    now = masked.token_ids[masked.rows]
    shares = [(now == IDS.mask).mean(), ((now != IDS.mask) & (now != 7)).mean(), (now == 7).mean()]
    assert abs(np.array(shares) - [0.8, 0.1, 0.1]).max() < 0.005
    starts, sizes = words(examples)
    ends = np.concatenate([[0], np.cumsum(chosen)])
    inside = ends[starts + sizes] - ends[starts]
    for size in (1, 2, 3, 4):
        assert abs(inside[sizes == size].mean() / size - 0.15) < 0.01, size
    if unit != "token":
        assert ((inside == 0) | (inside == sizes)).all()


@pytest.mark.parametrize("unit", ["token", "word", "ngram"])
def test_special_tokens_are_chosen_only_where_asked_for(unit: str):
    """fairseq draws its positions over the whole item: int(0.15 x 20 + U) of 20 tokens, ends included."""
    examples = examples_of([[2] * 9] * 3000)
    chosen = hidden(examples, run(examples, unit=unit, budget="stochastic", special_positions=True))
    if unit == "token":
        assert (
            abs(per_sequence(examples, run(examples, unit=unit, budget="stochastic", special_positions=True)) - 3).max()
            == 0
        )
    by_place = chosen.reshape(-1, 20).mean(0)
    assert abs(by_place - 0.15).max() < 0.03  # the first and last places are the special tokens
    assert not hidden(examples, run(examples, unit=unit, budget="stochastic"))[examples.units == SPECIAL].any()


def test_special_tokens_are_drawn_only_where_asked_for():
    """Google's random tokens come from the whole vocabulary."""
    examples = examples_of([[1] * 126] * 200)
    config = {"rate": 1.0, "budget": "stochastic", "mask_share": 0.0, "random_share": 1.0, "keep_share": 0.0}

    def drawn(**changes: bool) -> np.ndarray:
        masked = mask(examples, MaskingConfig(**config, **changes), IDS, 10, 0, 0, np.arange(200))  # type: ignore[arg-type]
        return np.bincount(masked.token_ids[examples.units != SPECIAL], minlength=10)

    assert drawn(special_replacements=True).min() > 2000
    assert drawn()[: len(IDS)].tolist() == [0] * len(IDS) and drawn()[len(IDS) :].min() > 4000


# --- rare tokens ---


def rarely(examples: Examples, weights: np.ndarray, seed: int = 0, **fields: object) -> Masked:
    count = examples.lengths.size
    config = MaskingConfig(rarity=0.7, **fields)  # pyright: ignore[reportArgumentType]
    return mask(examples, config, IDS, 100, seed, 0, np.arange(count), weights)


def test_rare_tokens_are_chosen_in_proportion_to_their_weights():
    """At one choice for each sequence the chances are the weights themselves."""
    examples = examples_of([[1] * 4] * 20_000)
    token_ids = np.tile(np.array([IDS.cls, 50, 51, 52, 53, IDS.sep]), 20_000)[: examples.token_ids.size]
    examples = examples._replace(token_ids=token_ids)
    weights = token_weights(MaskingConfig(rarity=0.7), np.arange(100) ** 3.0)
    assert weights is not None
    masked = rarely(examples, weights, rate=0.01)
    shares = np.bincount(masked.labels, minlength=54)[50:54] / len(masked.labels)
    wanted = weights[50:54] / weights[50:54].sum()
    assert len(masked.labels) == 20_000 and abs(shares - wanted).max() < 0.012
    assert wanted[0] > 1.03 * wanted[3]


def test_rarity_keeps_the_budget_and_special_tokens_out():
    examples = random_examples(300, 64, seed=1)
    weights = token_weights(MaskingConfig(rarity=0.7), np.ones(100))
    assert weights is not None
    plain, rare = run(examples), rarely(examples, weights)
    assert per_sequence(examples, plain).tolist() == per_sequence(examples, rare).tolist()
    assert not (examples.units[rare.rows] == SPECIAL).any()
    again = rarely(examples, weights)
    assert again.rows.tolist() == rare.rows.tolist() != rarely(examples, weights, seed=1).rows.tolist()


def test_rarity_is_for_tokens_and_changes_nothing_at_zero():
    assert token_weights(MaskingConfig(), np.ones(100)) is None
    with pytest.raises(UsageError, match="masking.rarity"):
        MaskingConfig(rarity=0.7, unit="word").check()
