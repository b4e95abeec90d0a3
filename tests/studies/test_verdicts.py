"""Effects, intervals and verdicts, against data whose truth is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from bertsmith.studies.scores import Score
from bertsmith.studies.verdicts import Effect, Noise, effect_of, holm, noise_of, smallest_effect, verdict_of

DOCUMENTS = 40


def scores_of(
    effects: list[float], seeds: int, noise: float, generator: np.random.Generator, spread: float = 0.0
) -> dict[str, dict[int, Score]]:
    """Arms whose true losses are 5 - effect; each seed shifts all arms alike, documents differ by `spread`."""
    shifts = generator.normal(0, 1, seeds)
    weights = np.full(DOCUMENTS, 10.0)
    found = {}
    for number, effect in enumerate(effects):
        by_seed = {}
        for seed in range(seeds):
            value = 5 - effect + shifts[seed] + generator.normal(0, noise)
            parts = weights * (value + generator.normal(0, spread, DOCUMENTS))
            by_seed[seed] = Score(float(parts.sum() / weights.sum()), parts.tolist(), weights.tolist())
        found[f"arm{number}"] = by_seed
    return found


def test_noise_is_what_arms_and_seeds_leave() -> None:
    """As the residual mean square of a two-way table without repetition."""
    generator = np.random.default_rng(0)
    table = generator.normal(size=(3, 4))
    arms = {str(row): {seed: Score(float(table[row, seed])) for seed in range(4)} for row in range(3)}
    left = table - table.mean(0) - table.mean(1)[:, None] + table.mean()
    noise = noise_of(arms)
    assert noise.freedom == 6
    assert noise.deviation == pytest.approx(math.sqrt((left**2).sum() / 6))
    shifted = {arm: {s: Score(score.value + 10 * s) for s, score in by.items()} for arm, by in arms.items()}
    assert noise_of(shifted).deviation == pytest.approx(noise.deviation)  # what seeds do to all arms is no noise


def test_one_seed_says_nothing() -> None:
    arms = {"a": {0: Score(1.0)}, "b": {0: Score(2.0)}}
    noise = noise_of(arms)
    assert noise.freedom == 0 and math.isnan(noise.deviation)
    effect = effect_of(arms["a"], arms["b"], True, noise)
    assert effect.value == 1.0 and effect.p == 1.0 and verdict_of(effect, 1.0) == "undetermined"
    assert math.isinf(smallest_effect(effect, 1))


def test_the_interval_is_students_without_documents() -> None:
    arms = {"a": {0: Score(1.0), 1: Score(1.2)}, "b": {0: Score(2.0), 1: Score(2.4)}}
    noise = noise_of(arms)
    effect = effect_of(arms["a"], arms["b"], True, noise)
    paired = stats.ttest_rel([2.0, 2.4], [1.0, 1.2])
    low, high = paired.confidence_interval()
    assert effect.value == pytest.approx(1.1) and effect.seeds == 2
    assert effect.interval == pytest.approx((low, high)) and effect.p == pytest.approx(paired.pvalue)


@pytest.mark.parametrize("spread", [0.0, 0.2])
def test_intervals_hold_what_they_promise(spread: float) -> None:
    """Over many studies about 95 % of the intervals hold the truth, and of claims that are untrue 5 % are believed."""
    generator = np.random.default_rng(1)
    held = believed = 0
    for study in range(120):
        arms = scores_of([0.0, 0.05], 3, 0.05, generator, spread)
        noise = noise_of(arms)
        low, high = effect_of(arms["arm1"], arms["arm0"], True, noise, study).interval
        held += low <= 0.05 <= high
        same = scores_of([0.0, 0.0], 3, 0.05, generator, spread)
        effect = effect_of(same["arm1"], same["arm0"], True, noise_of(same), study)
        believed += verdict_of(effect, effect.p) != "undetermined"
    assert held >= 106 and believed <= 14


def test_arms_that_repeat_themselves_do_not_hide_the_noise_of_others() -> None:
    """Two arms of six scatter fifty times as much as the rest: the noise of all would hold the truth in 73 of 100."""
    generator = np.random.default_rng(5)
    held = 0
    for _ in range(300):
        drawn = generator.normal(0, [[0.1], [0.1], [0.002], [0.002], [0.002], [0.002]], (6, 3))
        arms = {f"arm{n}": {s: Score(float(v)) for s, v in enumerate(row)} for n, row in enumerate(drawn)}
        low, high = effect_of(arms["arm0"], arms["arm1"], True, noise_of(arms)).interval
        held += low <= 0 <= high
    assert held / 300 > 0.87


def test_one_arm_that_went_astray_does_not_blind_the_others() -> None:
    """Its noise is twenty times theirs: the interval between two quiet arms is about that of a t test of them alone."""
    generator = np.random.default_rng(6)
    held, reach = 0, []
    for _ in range(300):
        drawn = generator.normal(0, [[0.01], [0.01], [0.01], [0.2]], (4, 3))
        arms = {f"arm{n}": {s: Score(float(v)) for s, v in enumerate(row)} for n, row in enumerate(drawn)}
        low, high = effect_of(arms["arm0"], arms["arm1"], True, noise_of(arms)).interval
        held += low <= 0 <= high
        reach.append((high - low) / 2)
    alone = stats.t.ppf(0.975, 2) * 0.01 * math.sqrt(2 / 3)
    assert 0.92 < held / 300 < 0.98
    assert np.median(reach) < 1.3 * alone


def test_a_real_effect_is_found_and_its_direction_told() -> None:
    generator = np.random.default_rng(2)
    arms = scores_of([0.0, 0.3, 0.6], 3, 0.02, generator, 0.1)
    noise = noise_of(arms)
    effect = effect_of(arms["arm2"], arms["arm0"], True, noise)
    assert effect.value == pytest.approx(0.6, abs=0.1) and effect.interval[0] > 0
    assert verdict_of(effect, effect.p) == "confirmed"
    turned = effect_of(arms["arm0"], arms["arm2"], True, noise)
    assert verdict_of(turned, turned.p) == "refuted" and turned.value == pytest.approx(-effect.value)
    higher = effect_of(arms["arm0"], arms["arm2"], False, noise)
    assert higher.value == pytest.approx(effect.value)


def test_documents_add_their_error() -> None:
    """Models that differ on few documents: another draw of documents could have told otherwise."""
    weights = [1.0] * 100
    few = [10.0] + [0.0] * 99
    a = {seed: Score(0.0, [0.0] * 100, weights) for seed in range(3)}
    b = {seed: Score(0.1, few, weights) for seed in range(3)}
    effect = effect_of(a, b, True, Noise(1e-9, 4))
    assert effect.error == pytest.approx(0.1, rel=0.15)  # sqrt(100 * 0.1 * 0.99) / 100 of a share of 1 %
    assert verdict_of(effect, effect.p) == "undetermined"


def test_a_score_without_parts_brings_its_own_error() -> None:
    a, b = (
        {0: Score(0.8, error=0.03), 1: Score(0.8, error=0.03)},
        {0: Score(0.7, error=0.04), 1: Score(0.7, error=0.04)},
    )
    effect = effect_of(a, b, False, Noise(0.0, 2))
    assert effect.error == pytest.approx(0.05)  # more seeds were asked the same examples


def test_holm() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == [1.0, 1.0] and holm([]) == []


def test_the_smallest_effect_counts_the_claims() -> None:
    effect = Effect(0.0, (0.0, 0.0), 1.0, 0.1, 8, 3, 0.1)
    power = stats.t.ppf(0.8, 8)
    assert smallest_effect(effect, 1) == pytest.approx(0.1 * (stats.t.ppf(0.975, 8) + power))
    assert smallest_effect(effect, 5) == pytest.approx(0.1 * (stats.t.ppf(0.995, 8) + power))


def test_the_smallest_effect_is_seen_in_four_of_five_studies() -> None:
    generator = np.random.default_rng(3)
    deviation = 0.05
    error = math.sqrt(2 * deviation**2 / 3)
    size = smallest_effect(Effect(0.0, (0.0, 0.0), 1.0, error, 3, 3, deviation), 1)
    seen = 0
    for _ in range(150):
        arms = scores_of([0.0, size, 0.0], 3, deviation, generator)
        effect = effect_of(arms["arm1"], arms["arm0"], True, noise_of(arms))
        seen += verdict_of(effect, effect.p) == "confirmed"
    assert 0.66 <= seen / 150 <= 0.94


def test_what_is_counted_has_no_noise() -> None:
    a, b = ({seed: Score(float(count)) for seed in range(3)} for count in (1_000_000, 2_107_321))
    noise = noise_of({"a": a, "b": b})
    effect = effect_of(a, b, True, noise)
    assert noise.deviation == 0 and effect.interval == (1_107_321, 1_107_321) and effect.p == 0
    assert effect_of(a, a, True, noise).p == 1


def test_parts_that_are_not_the_same_are_not_paired() -> None:
    generator = np.random.default_rng(4)
    parts = generator.integers(0, 2, 80).astype(float).tolist()
    a = {0: Score(float(np.mean(parts)), parts, [1.0] * 80)}
    b = {0: Score(float(np.mean(parts[:60])), parts[:60], [1.0] * 60)}
    effect = effect_of(a, b, False, Noise(0.0, 2))
    assert effect.error == pytest.approx(math.sqrt(0.25 / 80 + 0.25 / 60), rel=0.1)
