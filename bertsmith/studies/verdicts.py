"""What runs say of claims: effects paired by seed and by document, with intervals, beside what noise alone would give.

A score of arm a with seed s is taken as mean + a's effect + s's effect + noise, the model of a randomised block design:
seeds change the data order for all arms alike, and only what is left is noise. Its deviation is estimated over all arms
at once, so that a few seeds each do; but arms on a plateau repeat themselves to the third digit, and those that are
leaving it do not, so what all arms say counts as one degree of freedom beside those of the two that are compared, and
not at all where it is so much more than theirs that chance would hardly do it: one arm that went astray does not blind
the others. To it comes the error of the text: other documents would have given another difference; a paired bootstrap
over documents says how much. Verdicts hold for all claims together (Holm, 1979).
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
POWER = 0.8

BySeed = Mapping[int, Score]


class Noise(NamedTuple):
    """What is left of a metric besides arm and seed. deviation: of one run; nan where it cannot be told, freedom 0."""

    deviation: float
    freedom: int


class Effect(NamedTuple):
    """By how much the first of two arms is better, in units of the metric: positive is better, whatever its direction.

    interval: 95 %, of this claim alone. p: two-sided, of this claim alone. error: the standard error, with its degrees
    of freedom. seeds: of both. deviation: of one run of the two, as far as noise.
    """

    value: float
    interval: tuple[float, float]
    p: float
    error: float
    freedom: int
    seeds: int
    deviation: float


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
    deviation = math.sqrt(float(left @ left) / freedom)
    rounding = 1e-9 * float(np.abs(values).max())
    return Noise(deviation if deviation > rounding else 0.0, freedom)


def effect_of(better: BySeed, worse: BySeed, lower: bool, noise: Noise, seed: int = 0) -> Effect:
    """The effect between two arms over the seeds they share. lower: whether less of the metric is better."""
    seeds = sorted(set(better) & set(worse))
    sign = -1.0 if lower else 1.0
    value = sign * float(np.mean([better[s].value - worse[s].value for s in seeds]))
    pairs = [(better[s], worse[s]) for s in seeds]
    if not noise.freedom:
        return Effect(value, (-math.inf, math.inf), 1.0, math.inf, 0, len(seeds), math.nan)
    own = _noise_between([a.value - b.value for a, b in pairs], noise)
    error = math.sqrt(2 * own.deviation**2 / len(seeds) + _error_of_text(pairs, seed) ** 2)
    if error == 0:  # counted, not sampled: what is found is so
        return Effect(value, (value, value), float(value == 0), 0.0, own.freedom, len(seeds), 0.0)
    reach = float(stats.t.ppf(1 - LEVEL / 2, own.freedom)) * error
    p = float(2 * stats.t.sf(abs(value) / error, own.freedom))
    return Effect(value, (value - reach, value + reach), p, error, own.freedom, len(seeds), own.deviation)


def _noise_between(differences: Sequence[float], noise: Noise) -> Noise:
    """The noise of the two arms of a claim: their own, and that of all arms as one more pair of runs would show it.

    Their own alone where an F test tells the two apart, that of all being the larger.
    """
    freedom = len(differences) - 1
    if freedom < 1 or noise.freedom <= freedom or noise.deviation == 0:  # nothing of their own, or nothing but that
        return noise
    own, of_all = float(np.var(differences, ddof=1)) / 2, noise.deviation**2
    if own and of_all > own * float(stats.f.ppf(1 - LEVEL, noise.freedom, freedom)):
        return Noise(math.sqrt(own), freedom)
    return Noise(math.sqrt((of_all + freedom * own) / (freedom + 1)), freedom + 1)


def smallest_effect(effect: Effect, claims: int) -> float:
    """The smallest effect that this budget would show in four of five studies with so many claims (Bonferroni)."""
    if not effect.freedom:
        return math.inf
    needed = stats.t.ppf(1 - LEVEL / (2 * max(1, claims)), effect.freedom) + stats.t.ppf(POWER, effect.freedom)
    return float(needed) * effect.error


def _error_of_text(pairs: Sequence[tuple[Score, Score]], seed: int) -> float:
    """The deviation of the mean difference over other texts like this; more seeds do not make it smaller.

    Where both arms were asked the same parts, these are drawn for both at once, else for each alone.
    """
    if any(not score.parts for pair in pairs for score in pair):
        return math.sqrt(sum(score.error**2 for pair in pairs for score in pair) / len(pairs))
    first, second = ([pair[side] for pair in pairs] for side in (0, 1))
    if {len(score.parts) for score in first} == {len(score.parts) for score in second}:
        return float((_redrawn(first, seed) - _redrawn(second, seed)).std())
    return math.hypot(float(_redrawn(first, seed).std()), float(_redrawn(second, seed + 1).std()))


def _redrawn(scores: Sequence[Score], seed: int) -> np.ndarray:
    """The mean value of scores over draws of their parts, (resamples,); the same draws for the same seed."""
    count = len(scores[0].parts)
    drawn = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=RESAMPLES).astype(float)
    values = [drawn @ np.array(one.parts) / np.maximum(drawn @ np.array(one.weights), 1e-9) for one in scores]
    return np.mean(values, axis=0)


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
