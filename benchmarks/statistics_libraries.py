"""Statistics of verdicts, by our code and by SciPy and statsmodels.

Three tables: processor seconds for all comparisons of a report over 1,000 runs, with
the largest disagreement; processor seconds of imports; error rates on drawn differences
with a known truth. statsmodels is in the extra `dev`.

A report over 1,000 runs makes 2,750 comparisons of ten seeds (ten games, ten methods;
every pair in four opponent sets and over all, and each method with one other player),
or 1,375 of twenty. Each job is timed on a sample and scaled up.
"""

import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
from scipy import stats

from benchmarks import timing
from benchmarks.timing import short
from bestreply.scores.statistics import (
    ALPHA,
    MAX_SEEDS,
    SAMPLED_SIGN_FLIPS,
    bootstrap_counts,
    bootstrap_intervals,
    holm,
    permutation_test,
    seeds_required,
    sign_flips,
)

COMPARISONS = {5: 2750, 10: 2750, 16: 1375, 20: 1375}
"""Comparisons of a report over 1,000 runs, by the number of seeds."""
IMPORTS = (
    "scipy.special",
    "scipy.stats",
    "statsmodels.stats.multitest",
    "statsmodels.stats.power",
)
EFFECTS = (0.05, 0.1, 0.2, 0.3, 0.6, 1.0, 1.5)
LEVELS = {
    "alone": ALPHA,
    "among 15": ALPHA / 15,
    "among 250": ALPHA / 250,
    "among 2,750": ALPHA / 2750,
}
DECISIONS = {
    "permutation test": "ours: the same p; with 16 seeds SciPy takes longer than the whole report over 1,000 runs",
    "interval": "ours: SciPy has no studentised bootstrap; its 95 % intervals of five seeds miss the mean in 15 to 23 % of cases",
    "equivalence": "ours: where scores are skewed, the t-test of `ttost_paired` is wrong up to twice as often",
    "Holm": "ours, three lines: importing statsmodels takes longer than a report over ten runs",
    "seeds required": "`scipy.special.nctdtr`: statsmodels is wrong at levels adjusted for many comparisons, and slow",
}
"""Implementations that `bestreply.scores.statistics` uses, and reasons."""


def measure(quick: bool) -> dict[str, Any]:
    """Measure times, imports and error rates.

    Args:
        quick: tiny sizes, to see that everything runs.
    """
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore"
        )  # of constant samples and roots that are not found
        return {
            "unit": "seconds of processor",
            "rows": _speed(3 if quick else 40),
            "imports": {
                name: _import_seconds(name, 1 if quick else 5)
                for name in IMPORTS
            },
            "seeds_required": _seeds_required(
                EFFECTS[-2:] if quick else EFFECTS
            ),
            "errors": _error_rates(20 if quick else 2000),
        }


def _speed(sample: int) -> dict[str, dict[str, float]]:
    """Return processor seconds for all comparisons, from `sample` of them, and the largest disagreement."""
    from statsmodels.stats.multitest import multipletests
    from statsmodels.stats.power import TTestPower

    rng, rows = np.random.default_rng(0), {}
    for seeds, comparisons in COMPARISONS.items():
        differences, scale = (
            rng.normal(0.4, 1, (sample, seeds)),
            comparisons / sample,
        )
        signs, counts = sign_flips(seeds, rng), bootstrap_counts(seeds, rng)
        ours, p = _timed(
            lambda d=differences, s=signs: [permutation_test(x, s) for x in d]
        )
        library, scipy_p = _timed(lambda d=differences: _scipy_p(d))
        rows[f"permutation test, {seeds} seeds"] = _row(
            ours * scale, library * scale, p, scipy_p
        )
        ours, ends = _timed(
            lambda d=differences, c=counts: [
                bootstrap_intervals(x, c)[0] for x in d
            ]
        )
        library, scipy_ends = _timed(
            lambda d=differences: _scipy_interval(d, "BCa", 10_000)
        )
        rows[f"interval (BCa), {seeds} seeds"] = _row(
            ours * scale, library * scale, ends, scipy_ends
        )
    ps = rng.beta(0.3, 1, 2750)
    ours, adjusted = _timed(lambda: holm(ps.tolist()))
    library, other = _timed(lambda: multipletests(ps, method="holm")[1])
    rows["Holm, 2,750 p-values"] = _row(ours, library, adjusted, other)
    effects, scale = np.geomspace(0.1, 2, sample), 2750 / sample
    ours, n = _timed(
        lambda: [seeds_required(e, 1.0) or MAX_SEEDS for e in effects]
    )
    solve = TTestPower().solve_power
    library, other = _timed(
        lambda: [solve(effect_size=e, alpha=ALPHA, power=0.8) for e in effects]
    )
    rows["seeds required at 5 %"] = _row(
        ours * scale, library * scale, n, np.maximum(np.ceil(other), 6)
    )
    return rows


def _row(ours: float, library: float, one: Any, two: Any) -> dict[str, float]:
    disagreement = float(np.abs(np.asarray(one) - np.asarray(two)).max())
    return {
        "ours": ours,
        "library": library,
        "largest_disagreement": disagreement,
    }


def _timed(job: Callable[[], Any]) -> tuple[float, Any]:
    """Return the processor seconds of a job, after one call to warm up, and its result."""
    job()
    begin = time.process_time()
    result = job()
    return time.process_time() - begin, result


def _mean(x: np.ndarray, axis: int) -> np.ndarray:
    return np.mean(x, axis=axis)


def _scipy_p(differences: np.ndarray) -> np.ndarray:
    """Return SciPy's p of [K, S] differences, in one call, in batches of about 100,000 numbers."""
    count, seeds = differences.shape
    flips = 2**seeds if seeds <= 16 else SAMPLED_SIGN_FLIPS
    batch = max(100_000 // (count * seeds), 1)
    test = stats.permutation_test(
        (differences,),
        _mean,
        permutation_type="samples",
        n_resamples=flips,
        batch=batch,
        axis=-1,
        rng=np.random.default_rng(0),
    )
    return np.asarray(test.pvalue)


def _scipy_interval(
    differences: np.ndarray, method: Any, resamples: int, level: float = 0.95
) -> np.ndarray:
    """Return intervals [K, 2] of SciPy's bootstrap for [K, S] differences."""
    interval = stats.bootstrap(
        (differences,),
        _mean,
        method=method,
        n_resamples=resamples,
        confidence_level=level,
        batch=100,
        axis=-1,
        rng=np.random.default_rng(0),
    ).confidence_interval
    return np.stack([interval.low, interval.high], -1)


def _import_seconds(name: str, rounds: int) -> float:
    """Return the processor seconds of an import after NumPy: median over `rounds` processes."""
    code = f"import time, numpy; t = time.process_time(); import {name}; print(time.process_time() - t)"
    command = [sys.executable, "-W", "ignore", "-c", code]
    runs = [
        subprocess.run(command, capture_output=True, text=True, check=True)
        for _ in range(rounds)
    ]
    return float(np.median([float(run.stdout) for run in runs]))


def _seeds_required(effects: tuple[float, ...]) -> list[dict[str, Any]]:
    """Return the required seeds by our code and by statsmodels, and the power of both by `scipy.stats.nct`, at adjusted levels."""
    from statsmodels.stats.power import TTestPower

    rows = []
    for (comparisons, alpha), effect in product(LEVELS.items(), effects):
        ours = seeds_required(effect, 1.0, alpha=alpha)
        theirs = TTestPower().solve_power(
            effect_size=effect, alpha=alpha, power=0.8
        )
        row = {
            "comparisons": comparisons,
            "effect": effect,
            "ours": ours,
            "statsmodels": float(theirs),
        }
        for name, n in (("ours", ours), ("statsmodels", theirs)):
            if n is not None and np.isfinite(n):
                row[f"power_{name}"] = _noncentral_power(
                    int(np.ceil(n)), effect, alpha
                )
        rows.append(row)
    return rows


def _noncentral_power(seeds: int, effect: float, alpha: float) -> float:
    critical = stats.t.ppf(1 - alpha / 2, seeds - 1)
    return float(stats.nct.sf(critical, seeds - 1, effect * seeds**0.5))


def _error_rates(sweeps: int) -> dict[str, dict[str, float]]:
    """Return how often 95 % intervals miss the true mean, and how often a difference equal to the margin is called smaller."""
    rows = {}
    for seeds, shape in product((5, 10), ("normal", "skewed")):
        rng = np.random.default_rng(seeds)
        draw = (
            rng.standard_normal
            if shape == "normal"
            else rng.standard_exponential
        )
        centred = draw((sweeps, seeds)) - (shape == "skewed")
        counts = bootstrap_counts(seeds, rng)
        ours = np.array(
            [bootstrap_intervals(x, counts, (0.95, 0.9)) for x in centred]
        )
        intervals = {
            "studentised (ours)": ours[:, 0],
            "Student's t": _student(centred, 0.95),
            "percentile": _scipy_interval(centred, "percentile", 2000),
            "BCa": _scipy_interval(centred, "BCa", 2000),
        }
        rows[f"interval, {seeds} seeds, {shape}"] = {
            name: _misses(ends) for name, ends in intervals.items()
        }
        narrower = {
            "studentised (ours)": ours[:, 1],
            "Student's t": _student(centred, 0.9),
        }
        rows[f"equivalence, {seeds} seeds, {shape}"] = {
            name: float(max((ends[:, 1] < 0).mean(), (ends[:, 0] > 0).mean()))
            for name, ends in narrower.items()
        }
    return rows


def _misses(ends: np.ndarray) -> float:
    """Return the fraction of [K, 2] intervals without 0."""
    return float(1 - ((ends[:, 0] <= 0) & (ends[:, 1] >= 0)).mean())


def _student(x: np.ndarray, level: float) -> np.ndarray:
    """Return intervals [K, 2] of the mean by Student's t; `ttost_paired` of statsmodels tests with those of 90 %."""
    interval = stats.ttest_1samp(x, 0, axis=1).confidence_interval(level)
    return np.stack([interval.low, interval.high], -1)


def table(found: dict[str, Any]) -> str:
    """Write the figures and the decisions as Markdown.

    Args:
        found: what `measure` returns.
    """
    speed = [
        [
            name,
            short(row["ours"]),
            short(row["library"]),
            f"{row['largest_disagreement']:.2g}",
        ]
        for name, row in found["rows"].items()
    ]
    names = ("studentised (ours)", "Student's t", "percentile", "BCa")
    errors = [
        [name, *(f"{row[n]:.3f}" if n in row else "-" for n in names)]
        for name, row in found["errors"].items()
    ]
    required = [
        [
            r["comparisons"],
            r["effect"],
            *(_number(r, name) for name in ("ours", "statsmodels")),
        ]
        for r in found["seeds_required"]
        if _wrong(r)
    ]
    return "\n\n".join(
        [
            "Implementation in use, and the reason:",
            timing.table(
                ["part", "used"], [list(item) for item in DECISIONS.items()]
            ),
            "All comparisons of a report over 1,000 runs, processor seconds:",
            timing.table(
                ["", "ours", "library", "largest disagreement"], speed
            ),
            "Imports after NumPy, processor seconds:",
            timing.table(
                ["", "seconds"],
                [[name, short(s)] for name, s in found["imports"].items()],
            ),
            "Error rate on drawn differences; the nominal rate is .05:",
            timing.table(["", *names], errors),
            f"Seeds required for a power of .8 (in brackets: power by `scipy.stats.nct`). statsmodels misses it without a warning in "
            f"{len(required)} of {len(found['seeds_required'])} settings:",
            timing.table(
                ["comparisons", "effect", "ours", "statsmodels"], required
            ),
        ]
    )


def _wrong(row: dict[str, Any]) -> bool:
    """Return whether statsmodels' number, rounded up, has too little power."""
    return (
        row["ours"] is not None
        and not row.get("power_statsmodels", 0) >= 0.8 - 1e-6
    )


def _number(row: dict[str, Any], name: str) -> str:
    power = row.get(f"power_{name}")
    return f"{row[name]:,.1f} ({power:.3f})" if power is not None else "-"
