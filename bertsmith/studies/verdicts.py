"""What runs say of claims: effects paired by seed and by document, with intervals, beside what noise alone would give.

A score of arm a with seed s is taken as mean + a's effect + s's effect + noise, the model of a randomised block design:
seeds change the data order for all arms alike, and only what is left is noise. Its deviation is estimated over all arms
at once, so that a few seeds each do. To it comes the error of the text: other documents would have given another
difference; a paired bootstrap over documents says how much. Verdicts hold for all claims together (Holm, 1979).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np
from scipy import stats

from bertsmith.studies.scores import Score

Verdict = Literal["confirmed", "refuted", "undetermined"]
LEVEL = 0.05
RESAMPLES = 2000

BySeed = Mapping[int, Score]


class Noise(NamedTuple):
    """What is left of a metric besides arm and seed. deviation: of one run; nan where it cannot be told, freedom 0."""

    deviation: float
    freedom: int


class Effect(NamedTuple):
    """By how much the first of two arms is better, in units of the metric: positive is better, whatever its direction.

    interval: 95 %, of this claim alone. p: two-sided, of this claim alone. smallest: the smallest effect that would be
    found among so many claims. seeds: of both arms.
    """

    value: float
    interval: tuple[float, float]
    p: float
    error: float
    seeds: int


def noise_of(arms: Mapping[str, BySeed]) -> Noise:
    """The noise of a metric over all arms and seeds."""
    cells = [(arm, seed, score.value) for arm, scores in arms.items() for seed, score in scores.items()]
    names, seeds = list(arms), sorted({seed for _, seed, _ in cells})
    design = np.zeros((len(cells), len(names) + len(seeds)))
    values = np.array([value for _, _, value in cells])
    for row, (arm, seed, _) in enumerate(cells):
        design[row, names.index(arm)] = design[row, len(names) + seeds.index(seed)] = 1
    if not len(cells):
        return Noise(math.nan, 0)
    fitted, _, rank, _ = np.linalg.lstsq(design, values, rcond=None)
    freedom = len(cells) - int(rank)
    if freedom < 1:
        return Noise(math.nan, 0)
    left = values - design @ fitted
    return Noise(math.sqrt(float(left @ left) / freedom), freedom)


def effect_of(better: BySeed, worse: BySeed, lower: bool, noise: Noise, seed: int = 0) -> Effect:
    """The effect between two arms over the seeds they share. lower: whether less of the metric is better."""
    seeds = sorted(set(better) & set(worse))
    sign = -1.0 if lower else 1.0
    value = sign * float(np.mean([better[s].value - worse[s].value for s in seeds]))
    pairs = [(better[s], worse[s]) for s in seeds]
    error = math.sqrt(2 * noise.deviation**2 / len(seeds) + _error_of_text(pairs, seed) ** 2)
    if not noise.freedom or not error > 0:
        return Effect(value, (-math.inf, math.inf), 1.0, math.inf, len(seeds))
    reach = float(stats.t.ppf(1 - LEVEL / 2, noise.freedom)) * error
    p = float(2 * stats.t.sf(abs(value) / error, noise.freedom))
    return Effect(value, (value - reach, value + reach), p, error, len(seeds))


def smallest_effect(effect: Effect, noise: Noise, claims: int) -> float:
    """The smallest effect that this budget can show with certainty among so many claims (Bonferroni)."""
    if not noise.freedom:
        return math.inf
    return float(stats.t.ppf(1 - LEVEL / (2 * max(1, claims)), noise.freedom)) * effect.error


def _error_of_text(pairs: Sequence[tuple[Score, Score]], seed: int) -> float:
    """The deviation of the mean difference over other documents like these; both arms read the same ones."""
    if any(not score.parts for pair in pairs for score in pair):
        return math.sqrt(sum(score.error**2 for pair in pairs for score in pair)) / len(pairs)
    count = len(pairs[0][0].parts)
    generator = np.random.default_rng(seed)
    drawn = generator.multinomial(count, np.full(count, 1 / count), size=RESAMPLES).astype(float)
    found = np.zeros(RESAMPLES)
    for pair in pairs:
        first, second = (_resampled(score, drawn) for score in pair)
        found += (first - second) / len(pairs)
    return float(found.std())


def _resampled(score: Score, drawn: np.ndarray) -> np.ndarray:
    return drawn @ np.array(score.parts) / np.maximum(drawn @ np.array(score.weights), 1e-9)


def holm(values: Sequence[float]) -> list[float]:
    """Each p value adjusted for all of them (Holm, 1979)."""
    adjusted = [1.0] * len(values)
    largest = 0.0
    for rank, place in enumerate(sorted(range(len(values)), key=lambda i: values[i])):
        largest = max(largest, min(1.0, (len(values) - rank) * values[place]))
        adjusted[place] = largest
    return adjusted


def verdict_of(effect: Effect, adjusted: float) -> Verdict:
    """Whether the first arm is better, worse, or nothing can be said."""
    if adjusted >= LEVEL:
        return "undetermined"
    return "confirmed" if effect.value > 0 else "refuted"
