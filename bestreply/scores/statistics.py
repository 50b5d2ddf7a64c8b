"""Compare methods over training seeds: difference, interval, test, effect size and
required seeds.

A training seed is the unit of replication. Its score against an opponent set is one
number, the mean over its episodes. Methods are paired by seed. All random numbers
come from the caller's generator.

Only `scipy.special` is imported: importing `scipy.stats` or statsmodels takes longer
than a report over ten runs. `python -m benchmarks statistics` compares each function
with both (table in results/benchmarks); the docstrings give the reasons.
"""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np

ALPHA = 0.05
"""Familywise error rate: probability of any false positive among joint comparisons."""
POWER = 0.8
"""Probability with which `seeds_required` seeds detect the difference."""
EXACT_TEST_MAX_SEEDS = 16
"""Number of seeds up to which the permutation test enumerates all sign flips; above, they are sampled."""
SAMPLED_SIGN_FLIPS = 20_000
BOOTSTRAP_RESAMPLES = 10_000
MAX_SEEDS = 10_000
"""Largest number of seeds that `seeds_required` returns."""

Generator = np.random.Generator


@dataclass(frozen=True)
class Verdict:
    """Method `a` compared with method `b` in one opponent set, or in the mean over all of them."""

    a: str
    b: str
    opponents: str
    seeds: int
    mean_a: float
    mean_b: float
    iqm_a: float
    iqm_b: float
    difference: float
    """`mean_a - mean_b`."""
    low: float
    high: float
    """Ends of the 95 % bootstrap interval of `difference`; NaN for one seed."""
    p: float
    """Two-sided p-value of the permutation test."""
    p_holm: float
    """The p-value adjusted for all joint comparisons."""
    improvement: float
    """Probability of improvement: P(A > B) for two random seeds; ties count half."""
    hedges_g: float | None
    """Hedges' g of the paired differences; None if they do not vary."""
    bound: float
    """Equivalence bound: two one-sided 5 % tests put the absolute difference below it."""
    target_difference: float
    """Difference that `seeds_required` seeds detect: the larger of the observed one and the margin."""
    seeds_required: int | None
    """Total number of seeds that detect `target_difference` with power `POWER`; None above `MAX_SEEDS`."""
    verdict: Literal["better", "worse", "tie", "no_larger", "not_enough"]
    """"tie": the scores of every seed are equal."""


@dataclass(frozen=True)
class PairedScores:
    """Scores of two methods against one opponent set: [S] each, of the same seeds in the
    same order.
    """

    a: str
    b: str
    opponents: str
    x: np.ndarray
    y: np.ndarray


def judge(
    scores: dict[str, dict[str, np.ndarray]],
    rng: Generator,
    *,
    margin: float | None = None,
    overall: str = "all",
) -> list[Verdict]:
    """Compare the first method with each other one, in every opponent set and in the
    mean over them.

    Args:
        scores: by method, by opponent set, [S] one score per training seed, in
            the same order everywhere.
        rng: generator of the bootstrap and of sampled sign flips.
        margin: largest irrelevant difference; by default 5 % of the other
            method's mean.
        overall: name of the row over all opponent sets, added if there are
            several.

    Returns:
        For each other method, a verdict for each opponent set and then one over
        all sets.

    Raises:
        ValueError: fewer than two methods, or scores that cannot be paired.
    """
    if len(scores) < 2:
        raise ValueError(
            f"methods={list(scores)}: expected at least two to compare"
        )
    _check(scores)
    first, *others = scores
    pairs = [
        p
        for other in others
        for p in pairs_of(first, scores[first], other, scores[other], overall)
    ]
    return judge_pairs(pairs, rng, margin=margin)


def pairs_of(
    a: str,
    of_a: Mapping[str, np.ndarray],
    b: str,
    of_b: Mapping[str, np.ndarray],
    overall: str,
) -> list[PairedScores]:
    """Pair two methods in every opponent set and, if there are several, in the mean over
    them.

    Args:
        a: name of the first method.
        of_a: by opponent set, [S] one score per training seed.
        b: name of the second method.
        of_b: as `of_a`, in the same order of seeds.
        overall: name of the row over all opponent sets.

    Returns:
        A pair for each opponent set of `of_a`, then one over all sets.
    """
    pairs = [PairedScores(a, b, name, of_a[name], of_b[name]) for name in of_a]
    if len(pairs) > 1:
        x, y = (
            np.mean([p.x for p in pairs], 0),
            np.mean([p.y for p in pairs], 0),
        )
        pairs.append(PairedScores(a, b, overall, x, y))
    return pairs


def judge_pairs(
    pairs: Sequence[PairedScores],
    rng: Generator,
    *,
    margin: float | None = None,
) -> list[Verdict]:
    """Compare pairs of methods, with p-values adjusted over all of them.

    Pairs with the same number of seeds share their sign flips and bootstrap
    resamples.

    Args:
        pairs: their numbers of seeds may differ.
        rng: generator of the bootstrap and of sampled sign flips.
        margin: as in `judge`.

    Returns:
        A verdict for each pair, in order.
    """
    ps, intervals = np.ones(len(pairs)), np.zeros((len(pairs), 2, 2))
    for seeds in sorted({len(p.x) for p in pairs}):
        signs, counts = sign_flips(seeds, rng), bootstrap_counts(seeds, rng)
        for k, pair in enumerate(pairs):
            if len(pair.x) == seeds:
                differences = pair.x - pair.y
                ps[k] = permutation_test(differences, signs)
                intervals[k] = bootstrap_intervals(
                    differences, counts, (0.95, 1 - 2 * ALPHA)
                )
    adjusted = holm(ps.tolist())
    return [
        _verdict(pair, (float(p), q), ends, margin, ALPHA / len(pairs))
        for pair, p, q, ends in zip(pairs, ps, adjusted, intervals, strict=True)
    ]


def _check(scores: dict[str, dict[str, np.ndarray]]) -> None:
    first = next(iter(scores))
    for method, sets in scores.items():
        if set(sets) != set(scores[first]) or not sets:
            raise ValueError(
                f"{method}={sorted(sets)}: expected the same opponent sets as {first}, which has {sorted(scores[first])}"
            )
        for name, values in sets.items():
            shape, expected = np.shape(values), np.shape(scores[first][name])
            if shape != expected or len(shape) != 1 or not shape[0]:
                raise ValueError(
                    f"{method} against {name}: shape={shape}: expected one score a seed, as many as {first}, which has {expected}"
                )
            if not np.isfinite(values).all():
                raise ValueError(
                    f"{method} against {name}={np.asarray(values).tolist()}: expected finite scores"
                )


def _verdict(
    pair: PairedScores,
    ps: tuple[float, float],
    intervals: np.ndarray,
    margin: float | None,
    strictest_alpha: float,
) -> Verdict:
    """Return the verdict on a pair, from its raw and adjusted p-value and its 95 % and
    90 % intervals, [2, 2].
    """
    differences, seeds = pair.x - pair.y, len(pair.x)
    mean = float(differences.mean())
    deviation = float(differences.std(ddof=1)) if seeds > 1 else float("nan")
    (low, high), equivalence = intervals.tolist()
    bound = max(abs(equivalence[0]), abs(equivalence[1]))
    margin = 0.05 * abs(float(pair.y.mean())) if margin is None else margin
    target = max(abs(mean), margin)
    if not differences.any():
        verdict = "tie"
    elif ps[1] <= ALPHA:
        verdict = "better" if mean > 0 else "worse"
    else:
        verdict = "no_larger" if bound <= margin else "not_enough"
    return Verdict(
        pair.a,
        pair.b,
        pair.opponents,
        seeds=seeds,
        mean_a=float(pair.x.mean()),
        mean_b=float(pair.y.mean()),
        iqm_a=iqm(pair.x),
        iqm_b=iqm(pair.y),
        difference=mean,
        low=low,
        high=high,
        p=ps[0],
        p_holm=ps[1],
        improvement=improvement(pair.x, pair.y),
        hedges_g=hedges_g(differences),
        bound=bound,
        target_difference=target,
        seeds_required=seeds_required(target, deviation, alpha=strictest_alpha),
        verdict=verdict,
    )


# -- descriptive ---------------------------------------------------------------------------------------------------------------


def iqm(values: np.ndarray) -> float:
    """Compute the interquartile mean: a quarter of the values, rounded down, is cut off
    at either end.

    Agarwal et al., 2021, "Deep reinforcement learning at the edge of the statistical
    precipice". Equal to `scipy.stats.trim_mean(values, 0.25)`, whose import takes
    longer than a report.

    Args:
        values: [S] scores.

    Returns:
        The mean of the remaining values.
    """
    cut = len(values) // 4
    return float(np.sort(values)[cut : len(values) - cut].mean())


def improvement(x: np.ndarray, y: np.ndarray) -> float:
    """Compute the probability of improvement, P(X > Y) + P(X = Y) / 2 over all pairs of
    seeds.

    Agarwal et al., 2021; equal to Mann and Whitney's U / (n m).

    Args:
        x: [S] scores.
        y: [T] scores.

    Returns:
        The probability.
    """
    return float((np.sign(x[:, None] - y[None]) / 2 + 0.5).mean())


def hedges_g(differences: np.ndarray) -> float | None:
    """Compute Hedges' g of paired differences: mean / deviation, corrected for small
    samples (1981).

    Args:
        differences: [S] differences.

    Returns:
        None for a single difference, or if they do not vary.
    """
    n = len(differences)
    deviation = differences.std(ddof=1) if n > 1 else 0.0
    if deviation < 1e-12:
        return None
    correction = 1 - 3 / (4 * (n - 1) - 1) if n > 2 else 1.0
    return float(differences.mean() / deviation * correction)


# -- tests and intervals -------------------------------------------------------------------------------------------------------


def sign_flips(seeds: int, rng: Generator) -> np.ndarray:
    """Generate the sign flips of the permutation test; the first one changes no sign.

    Args:
        seeds: S. Up to `EXACT_TEST_MAX_SEEDS`, all 2^(S-1) flips of which none is
            the negative of another.
        rng: generator of sampled flips.

    Returns:
        [S, F] of 1 and -1.
    """
    if seeds <= EXACT_TEST_MAX_SEEDS:
        return 1.0 - 2 * (
            (np.arange(2 ** (seeds - 1)) >> np.arange(seeds)[:, None]) & 1
        )
    sampled = (
        rng.integers(0, 2, (SAMPLED_SIGN_FLIPS, seeds), dtype=np.int8).T * 2.0
        - 1
    )
    return np.hstack([np.ones((seeds, 1)), sampled])


def permutation_test(differences: np.ndarray, signs: np.ndarray) -> float:
    """Compute p of the two-sided sign-flip test that paired differences are symmetric
    about 0.

    The smallest p of S seeds is 2 / 2^S, so five seeds cannot show a difference at 5
    %. `scipy.stats.permutation_test` gives the same p, but with 16 seeds takes twice
    as long as a whole report over 1,000 runs.

    Args:
        differences: [S] differences.
        signs: [S, F] flips, of `sign_flips`.

    Returns:
        The share of flips with at least as large a sum.
    """
    sums = np.abs(_weighted_sums(differences, signs))
    rounding = 1e-9 * np.abs(differences).sum()
    return float((sums >= sums[0] - rounding).mean())


def bootstrap_counts(seeds: int, rng: Generator) -> np.ndarray:
    """Resample seeds with replacement.

    Args:
        seeds: S.
        rng: generator of the resampling.

    Returns:
        [S, B] count of each seed in each of `BOOTSTRAP_RESAMPLES` resamples.
    """
    drawn = (
        rng.integers(0, seeds, (BOOTSTRAP_RESAMPLES, seeds))
        + seeds * np.arange(BOOTSTRAP_RESAMPLES)[:, None]
    )
    counts = np.bincount(drawn.ravel(), minlength=seeds * BOOTSTRAP_RESAMPLES)
    return np.ascontiguousarray(
        counts.reshape(BOOTSTRAP_RESAMPLES, seeds).T, float
    )


def bootstrap_intervals(
    differences: np.ndarray,
    counts: np.ndarray,
    levels: Sequence[float] = (0.95,),
) -> np.ndarray:
    """Compute intervals of the mean of paired differences by the studentised bootstrap
    over seeds.

    Efron and Tibshirani, 1993, section 12.5: each resample is measured in its own
    standard errors. An interval is never narrower than Student's t. In a row over
    several opponent sets, a resample takes whole seeds, with equal weight of every
    set. `scipy.stats.bootstrap` has no studentised method, and its 95 % intervals of
    five seeds miss in 15 to 23 % of cases.

    Args:
        differences: [S] differences.
        counts: [S, B] resamples, of `bootstrap_counts`.
        levels: L confidence levels.

    Returns:
        [L, 2] lower and upper end; NaN for a single seed.
    """
    n, mean = len(differences), differences.mean()
    if n < 2:
        return np.full((len(levels), 2), np.nan)
    error = differences.std(ddof=1) / n**0.5
    if error < 1e-12:
        return np.full((len(levels), 2), mean)
    centred = differences - mean
    means, squares = (
        _weighted_sums(centred, counts) / n,
        _weighted_sums(centred**2, counts) / n,
    )
    errors = np.sqrt(np.maximum(squares - means**2, 0) / (n - 1))
    varied = errors > 1e-3 * error  # a resample of a single seed has no error
    upper_tail = (1 + np.array(levels)) / 2
    upper, lower = np.quantile(
        means[varied] / errors[varied], [upper_tail, 1 - upper_tail]
    )
    students = np.array([student_t(n - 1, tail) for tail in upper_tail])
    return mean - error * np.stack(
        [np.maximum(upper, students), np.minimum(lower, -students)], 1
    )


def _weighted_sums(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Compute ``values @ weights`` of [S] and [S, W] in one thread.

    BLAS threads would wait for each other longer than they compute.
    """
    return np.einsum("s,sw->w", values, weights)


def holm(ps: Sequence[float]) -> list[float]:
    """Adjust p-values for multiple comparisons by Holm's step-down method (1979).

    Importing `multipletests` of statsmodels takes longer than a report.

    Args:
        ps: p-values.

    Returns:
        Adjusted p-values in the same order, at most 1.
    """
    order, adjusted = np.argsort(ps, kind="stable"), np.ones(len(ps))
    multiplied = np.arange(len(ps), 0, -1) * np.asarray(ps, float)[order]
    adjusted[order] = np.minimum(np.maximum.accumulate(multiplied), 1)
    return adjusted.tolist()


# -- power ---------------------------------------------------------------------------------------------------------------------


def power(seeds: int, effect: float, alpha: float = ALPHA) -> float:
    """Compute the probability that a paired two-sided t-test detects an effect in its
    true direction.

    `TTestPower` of statsmodels adds the wrong direction, and returns NaN for some
    inputs.

    Args:
        seeds: number of paired differences.
        effect: mean / deviation of the differences, at least 0.
        alpha: two-sided level of the test.

    Returns:
        The probability.
    """
    from scipy.special import nctdtr

    if seeds < 2:
        return 0.0
    missed = nctdtr(
        seeds - 1, effect * seeds**0.5, student_t(seeds - 1, 1 - alpha / 2)
    )
    return 1 - float(np.nan_to_num(missed))  # NaN if too small for SciPy


def seeds_required(
    difference: float,
    deviation: float,
    *,
    alpha: float = ALPHA,
    target_power: float = POWER,
) -> int | None:
    """Compute the total number of seeds that detect a difference.

    `solve_power` of statsmodels returns too few at levels adjusted for many
    comparisons, without a warning.

    Args:
        difference: difference of means, at least 0.
        deviation: sample standard deviation of the paired differences.
        alpha: two-sided level of the test.
        target_power: probability of detection.

    Returns:
        At least the number with which the permutation test can reach `alpha`;
        None above `MAX_SEEDS`.
    """
    fewest = int(np.ceil(np.log2(2 / alpha)))
    if difference <= 0 or np.isnan(deviation):
        return None
    if deviation < 1e-12:
        return fewest
    sizes = range(fewest, MAX_SEEDS + 1)
    index = bisect_left(
        sizes,
        True,
        key=lambda n: power(n, difference / deviation, alpha) >= target_power,
    )
    return sizes[index] if index < len(sizes) else None


@lru_cache(4096)
def student_t(degrees_of_freedom: int, probability: float) -> float:
    """Compute a quantile of Student's t distribution.

    Args:
        degrees_of_freedom: degrees of freedom.
        probability: lower tail of the quantile.

    Returns:
        The quantile.
    """
    from scipy.special import stdtrit

    return float(stdtrit(degrees_of_freedom, probability))
