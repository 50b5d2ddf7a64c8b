"""Verdicts: calibrated on synthetic scores, and beside SciPy."""

import itertools

import numpy as np
import pytest
from scipy import stats

from bestreply.sweeps.verdicts import (
    ALPHA,
    DRAWS,
    Pair,
    _quantiles,
    bootstrap_interval,
    bootstrap_intervals,
    hedges_g,
    holm,
    improvement,
    iqm,
    judge,
    judge_pairs,
    permutation_test,
    permutation_tests,
    power,
    seeds_needed,
)


def rng(seed=0):
    return np.random.default_rng(seed)


# -- the parts, beside SciPy and by hand ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [4, 5, 7, 10, 23])
def test_parts_beside_scipy(n):
    x, y = rng(n).normal(1, 2, n), rng(n + 50).normal(0, 1, n)
    assert iqm(x) == pytest.approx(stats.trim_mean(x, 0.25))
    assert improvement(x, y) == pytest.approx(stats.mannwhitneyu(x, y).statistic / n**2)
    exact = stats.permutation_test(
        (x - y,), np.mean, permutation_type="samples", n_resamples=2**16, rng=rng()
    )
    assert permutation_test(x - y, rng()) == pytest.approx(exact.pvalue, abs=0.02 if n > 16 else 1e-9)
    told = stats.ttest_rel(x, y)
    assert hedges_g(x - y) == pytest.approx(told.statistic / n**0.5 * (1 - 3 / (4 * n - 5)))


def test_permutations_by_hand():
    """Of the eight sign flips of (1, 2, 3) two are as far out: all plus and all minus; of (1, 1, -1) every one is."""
    assert permutation_test(np.array([1.0, 2.0, 3.0]), rng()) == 2 / 8
    assert permutation_test(np.array([1.0, 1.0, -1.0]), rng()) == 1
    assert permutation_test(np.zeros(4), rng()) == 1
    assert permutation_test(np.full(20, 0.1), rng()) == pytest.approx(1 / 20_001)


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1, 1] and holm([]) == []


def test_improvement_by_hand():
    assert improvement(np.array([1.0, 3.0]), np.array([2.0, 3.0])) == (0 + 0 + 1 + 0.5) / 4


def test_power_beside_simulation():
    for n, effect in ((8, 1.0), (20, 0.5)):
        drawn = rng(n).normal(effect, 1, (20_000, n))
        found = (np.asarray(stats.ttest_1samp(drawn, 0, axis=1)[1]) <= ALPHA).mean()
        assert power(n, effect) == pytest.approx(found, abs=0.01)
    assert power(5, 0.0) == pytest.approx(ALPHA, abs=1e-3) and power(9, 1.1) == pytest.approx(
        _noncentral(9, 1.1), abs=1e-3
    )


def _noncentral(n, effect):
    at = stats.t.ppf(1 - ALPHA / 2, n - 1)
    return stats.nct.sf(at, n - 1, effect * n**0.5) + stats.nct.cdf(-at, n - 1, effect * n**0.5)


def test_seeds_needed_have_the_power_and_one_less_has_not():
    for effect in (0.1, 0.5, 1.0):
        n = seeds_needed(effect, 1.0) or 0
        assert power(n, effect) >= 0.8 > power(n - 1, effect)
    assert (
        seeds_needed(100.0, 1.0) == seeds_needed(1.0, 0.0) == 6
    )  # the permutation test's least: 2 / 2^6 < .05 < 2 / 2^5
    assert seeds_needed(1e-9, 1.0) is None and seeds_needed(1.0, float("nan")) is None


# -- calibration ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("draw", ["normal", "skewed", "heavy"])
@pytest.mark.parametrize("n", [6, 10])
def test_false_alarms_are_no_more_than_said(n, draw):
    """No difference, three opponent sets and their mean: any alarm at all in at most 5 % of the sweeps, whatever the scores look like."""
    source = rng(n)
    each = {
        "normal": lambda: source.normal(0, 1, n),
        "skewed": lambda: source.exponential(1, n),
        "heavy": lambda: source.standard_t(3, n),
    }[draw]
    sweeps, alarms = 1000, 0
    for _ in range(sweeps):
        apart = [each() - each() for _ in range(3)]
        apart.append(np.mean(apart, 0))
        alarms += min(holm([permutation_test(d, source) for d in apart])) <= ALPHA
    assert alarms / sweeps <= ALPHA + 3 * (ALPHA * (1 - ALPHA) / sweeps) ** 0.5


def test_a_verdict_is_by_the_adjusted_p():
    source = rng(0)
    scores = {m: {o: source.normal(shift, 1, 8) for o in "pqr"} for m, shift in (("a", 0.9), ("b", 0.0))}
    found = judge(scores, source, margin=0.01)
    ps = [permutation_test(np.subtract(*pair), source) for pair in _pairs(scores)]
    np.testing.assert_allclose([v.p_holm for v in found], holm(ps))
    assert [v.verdict in ("better", "worse") for v in found] == [q <= ALPHA for q in holm(ps)]
    assert 0 < sum(q <= ALPHA for q in holm(ps)) < 4  # some are, some are not


def _pairs(scores):
    pairs = list(zip(scores["a"].values(), scores["b"].values(), strict=True))
    return [*pairs, tuple(np.mean(list(scores[m].values()), 0) for m in "ab")]


def test_a_lone_comparison_is_as_sharp_as_said():
    """One opponent set: exactly the 5 % that 8 seeds allow (12 of 256 flips), and the power that is named where there is a difference."""
    source = rng(1)
    for shift, wanted in ((0.0, 12 / 256), (1.2, None)):
        found = [permutation_test(source.normal(shift, 1, 8), source) <= ALPHA for _ in range(4000)]
        wanted = power(8, shift, 12 / 256) if wanted is None else wanted
        assert np.mean(found) == pytest.approx(wanted, abs=0.03)


@pytest.mark.parametrize("n", [5, 10, 30])
@pytest.mark.parametrize("draw", ["normal", "skewed"])
def test_intervals_hold_the_truth(n, draw):
    source = rng(n)
    held = 0
    for _ in range(400):
        x = source.normal(1, 1, n) if draw == "normal" else source.exponential(1, n)
        low, high = bootstrap_interval(x, source)
        held += low <= 1 <= high
    assert held / 400 >= 0.95 - 3 * (0.95 * 0.05 / 400) ** 0.5


def test_equal_is_said_only_of_what_is_nearly_equal():
    """A difference as large as the margin is called smaller in at most 5 % of the cases."""
    source = rng(3)
    called = 0
    for _ in range(400):
        y = source.normal(0, 1, 12)
        scores = {"a": {"p": y + source.normal(0.5, 1, 12)}, "b": {"p": y}}
        called += judge(scores, source, margin=0.5)[0].verdict == "no_larger"
    assert called / 400 <= ALPHA + 3 * (ALPHA * (1 - ALPHA) / 400) ** 0.5


# -- verdicts ------------------------------------------------------------------------------------------------------------------


def test_the_four_verdicts():
    base = np.linspace(5, 6, 10)
    noise = np.array([1, -1, 2, -2, 1, -1, 0.5, -0.5, 1.5, -1.5]) * 0.01

    def verdict(shift, size=1.0, **settings):
        return judge({"a": {"p": base + shift + size * noise}, "b": {"p": base}}, rng(), **settings)[0]

    better, worse, equal, unknown = verdict(1), verdict(-1), verdict(0.001), verdict(0.3, size=100)
    assert [v.verdict for v in (better, worse, equal, unknown)] == [
        "better",
        "worse",
        "no_larger",
        "not_enough",
    ]
    assert better.low < 1 < better.high and better.improvement > 0.9 and better.effect and better.effect > 10
    assert equal.bound < 0.05 * base.mean() and verdict(0.001, margin=0.0001).verdict == "not_enough"
    assert unknown.needed and unknown.needed > 10 and unknown.sought == pytest.approx(0.3)
    # found again with so many seeds
    spread = (100 * noise).std(ddof=1)
    assert unknown.needed and power(unknown.needed, unknown.sought / spread) >= 0.8


def test_five_seeds_can_show_nothing_and_it_says_how_many_can():
    [v] = judge({"a": {"p": np.arange(5.0) + 10}, "b": {"p": np.arange(5.0)}}, rng())
    assert v.p == 2 / 32 and v.verdict == "not_enough" and v.needed == 6


def test_many_comparisons_ask_for_more():
    x, y = rng(1).normal(1, 1, 8), rng(2).normal(0, 1, 8)
    alone = judge({"a": {"p": x}, "b": {"p": y}}, rng())
    many = judge(
        {"a": dict.fromkeys("pqrs", x), "b": dict.fromkeys("pqrs", y), "c": dict.fromkeys("pqrs", y)}, rng()
    )
    assert len(alone) == 1 and len(many) == 2 * 5  # four sets and their mean, against two
    assert [v.opponents for v in many[:5]] == [*"pqrs", "all"] and {v.b for v in many} == {"b", "c"}
    assert many[0].p == alone[0].p and many[0].p_holm == pytest.approx(min(10 * many[0].p, 1))
    assert (many[0].needed or 0) > (alone[0].needed or 0) > 5


def test_same_input_same_output():
    scores = {m: {o: rng(k).normal(0, 1, 20) for o in "pq"} for k, m in enumerate("abc")}
    assert judge(scores, rng(7)) == judge(scores, rng(7))


def test_pairing_matters():
    """Seeds that differ much but alike: unpaired nothing would show."""
    seeds = rng(0).normal(0, 10, 10)
    [v] = judge({"a": {"p": seeds + 1 + 0.1 * rng(1).normal(size=10)}, "b": {"p": seeds}}, rng())
    assert v.verdict == "better" and float(np.asarray(stats.ttest_ind(seeds + 1, seeds))[1]) > 0.5


@pytest.mark.parametrize(
    "scores, told",
    [
        ({"a": {"p": np.ones(3)}}, "1 methods; wanted: at least two"),
        ({"a": {"p": np.ones(3)}, "b": {"q": np.ones(3)}}, "wanted: the same opponent sets"),
        ({"a": {"p": np.ones(3)}, "b": {"p": np.ones(4)}}, "wanted: one number a seed, as many for both"),
        ({"a": {"p": np.ones(2)}, "b": {"p": np.array([1, np.nan])}}, "not all finite"),
    ],
)
def test_what_cannot_be_compared_is_refused(scores, told):
    with pytest.raises(ValueError, match=told):
        judge(scores, rng())


@pytest.mark.parametrize("count", [2, 3, 1000])
def test_quantiles_are_those_of_numpy(count):
    values, shares = np.random.default_rng(count).normal(size=count), np.array([[0.0, 0.025], [0.95, 1.0]])
    np.testing.assert_allclose(_quantiles(values, shares), np.quantile(values, shares), rtol=1e-12)


def test_flips_are_all_counted():
    d = rng(5).normal(size=9)
    flips = [
        abs(sum(s * x for s, x in zip(signs, d, strict=True)))
        for signs in itertools.product((1, -1), repeat=9)
    ]
    assert permutation_test(d, rng()) == np.mean(np.array(flips) >= abs(d.sum()) - 1e-9)


def test_many_comparisons_are_judged_as_each_would_be_alone():
    """The vectorised tests and intervals beside loops over one draw at a time."""
    source = rng(5)
    for n in (2, 3, 7, 20):
        apart = source.normal(0.4, 1, (4, n))
        flips = list(itertools.product((1, -1), repeat=n)) if n < 10 else None
        if flips is not None:
            slow = [np.mean([abs(np.dot(f, d)) >= abs(d.sum()) - 1e-9 for f in flips]) for d in apart]
            assert permutation_tests(apart, rng()).tolist() == pytest.approx(slow)
        drawn = rng(9).integers(0, n, (DRAWS, n))
        for d, (wide, narrow) in zip(apart, bootstrap_intervals(apart, rng(9), (0.95, 0.9)), strict=True):
            assert wide == pytest.approx(_slow_interval(d, drawn, 0.95))
            assert narrow == pytest.approx(_slow_interval(d, drawn, 0.9))


def _slow_interval(d, drawn, level):
    n, mean, error = len(d), d.mean(), d.std(ddof=1) / len(d) ** 0.5
    again = [d[row] for row in drawn if len(set(row.tolist())) > 1]
    t = [(x.mean() - mean) / (x.std(ddof=1) / n**0.5) for x in again]
    least = stats.t.ppf((1 + level) / 2, n - 1)
    high, low = np.quantile(t, [(1 + level) / 2, (1 - level) / 2])
    return mean - max(high, least) * error, mean - min(low, -least) * error


def test_pairs_of_different_numbers_of_seeds_are_adjusted_together():
    long, short = rng(1).normal(1, 0.1, 12), rng(2).normal(1, 0.1, 6)
    found = judge_pairs(
        [Pair("a", "b", "p", long, 0 * long), Pair("a", "c", "p", short, 0 * short)], rng(), margin=0.1
    )
    assert [v.seeds for v in found] == [12, 6] and [v.b for v in found] == ["b", "c"]
    assert [v.p for v in found] == [2 / 2**12, 2 / 2**6]
    assert [v.p_holm for v in found] == [4 / 2**12, 2 / 2**6]
