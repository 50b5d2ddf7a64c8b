"""Verdicts: calibrated on synthetic scores, and equal to SciPy, statsmodels and plain
loops.
"""

import itertools

import numpy as np
import pytest
from scipy import stats

from bestreply.scores import statistics
from bestreply.scores.statistics import (
    ALPHA,
    SAMPLED_SIGN_FLIPS,
    PairedScores,
    bootstrap_counts,
    bootstrap_intervals,
    hedges_g,
    holm,
    improvement,
    iqm,
    judge,
    judge_pairs,
    permutation_test,
    power,
    seeds_required,
    sign_flips,
)


def rng(seed=0):
    return np.random.default_rng(seed)


def p_value(differences, source=None):
    return permutation_test(
        differences, sign_flips(len(differences), source or rng())
    )


# -- the parts, beside SciPy, statsmodels and by hand --------------------------------------------------------------------------


@pytest.mark.parametrize("n", [4, 5, 7, 10, 23])
def test_parts_equal_scipy(n):
    x, y = rng(n).normal(1, 2, n), rng(n + 50).normal(0, 1, n)
    assert iqm(x) == pytest.approx(stats.trim_mean(x, 0.25))
    assert improvement(x, y) == pytest.approx(
        stats.mannwhitneyu(x, y).statistic / n**2
    )
    exact = stats.permutation_test(
        (x - y,),
        np.mean,
        permutation_type="samples",
        n_resamples=2**16,
        rng=rng(),
    )
    assert p_value(x - y) == pytest.approx(
        exact.pvalue, abs=0.02 if n > 16 else 1e-9
    )
    t = stats.ttest_rel(x, y).statistic
    assert hedges_g(x - y) == pytest.approx(t / n**0.5 * (1 - 3 / (4 * n - 5)))


def test_parts_equal_statsmodels():
    from statsmodels.stats.multitest import multipletests
    from statsmodels.stats.power import TTestPower

    ps = rng(3).beta(0.3, 1, 200)
    np.testing.assert_allclose(
        holm(ps.tolist()), multipletests(ps, method="holm")[1], rtol=1e-12
    )
    for effect, alpha in itertools.product(
        (0.2, 0.6, 1.5), (ALPHA, ALPHA / 15)
    ):
        n = seeds_required(effect, 1.0, alpha=alpha)
        exact = TTestPower().solve_power(
            effect_size=effect, alpha=alpha, power=0.8
        )
        assert n == max(np.ceil(exact), np.ceil(np.log2(2 / alpha)))
        assert power(n, effect, alpha) == pytest.approx(
            TTestPower().power(effect, n, alpha), abs=1e-6
        )


def test_permutations_by_hand():
    """Two of the eight sign flips of (1, 2, 3) are as extreme; all flips of (1, 1, -1)
    are.
    """
    assert p_value(np.array([1.0, 2.0, 3.0])) == 2 / 8
    assert p_value(np.array([1.0, 1.0, -1.0])) == 1
    assert (
        p_value(np.array([0.1, 0.2, -0.3])) == 1
    )  # up to rounding the sum is 0
    assert p_value(np.zeros(4)) == 1
    assert p_value(np.full(20, 0.1)) == pytest.approx(
        1 / (SAMPLED_SIGN_FLIPS + 1)
    )


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx(
        [0.03, 0.06, 0.06, 0.02]
    )
    assert holm([0.9, 0.8]) == [1, 1] and holm([]) == []


def test_improvement_by_hand():
    assert (
        improvement(np.array([1.0, 3.0]), np.array([2.0, 3.0]))
        == (0 + 0 + 1 + 0.5) / 4
    )


def test_power_equals_simulation():
    for n, effect in ((8, 1.0), (20, 0.5)):
        t, p = map(
            np.asarray,
            stats.ttest_1samp(rng(n).normal(effect, 1, (20_000, n)), 0, axis=1),
        )
        assert power(n, effect) == pytest.approx(
            np.mean((p <= ALPHA) & (t > 0)), abs=0.01
        )
    assert power(5, 0.0) == pytest.approx(ALPHA / 2) and power(1, 3.0) == 0


@pytest.mark.parametrize("effect", [0.5, 1.0, 5.0])
def test_power_is_1_where_scipy_gives_nan(effect):
    """Of the noncentral t distribution SciPy gives NaN where the probability of a miss is below 1e-300."""
    powers = [power(n, effect) for n in range(30, 7000, 7)]
    assert (
        np.isfinite(powers).all()
        and (np.diff(powers) > -1e-12).all()
        and powers[-1] == 1
    )


def test_required_seeds_have_the_power_and_one_less_has_not():
    for effect in (0.1, 0.5, 1.0):
        n = seeds_required(effect, 1.0) or 0
        assert power(n, effect) >= 0.8 > power(n - 1, effect)
    # the smallest p of the permutation test: 2 / 2^6 < .05 < 2 / 2^5
    assert seeds_required(100.0, 1.0) == seeds_required(1.0, 0.0) == 6
    assert (
        seeds_required(1e-9, 1.0) is None
        and seeds_required(1.0, float("nan")) is None
    )
    assert seeds_required(0.0, 1.0) is None


# -- calibration ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("draw", ["normal", "skewed", "heavy"])
@pytest.mark.parametrize("n", [6, 10])
def test_familywise_error_rate(n, draw):
    """No difference, three opponent sets and their mean: any false positive in at most 5 % of sweeps, for each shape of scores."""
    source = rng(n)
    each = {
        "normal": lambda: source.normal(0, 1, n),
        "skewed": lambda: source.exponential(1, n),
        "heavy": lambda: source.standard_t(3, n),
    }[draw]
    sweeps, positives, signs = 1000, 0, sign_flips(n, source)
    for _ in range(sweeps):
        differences = [each() - each() for _ in range(3)]
        differences.append(np.mean(differences, 0))
        positives += (
            min(holm([permutation_test(d, signs) for d in differences]))
            <= ALPHA
        )
    assert (
        positives / sweeps <= ALPHA + 3 * (ALPHA * (1 - ALPHA) / sweeps) ** 0.5
    )


def test_a_verdict_is_by_the_adjusted_p():
    source = rng(0)
    scores = {
        m: {o: source.normal(shift, 1, 8) for o in "pqr"}
        for m, shift in (("a", 0.9), ("b", 0.0))
    }
    found = judge(scores, source, margin=0.01)
    ps = [p_value(np.subtract(*pair)) for pair in _pairs(scores)]
    np.testing.assert_allclose([v.p_holm for v in found], holm(ps))
    assert [v.verdict in ("better", "worse") for v in found] == [
        q <= ALPHA for q in holm(ps)
    ]
    assert 0 < sum(q <= ALPHA for q in holm(ps)) < 4  # some are, some are not


def _pairs(scores):
    pairs = list(zip(scores["a"].values(), scores["b"].values(), strict=True))
    return [*pairs, tuple(np.mean(list(scores[m].values()), 0) for m in "ab")]


def test_one_comparison_has_the_level_and_the_power():
    """One opponent set: the level that 8 seeds allow (12 of 256 flips), and the power of
    the t-test.
    """
    source, signs = rng(1), sign_flips(8, rng())
    for shift, expected in ((0.0, 12 / 256), (1.2, power(8, 1.2, 12 / 256))):
        positives = [
            permutation_test(source.normal(shift, 1, 8), signs) <= ALPHA
            for _ in range(4000)
        ]
        assert np.mean(positives) == pytest.approx(expected, abs=0.03)


@pytest.mark.parametrize("n", [5, 10, 30])
@pytest.mark.parametrize("draw", ["normal", "skewed"])
def test_coverage_of_intervals(n, draw):
    source = rng(n)
    counts, covered = bootstrap_counts(n, source), 0
    for _ in range(400):
        x = (
            source.normal(1, 1, n)
            if draw == "normal"
            else source.exponential(1, n)
        )
        [[low, high]] = bootstrap_intervals(x, counts)
        covered += low <= 1 <= high
    assert covered / 400 >= 0.95 - 3 * (0.95 * 0.05 / 400) ** 0.5


@pytest.fixture
def few_samples(monkeypatch):
    """Reduce the numbers of resamples and of sampled flips."""
    monkeypatch.setattr(statistics, "BOOTSTRAP_RESAMPLES", 1000)
    monkeypatch.setattr(statistics, "SAMPLED_SIGN_FLIPS", 2000)


def test_error_rate_of_no_larger(few_samples):
    """ "no_larger" for a difference equal to the margin in at most 5 % of cases."""
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
        return judge(
            {"a": {"p": base + shift + size * noise}, "b": {"p": base}},
            rng(),
            **settings,
        )[0]

    better, worse, equal, unknown = (
        verdict(1),
        verdict(-1),
        verdict(0.001),
        verdict(0.3, size=100),
    )
    assert [v.verdict for v in (better, worse, equal, unknown)] == [
        "better",
        "worse",
        "no_larger",
        "not_enough",
    ]
    assert (
        better.low < 1 < better.high
        and better.improvement > 0.9
        and better.hedges_g
        and better.hedges_g > 10
    )
    assert (
        equal.bound < 0.05 * base.mean()
        and verdict(0.001, margin=0.0001).verdict == "not_enough"
    )
    assert unknown.seeds_required and unknown.seeds_required > 10
    assert unknown.target_difference == pytest.approx(0.3)
    assert power(unknown.seeds_required, 0.3 / (100 * noise).std(ddof=1)) >= 0.8


def test_five_seeds_cannot_reach_the_level_and_six_are_required():
    [v] = judge(
        {"a": {"p": np.arange(5.0) + 10}, "b": {"p": np.arange(5.0)}}, rng()
    )
    assert v.p == 2 / 32 and v.verdict == "not_enough" and v.seeds_required == 6


def test_more_comparisons_require_more_seeds():
    x, y = rng(1).normal(1, 1, 8), rng(2).normal(0, 1, 8)
    alone = judge({"a": {"p": x}, "b": {"p": y}}, rng())
    many = judge(
        {
            "a": dict.fromkeys("pqrs", x),
            "b": dict.fromkeys("pqrs", y),
            "c": dict.fromkeys("pqrs", y),
        },
        rng(),
    )
    assert (
        len(alone) == 1 and len(many) == 2 * 5
    )  # four sets and their mean, against two
    assert [v.opponents for v in many[:5]] == [*"pqrs", "all"] and {
        v.b for v in many
    } == {"b", "c"}
    assert many[0].p == alone[0].p and many[0].p_holm == pytest.approx(
        min(10 * many[0].p, 1)
    )
    assert (many[0].seeds_required or 0) > (alone[0].seeds_required or 0) > 5


def test_same_input_same_output():
    scores = {
        m: {o: rng(k).normal(0, 1, 20) for o in "pq"}
        for k, m in enumerate("abc")
    }
    assert judge(scores, rng(7)) == judge(scores, rng(7))


def test_pairing_matters():
    """Seeds vary much, but equally in both methods: an unpaired test detects nothing."""
    seeds = rng(0).normal(0, 10, 10)
    [v] = judge(
        {
            "a": {"p": seeds + 1 + 0.1 * rng(1).normal(size=10)},
            "b": {"p": seeds},
        },
        rng(),
    )
    assert (
        v.verdict == "better"
        and float(np.asarray(stats.ttest_ind(seeds + 1, seeds))[1]) > 0.5
    )


@pytest.mark.parametrize(
    "scores, message",
    [
        ({"a": {"p": np.ones(3)}}, r"methods=\[.a.\]: expected at least two"),
        (
            {"a": {"p": np.ones(3)}, "b": {"q": np.ones(3)}},
            "expected the same opponent sets",
        ),
        (
            {"a": {"p": np.ones(3)}, "b": {"p": np.ones(4)}},
            "expected one score a seed, as many as a",
        ),
        (
            {"a": {"p": np.ones(2)}, "b": {"p": np.array([1, np.nan])}},
            "expected finite scores",
        ),
    ],
)
def test_scores_that_cannot_be_paired_are_refused(scores, message):
    with pytest.raises(ValueError, match=message):
        judge(scores, rng())


@pytest.mark.parametrize("n", [2, 3, 7, 20])
def test_verdicts_equal_plain_loops(n, few_samples):
    """Verdicts of two methods in two opponent sets and their mean, one flip and one
    resample at a time.
    """
    source = rng(5)
    scores = {
        m: {o: source.normal(shift, 1, n) for o in "pq"}
        for m, shift in (("a", 1.5), ("b", 0.0))
    }
    source = rng(9)
    flips = (
        [*itertools.product((1, -1), repeat=n)]
        if n <= 16
        else [
            (1,) * n,
            *(
                source.integers(
                    0, 2, (statistics.SAMPLED_SIGN_FLIPS, n), dtype=np.int8
                )
                * 2
                - 1
            ),
        ]
    )
    drawn = source.integers(0, n, (statistics.BOOTSTRAP_RESAMPLES, n))
    differences = [np.subtract(*pair) for pair in _pairs(scores)]
    ps = [
        np.mean(
            [
                abs(sum(s * x for s, x in zip(f, d, strict=True)))
                >= abs(sum(d)) - 1e-9
                for f in flips
            ]
        )
        for d in differences
    ]
    order = sorted(range(3), key=lambda k: ps[k])
    adjusted = [
        max(min(1, (3 - i) * ps[order[i]]) for i in range(order.index(k) + 1))
        for k in range(3)
    ]
    verdicts = judge(scores, rng(9), margin=0.3)
    assert [v.p for v in verdicts] == pytest.approx(ps)
    assert [v.p_holm for v in verdicts] == pytest.approx(adjusted)
    for v, d, q in zip(verdicts, differences, adjusted, strict=True):
        low, high = _loop_interval(d, drawn, 0.95)
        bound = max(map(abs, _loop_interval(d, drawn, 0.9)))
        assert (v.low, v.high, v.bound) == pytest.approx((low, high, bound))
        sign = "better" if d.mean() > 0 else "worse"
        assert v.verdict == (
            sign
            if q <= ALPHA
            else "no_larger"
            if bound <= 0.3
            else "not_enough"
        )
        effect = max(abs(d.mean()), 0.3) / d.std(ddof=1)
        assert v.seeds_required == _loop_seeds(effect, ALPHA / 3)


def _loop_interval(d, drawn, level):
    n, mean, error = len(d), d.mean(), d.std(ddof=1) / len(d) ** 0.5
    resamples = [d[row] for row in drawn if len(set(row.tolist())) > 1]
    t = [(x.mean() - mean) / (x.std(ddof=1) / n**0.5) for x in resamples]
    student = stats.t.ppf((1 + level) / 2, n - 1)
    high, low = np.quantile(t, [(1 + level) / 2, (1 - level) / 2])
    return mean - max(high, student) * error, mean - min(low, -student) * error


def _loop_seeds(effect, alpha):
    """The first number of seeds with power .8, with which the smallest p of the permutation test is at most `alpha`."""
    n = 2
    while (
        2 / 2**n > alpha
        or stats.nct.sf(
            stats.t.ppf(1 - alpha / 2, n - 1), n - 1, effect * n**0.5
        )
        < 0.8
    ):
        n += 1
    return n


def test_pairs_of_different_numbers_of_seeds_are_adjusted_together():
    twelve, six = rng(1).normal(1, 0.1, 12), rng(2).normal(1, 0.1, 6)
    pairs = [
        PairedScores("a", "b", "p", twelve, 0 * twelve),
        PairedScores("a", "c", "p", six, 0 * six),
    ]
    found = judge_pairs(pairs, rng(), margin=0.1)
    assert [v.seeds for v in found] == [12, 6] and [v.b for v in found] == [
        "b",
        "c",
    ]
    assert [v.p for v in found] == [2 / 2**12, 2 / 2**6]
    assert [v.p_holm for v in found] == [4 / 2**12, 2 / 2**6]


def test_equal_scores_of_every_seed_are_a_tie():
    same = np.array([1.0, 2.0, 3.0])
    scores = {"a": {"x": same, "y": same}, "b": {"x": same, "y": same + 1e-9}}
    verdicts = judge(scores, rng(0), margin=0.1)
    assert [v.verdict for v in verdicts] == ["tie", "no_larger", "no_larger"]
    one = {name: {"x": same[:1]} for name in "ab"}
    (alone,) = judge(one, rng(0))
    assert (alone.verdict, alone.difference, alone.seeds) == ("tie", 0, 1)
