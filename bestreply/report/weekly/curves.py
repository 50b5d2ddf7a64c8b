"""Average learning curves over seeds, and measure their convergence."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bestreply.report.curves import grows_with_updates
from bestreply.report.weekly.groups import Family, RunGroup
from bestreply.scores.statistics import student_t

CONVERGED = 0.95
"""Share of the distance from first to final value at which a curve has converged."""
FRACTIONS = (0.25, 0.5, 0.75)
GRID = 120


@dataclass(frozen=True)
class MeanCurve:
    """Mean of a metric over seeds, with its 95 % interval by Student's t for several
    seeds.
    """

    name: str  # of the method
    seeds: int
    x: np.ndarray  # [points]
    mean: np.ndarray
    low: np.ndarray | None
    high: np.ndarray | None


@dataclass(frozen=True)
class Convergence:
    """Values of each seed.

    The first value, those at `FRACTIONS` of training, the final one, and the x at
    which the curve has converged (None without a change).
    """

    first: list[float]
    along: list[list[float]]
    final: list[float]
    reached: list[float | None]


@dataclass(frozen=True)
class MetricCurves:
    """One metric of all methods of a game."""

    name: str
    means: list[MeanCurve]
    convergence: dict[str, Convergence]  # by method


@dataclass(frozen=True)
class LearningCurves:
    """Metrics of a game. If `by_steps`, x is environment steps, otherwise updates."""

    by_steps: bool
    metrics: list[MetricCurves]
    steps: tuple[int, int]  # least and greatest environment steps
    every: float  # greatest distance of two logged x


def learning_curves(family: Family) -> LearningCurves | None:
    """Average every metric over the seeds of each method.

    Args:
        family: runs of one game.

    Returns:
        None if no run has logged metrics.
    """
    logs = [r.metrics for r in family.runs if r.metrics]
    if not logs:
        return None
    by_steps = all(grows_with_updates(m.values()) for m in logs)
    averaged = []
    for name in dict.fromkeys(name for metrics in logs for name in metrics):
        means, convergence = [], {}
        for group in family.groups:
            lines = _lines(group, name, by_steps)
            if lines:
                means.append(_mean(group.name, lines))
                convergence[group.name] = _convergence(lines)
        if means:
            averaged.append(MetricCurves(name, means, convergence))
    series = [s for metrics in logs for s in metrics.values()]
    steps = [int(s.env_steps[k]) for s in series for k in (0, -1)]
    curves = [mean for metric in averaged for mean in metric.means]
    gaps = [float(np.diff(c.x).max()) for c in curves if len(c.x) > 1]
    ends, longest = (min(steps), max(steps)), max(gaps, default=0.0)
    return LearningCurves(by_steps, averaged, ends, longest)


def _lines(
    group: RunGroup, name: str, by_steps: bool
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return x and values of every seed, sorted by x."""
    lines: list[tuple[np.ndarray, np.ndarray]] = []
    for record in group.runs:
        series = record.metrics.get(name)
        if series is None:
            continue
        x = (series.env_steps if by_steps else series.update).astype(float)
        is_finite = np.isfinite(series.value)
        x, y = x[is_finite], series.value[is_finite]
        if len(x) and not (np.diff(x) > 0).all():
            order = np.argsort(x, kind="stable")
            is_last = np.append(np.diff(x[order]) > 0, True)  # at each x
            x, y = x[order][is_last], y[order][is_last]
        if len(x):
            lines.append((x, y))
    return lines


def _mean(
    name: str, lines: Sequence[tuple[np.ndarray, np.ndarray]]
) -> MeanCurve:
    """Average point by point, or interpolated on the common range for logs of different
    length.
    """
    if len({len(x) for x, _ in lines}) == 1:
        x = np.mean([x for x, _ in lines], 0)
        values = np.array([y for _, y in lines])
    else:
        low, high = max(x[0] for x, _ in lines), min(x[-1] for x, _ in lines)
        x = np.linspace(low, max(high, low), GRID)
        values = np.array([np.interp(x, a, b) for a, b in lines])
    return MeanCurve(name, len(lines), x, *mean_and_interval(values))


def mean_and_interval(
    values: np.ndarray,
) -> tuple[np.ndarray, np.ndarray | None, np.ndarray | None]:
    """Return the mean over seeds and its 95 % interval by Student's t.

    Args:
        values: [seeds, points] values.

    Returns:
        Mean, low and high end, each [points]; no ends for one seed.
    """
    seeds, mean = len(values), values.mean(0)
    if seeds < 2:
        return mean, None, None
    half = student_t(seeds - 1, 0.975) * values.std(0, ddof=1) / seeds**0.5
    return mean, mean - half, mean + half


def _convergence(lines: Sequence[tuple[np.ndarray, np.ndarray]]) -> Convergence:
    first, along, final, reached = [], [], [], []
    for x, y in lines:
        at = x[0] + np.array(FRACTIONS)[:, None] * (x[-1] - x[0])
        along.append(y[np.abs(x - at).argmin(1)].tolist())
        end = float(y[-max(1, len(y) // 10) :].mean())
        first.append(float(y[0]))
        final.append(end)
        fraction = np.zeros(len(y))
        if end != y[0]:
            fraction = (y - y[0]) / (end - y[0])
        near = np.flatnonzero(fraction >= CONVERGED)
        reached.append(float(x[near[0]]) if len(near) else None)
    return Convergence(first, along, final, reached)
