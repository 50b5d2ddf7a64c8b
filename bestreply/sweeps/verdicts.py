"""Is one method better than another, by how much, how sure, and how many seeds would it take to know?

Seeds are the unit of replication: what a training seed had against an opponent set is one number, however many episodes it is the mean
of. Methods are paired by seed. Nothing here draws from a generator that it was not given.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

ALPHA, POWER = 0.05, 0.8
"""False alarms that are accepted over all comparisons together; and chance to find a difference that is there."""
MOST_EXACT = 16
"""Seeds up to which every sign flip is counted; beyond, `FLIPS` of them are drawn."""
FLIPS = 20_000
DRAWS = 10_000
"""Bootstrap draws."""
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
    methods = {name: dict(sets) for name, sets in scores.items()}
    for sets in methods.values():
        if len(sets) > 1:
            sets[overall] = np.mean(list(sets.values()), 0)
    first, *others = methods
    rows = [(other, name) for other, name in product(others, methods[first])]
    ps = [permutation_test(methods[first][name] - methods[other][name], rng) for other, name in rows]
    return [
        _verdict(
            (first, other, name), methods[first][name], methods[other][name], (p, q), rng, margin, len(rows)
        )
        for (other, name), p, q in zip(rows, ps, holm(ps), strict=True)
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
    names: tuple[str, str, str],
    x: np.ndarray,
    y: np.ndarray,
    ps: tuple[float, float],
    rng: Generator,
    margin: float | None,
    comparisons: int,
) -> Verdict:
    apart, n = x - y, len(x)
    difference, spread = float(apart.mean()), float(apart.std(ddof=1)) if n > 1 else float("nan")
    low, high = bootstrap_interval(apart, rng)
    narrow = bootstrap_interval(apart, rng, level=1 - 2 * ALPHA)
    bound = max(abs(narrow[0]), abs(narrow[1]))
    margin = 0.05 * abs(float(y.mean())) if margin is None else margin
    sought = max(abs(difference), margin)
    if ps[1] <= ALPHA:
        verdict = "better" if difference > 0 else "worse"
    else:
        verdict = "no_larger" if bound <= margin else "not_enough"
    return Verdict(
        *names,
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
    n, seen = len(differences), abs(differences.sum())
    if n <= MOST_EXACT:
        signs = 1 - 2 * ((np.arange(2**n)[:, None] >> np.arange(n)) & 1)
        as_far = np.abs(signs @ differences) >= seen - 1e-9 * max(seen, 1)
        return float(as_far.mean())
    signs = rng.integers(0, 2, (FLIPS, n), dtype=np.int8) * 2 - 1
    as_far = np.abs(signs @ differences) >= seen - 1e-9 * max(seen, 1)
    return float((1 + as_far.sum()) / (1 + FLIPS))


def bootstrap_interval(
    differences: np.ndarray, rng: Generator, *, level: float = 0.95
) -> tuple[float, float]:
    """Interval of the mean of [S] paired differences by the studentised bootstrap over seeds (Efron and Tibshirani, 1993, 12.5).

    Percentiles of few values are too narrow; here each draw is measured in its own standard errors, and never narrower than Student's t.
    A row over several opponent sets is stratified: each draw takes whole seeds, and with them every set alike.
    """
    n, mean = len(differences), float(differences.mean())
    if n < 2:
        return float("nan"), float("nan")
    error = differences.std(ddof=1) / n**0.5
    if error < 1e-12:
        return mean, mean
    drawn = differences[rng.integers(0, n, (DRAWS, n))]
    errors = drawn.std(1, ddof=1) / n**0.5
    whole = errors > 1e-3 * error  # a draw of one seed over and over has no error
    t = (drawn.mean(1)[whole] - mean) / errors[whole]
    low, high = np.quantile(t, [(1 + level) / 2, (1 - level) / 2])
    least = student_t(n - 1, (1 + level) / 2)
    return mean - max(low, least) * error, mean - min(high, -least) * error


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
    from scipy.special import gammaincinv, ndtr

    if seeds < 2:
        return 0.0
    at, away = student_t(seeds - 1, 1 - alpha / 2), effect * seeds**0.5
    quantiles = (np.arange(1000) + 0.5) / 1000
    deviation = np.sqrt(2 * gammaincinv((seeds - 1) / 2, quantiles) / (seeds - 1))
    return float((ndtr(away - at * deviation) + ndtr(-away - at * deviation)).mean())


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
    if power(MOST_SEEDS, effect, alpha) < wanted:
        return None
    low, high = least - 1, MOST_SEEDS  # power(low) may be enough: the least number of seeds is `least`
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if power(middle, effect, alpha) >= wanted else (middle, high)
    return high


def student_t(freedom: int, level: float) -> float:
    """Quantile of Student's t."""
    from scipy.special import stdtrit

    return float(stdtrit(freedom, level))
