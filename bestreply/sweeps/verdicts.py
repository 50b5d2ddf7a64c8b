"""Is one method better than another, by how much, how sure, and how many seeds would it take to know?

Seeds are the unit of replication: what a training seed had against an opponent set is one number, however many episodes it is the mean
of. Methods are paired by seed. Nothing here draws from a generator that it was not given.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

ALPHA, POWER = 0.05, 0.8
"""False alarms that are accepted over all comparisons together; and chance to find a difference that is there."""
MOST_EXACT = 16
"""Seeds up to which every sign flip is counted; beyond, `FLIPS` of them are drawn."""
FLIPS = 20_000
DRAWS = 10_000
"""Bootstrap draws."""
MOST_AT_ONCE = 400_000
"""Numbers that are worked on at a time, of many comparisons: so few that they stay near the processor."""
MOST_SEEDS = 10_000
"""Beyond so many no number of seeds is named."""

Generator = np.random.Generator


@dataclass(frozen=True)
class Verdict:
    """Method A against method B in one opponent set, or the mean over all of them."""

    a: str
    b: str
    opponents: str
    seeds: int
    mean_a: float
    mean_b: float
    iqm_a: float
    iqm_b: float
    difference: float
    low: float
    high: float
    """95 % bootstrap interval of the difference."""
    p: float
    """Permutation test, two-sided."""
    p_holm: float
    """The same, adjusted for all comparisons made together."""
    improvement: float
    """P(A > B) for two seeds drawn at random."""
    effect: float | None
    """Hedges' g of the paired differences; None where they do not vary."""
    bound: float
    """The difference is smaller than this, with 95 % confidence on either side (two one-sided tests)."""
    sought: float
    """The difference that `needed` is about: the one seen, or the margin where that is larger."""
    needed: int | None
    """Seeds in all to find it with `POWER`; None: beyond `MOST_SEEDS`."""
    verdict: str
    """"better", "worse", "no_larger" or "not_enough"."""


def judge(
    scores: dict[str, dict[str, np.ndarray]],
    rng: Generator,
    *,
    margin: float | None = None,
    overall: str = "all",
) -> list[Verdict]:
    """The first method against each other one, in every opponent set and, where there are several, over all of them.

    Args:
        scores: for each method, for each opponent set, [S] one number a training seed, in the same order everywhere.
        margin: a difference that would not matter; by default 5 % of the other method's mean.
        overall: name of the row over all sets, which is about each seed's mean over them.

    Raises ValueError for fewer than two methods, or scores that cannot be paired.
    """
    if len(scores) < 2:
        raise ValueError(f"{len(scores)} methods; wanted: at least two to compare")
    _check(scores)
    first, *others = scores
    return judge_pairs(
        [p for other in others for p in pairs_of(first, scores[first], other, scores[other], overall)],
        rng,
        margin=margin,
    )


@dataclass(frozen=True)
class Pair:
    """What two methods had against one opponent set: [S] numbers each, of the same training seeds in the same order."""

    a: str
    b: str
    opponents: str
    x: np.ndarray
    y: np.ndarray


def pairs_of(
    a: str, of_a: Mapping[str, np.ndarray], b: str, of_b: Mapping[str, np.ndarray], overall: str
) -> list[Pair]:
    """Two methods in every opponent set of `of_a` and, where there are several, over all of them."""
    pairs = [Pair(a, b, name, of_a[name], of_b[name]) for name in of_a]
    if len(pairs) > 1:
        pairs.append(Pair(a, b, overall, np.mean([p.x for p in pairs], 0), np.mean([p.y for p in pairs], 0)))
    return pairs


def judge_pairs(pairs: Sequence[Pair], rng: Generator, *, margin: float | None = None) -> list[Verdict]:
    """Verdicts on comparisons that are made together: p-values are adjusted over all of them. Their numbers of seeds may differ.

    Comparisons of equally many seeds share their flips and bootstrap draws, which leaves each as it would be alone and takes a
    hundredth of the time.
    """
    ps, intervals = np.ones(len(pairs)), np.zeros((len(pairs), 2, 2))
    for n in sorted({len(p.x) for p in pairs}):
        rows = [k for k, p in enumerate(pairs) if len(p.x) == n]
        apart = np.array([pairs[k].x - pairs[k].y for k in rows])
        ps[rows] = permutation_tests(apart, rng)
        intervals[rows] = bootstrap_intervals(apart, rng, (0.95, 1 - 2 * ALPHA))
    adjusted = holm(ps.tolist())
    return [
        _verdict(pair, (float(p), q), within, margin, len(pairs))
        for pair, p, q, within in zip(pairs, ps, adjusted, intervals, strict=True)
    ]


def _check(scores: dict[str, dict[str, np.ndarray]]) -> None:
    first = next(iter(scores))
    for method, sets in scores.items():
        if set(sets) != set(scores[first]) or not sets:
            raise ValueError(
                f"{method} has scores against {sorted(sets)}, {first} against {sorted(scores[first])}; wanted: the same opponent sets"
            )
        for name, values in sets.items():
            here, there = np.shape(values), np.shape(scores[first][name])
            if here != there or len(here) != 1 or not here[0]:
                raise ValueError(
                    f"against {name}, {method} has scores of shape {here} and {first} of {there}; wanted: one number a seed, as many "
                    "for both"
                )
            if not np.isfinite(values).all():
                raise ValueError(
                    f"the scores of {method} against {name} are not all finite: {np.asarray(values).tolist()}"
                )


def _verdict(
    pair: Pair, ps: tuple[float, float], intervals: np.ndarray, margin: float | None, comparisons: int
) -> Verdict:
    x, y = pair.x, pair.y
    apart, n = x - y, len(x)
    difference, spread = float(apart.mean()), float(apart.std(ddof=1)) if n > 1 else float("nan")
    (low, high), narrow = intervals.tolist()
    bound = max(abs(narrow[0]), abs(narrow[1]))
    margin = 0.05 * abs(float(y.mean())) if margin is None else margin
    sought = max(abs(difference), margin)
    if ps[1] <= ALPHA:
        verdict = "better" if difference > 0 else "worse"
    else:
        verdict = "no_larger" if bound <= margin else "not_enough"
    return Verdict(
        pair.a,
        pair.b,
        pair.opponents,
        seeds=n,
        mean_a=float(x.mean()),
        mean_b=float(y.mean()),
        iqm_a=iqm(x),
        iqm_b=iqm(y),
        difference=difference,
        low=low,
        high=high,
        p=ps[0],
        p_holm=ps[1],
        improvement=improvement(x, y),
        effect=hedges_g(apart),
        bound=bound,
        sought=sought,
        needed=seeds_needed(sought, spread, alpha=ALPHA / comparisons),
        verdict=verdict,
    )


# -- what it is made of --------------------------------------------------------------------------------------------------------


def iqm(values: np.ndarray) -> float:
    """Interquartile mean: the mean of what is left once the quarter of the values at either end is cut off, rounded down.

    Agarwal et al., 2021, "Deep reinforcement learning at the edge of the statistical precipice".
    """
    cut = len(values) // 4
    return float(np.sort(values)[cut : len(values) - cut].mean())


def improvement(x: np.ndarray, y: np.ndarray) -> float:
    """P(X > Y) + P(X = Y) / 2 over all pairs of seeds (ibid.; Mann and Whitney's U / (n m))."""
    return float((np.sign(x[:, None] - y[None]) / 2 + 0.5).mean())


def hedges_g(differences: np.ndarray) -> float | None:
    """Mean over deviation of paired differences, corrected for few of them (Hedges, 1981)."""
    n = len(differences)
    spread = differences.std(ddof=1) if n > 1 else 0.0
    if spread < 1e-12:
        return None
    return (
        float(differences.mean() / spread * (1 - 3 / (4 * (n - 1) - 1)))
        if n > 2
        else float(differences.mean() / spread)
    )


def permutation_test(differences: np.ndarray, rng: Generator) -> float:
    """p of the two-sided sign-flip test that paired differences are as likely to fall either way.

    Exact for up to `MOST_EXACT` seeds; the least p of n seeds is 2 / 2^n, so that five can never show a difference at 5 %.
    """
    return float(permutation_tests(differences[None], rng)[0])


def permutation_tests(differences: np.ndarray, rng: Generator) -> np.ndarray:
    """[K] p-values of `permutation_test` for [K, S] differences; where flips are drawn, the same ones for all."""
    n = differences.shape[1]
    if n <= MOST_EXACT:  # half of the flips: the other half has the same sums with the other sign
        signs = 1.0 - 2 * ((np.arange(2 ** (n - 1))[:, None] >> np.arange(n)) & 1)
    else:
        signs = rng.integers(0, 2, (FLIPS, n), dtype=np.int8) * 2.0 - 1
    seen = np.abs(differences.sum(1))
    least = seen - 1e-9 * np.maximum(seen, 1)
    parts = np.array_split(differences, -(-len(signs) * len(differences) // MOST_AT_ONCE))
    counts = [
        (np.abs(_products(part, signs)) >= at_least[:, None]).sum(1)
        for part, at_least in zip(parts, np.array_split(least, len(parts)), strict=True)
    ]
    count = np.concatenate(counts)
    return count / len(signs) if n <= MOST_EXACT else (1 + count) / (1 + FLIPS)


def _products(rows: np.ndarray, by: np.ndarray) -> np.ndarray:
    """``rows @ by.T``, of few seeds. Not by BLAS: on a busy machine its threads wait for one another longer than they work."""
    return np.einsum("ks,sd->kd", rows, np.ascontiguousarray(by.T))


def bootstrap_interval(
    differences: np.ndarray, rng: Generator, *, level: float = 0.95
) -> tuple[float, float]:
    """Interval of the mean of [S] paired differences by the studentised bootstrap over seeds (Efron and Tibshirani, 1993, 12.5).

    Percentiles of few values are too narrow; here each draw is measured in its own standard errors, and never narrower than Student's t.
    A row over several opponent sets is stratified: each draw takes whole seeds, and with them every set alike.
    """
    low, high = bootstrap_intervals(differences[None], rng, (level,))[0, 0]
    return float(low), float(high)


def bootstrap_intervals(differences: np.ndarray, rng: Generator, levels: Sequence[float]) -> np.ndarray:
    """[K, L, 2] intervals of `bootstrap_interval` for [K, S] differences at L levels, all from the same draws of seeds."""
    count, n = differences.shape
    found = np.full((count, len(levels), 2), np.nan)
    if n < 2:
        return found
    drawn = rng.integers(0, n, (DRAWS, n)) + n * np.arange(DRAWS)[:, None]
    times = np.bincount(drawn.ravel(), minlength=DRAWS * n).reshape(DRAWS, n).astype(float)
    for rows in np.array_split(np.arange(count), -(-DRAWS * count // MOST_AT_ONCE)):
        found[rows] = _intervals(differences[rows], times, levels)
    return found


def _intervals(differences: np.ndarray, times: np.ndarray, levels: Sequence[float]) -> np.ndarray:
    """The same, where `times` [D, S] says how often each draw has each seed."""
    n, mean = differences.shape[1], differences.mean(1)
    apart = differences - mean[:, None]
    error = differences.std(1, ddof=1) / n**0.5
    means = _products(apart, times) / n  # [K, D], of the draws
    squares = _products(apart**2, times)
    found = np.repeat(mean[:, None, None], len(levels), 1) + np.zeros(2)
    ends = np.array([[(1 + level) / 2 for level in levels], [(1 - level) / 2 for level in levels]])
    least = np.array([student_t(n - 1, (1 + level) / 2) for level in levels])
    for k in np.flatnonzero(error >= 1e-12):
        errors = np.sqrt(np.maximum((squares[k] - n * means[k] ** 2) / (n - 1), 0) / n)
        whole = errors > 1e-3 * error[k]  # a draw of one seed over and over has no error
        t = means[k] / errors if whole.all() else means[k, whole] / errors[whole]
        highest, lowest = _quantiles(t, ends)
        found[k, :, 0] -= np.maximum(highest, least) * error[k]
        found[k, :, 1] -= np.minimum(lowest, -least) * error[k]
    return found


def _quantiles(values: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """As `np.quantile`, which takes several times as long."""
    at = shares * (len(values) - 1)
    low = np.floor(at).astype(int)
    high = np.minimum(low + 1, len(values) - 1)
    ordered = np.partition(values, np.unique([low, high]))
    below, above = ordered[low], ordered[high]
    return below + (above - below) * (at - low)


def holm(ps: Sequence[float]) -> list[float]:
    """p-values adjusted for being many: each times the number of those that are not less, in order, at most 1 (Holm, 1979)."""
    order, adjusted, most = np.argsort(ps, kind="stable"), [0.0] * len(ps), 0.0
    for rank, index in enumerate(order):
        most = max(most, min((len(ps) - rank) * ps[index], 1.0))
        adjusted[index] = most
    return adjusted


def power(seeds: int, effect: float, alpha: float = ALPHA) -> float:
    """Chance that a paired two-sided t-test of `seeds` seeds finds a difference of `effect` deviations (noncentral t).

    Averaged over quantiles of the sample's deviation: SciPy's `nct` is NaN in places.
    """
    from scipy.special import ndtr

    if seeds < 2:
        return 0.0
    at, away = student_t(seeds - 1, 1 - alpha / 2), effect * seeds**0.5
    deviation = _deviations(seeds)
    found = ndtr(away - at * deviation).mean()
    if (
        ndtr(-away - at * deviation[0]) > 1e-12
    ):  # else the other side's share, which takes long to work out, is nothing
        found += ndtr(-away - at * deviation).mean()
    return float(found)


@lru_cache(4096)
def _deviations(seeds: int) -> np.ndarray:
    """[1000] quantiles, least first, of the deviation of a sample of `seeds` standard normal numbers."""
    from scipy.special import gammaincinv

    quantiles = (np.arange(1000) + 0.5) / 1000
    return np.sqrt(2 * gammaincinv((seeds - 1) / 2, quantiles) / (seeds - 1))


def seeds_needed(
    difference: float, deviation: float, *, alpha: float = ALPHA, wanted: float = POWER
) -> int | None:
    """Seeds in all that find `difference` at level `alpha` with power `wanted`; None beyond `MOST_SEEDS`.

    At least as many as let the permutation test come under `alpha` at all. `deviation` is that of the paired differences.
    """
    least = int(np.ceil(np.log2(2 / alpha)))
    if deviation != deviation or difference <= 0:
        return None
    if deviation < 1e-12:
        return least
    effect = difference / deviation
    guess = _guess(effect, alpha, wanted)
    if guess > MOST_SEEDS / 2 and power(MOST_SEEDS, effect, alpha) < wanted:
        return None
    low, high = _about(int(max(least, min(guess, MOST_SEEDS))), least, effect, alpha, wanted)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if power(middle, effect, alpha) >= wanted else (middle, high)
    return high


def _guess(effect: float, alpha: float, wanted: float) -> float:
    """About how many seeds it takes: where the normal distribution would have it, then twice nearer by Student's t."""
    from scipy.special import ndtri

    enough = ndtri(wanted)
    guess = ((ndtri(1 - alpha / 2) + enough) / effect) ** 2 + 2
    for _ in range(2):
        freedom = int(min(max(guess, 2), MOST_SEEDS)) - 1
        guess = ((student_t(freedom, 1 - alpha / 2) + enough) / effect) ** 2 + 1
    return float(guess)


def _about(guess: int, least: int, effect: float, alpha: float, wanted: float) -> tuple[int, int]:
    """Numbers of seeds between which the one sought is, from near `guess`."""
    step = 1
    if power(guess, effect, alpha) >= wanted:
        low, high = guess - step, guess
        while low >= least and power(low, effect, alpha) >= wanted:
            low, high, step = low - 2 * step, low, 2 * step
        return max(low, least - 1), high  # power(least - 1) may be enough: `least` is the least
    low, high = guess, guess + step
    while high < MOST_SEEDS and power(high, effect, alpha) < wanted:
        low, high, step = high, high + 2 * step, 2 * step
    return low, min(high, MOST_SEEDS)


@lru_cache(4096)
def student_t(freedom: int, level: float) -> float:
    """Quantile of Student's t."""
    from scipy.special import stdtrit

    return float(stdtrit(freedom, level))
