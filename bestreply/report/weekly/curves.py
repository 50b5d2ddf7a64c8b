"""Average learning curves over seeds, and find when they are near their final level."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bestreply.report.run_files import MetricSeries
from bestreply.report.weekly.groups import Family, RunGroup
from bestreply.scores.statistics import student_t

CONVERGED = 0.95
"""Share of the way from its first to its final level at which a curve counts as converged."""
FRACTIONS = (0.25, 0.5, 0.75)
GRID = 120


@dataclass(frozen=True)
class MeanCurve:
    """A metric's mean over seeds, with its 95 % interval by Student's t where there are several."""

    name: str  # of the group
    seeds: int
    x: np.ndarray  # [points]
    mean: np.ndarray
    low: np.ndarray | None
    high: np.ndarray | None


@dataclass(frozen=True)
class Convergence:
    """Levels of each seed: the first, those at `ALONG` of the way, the final one, and the x near that (None: no change)."""

    first: list[float]
    along: list[list[float]]
    final: list[float]
    reached: list[float | None]


@dataclass(frozen=True)
class MetricCurves:
    name: str
    means: list[MeanCurve]
    speeds: dict[str, Convergence]  # by group


@dataclass(frozen=True)
class LearningCurves:
    """`by_steps`: x is environment steps; otherwise updates, all at the same few numbers of environment steps."""

    by_steps: bool
    metrics: list[MetricCurves]
    steps: tuple[int, int]  # least and greatest of all
    every: float  # points of x between two that were logged, at most


def learning_curves(family: Family) -> LearningCurves | None:
    """Average every metric of a family's groups over seeds; None where no run has logged any."""
    logged = [r.metrics for r in family.runs if r.metrics]
    if not logged:
        return None
    by_steps = all(_grows(metrics) for metrics in logged)
    averaged = []
    for name in dict.fromkeys(name for metrics in logged for name in metrics):
        means, speeds = [], {}
        for group in family.groups:
            lines = _lines(group, name, by_steps)
            if lines:
                means.append(_mean(group.name, lines))
                speeds[group.name] = _speed(lines)
        if means:
            averaged.append(MetricCurves(name, means, speeds))
    steps = [
        int(s.env_steps[k])
        for metrics in logged
        for s in metrics.values()
        for k in (0, -1)
    ]
    gaps = [
        float(np.diff(m.x).max())
        for metric in averaged
        for m in metric.means
        if len(m.x) > 1
    ]
    return LearningCurves(
        by_steps, averaged, (min(steps), max(steps)), max(gaps, default=0.0)
    )


def _grows(metrics: dict[str, MetricSeries]) -> bool:
    """Return whether environment steps grow with updates; data collected before training has one number, or one a round."""
    steps = np.unique(np.concatenate([s.env_steps for s in metrics.values()]))
    updates = np.unique(np.concatenate([s.update for s in metrics.values()]))
    return len(steps) > 1 and 2 * len(steps) >= len(updates)


def _lines(
    group: RunGroup, name: str, by_steps: bool
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return x and value of every seed, x in order."""
    lines = []
    for record in group.runs:
        series = record.metrics.get(name)
        if series is None:
            continue
        x = (series.env_steps if by_steps else series.update).astype(float)
        whole = np.isfinite(series.value)
        x, y = x[whole], series.value[whole]
        if len(x) and not (np.diff(x) > 0).all():
            order = np.argsort(x, kind="stable")
            last = np.append(
                np.diff(x[order]) > 0, True
            )  # of several values at one x, the last
            x, y = x[order][last], y[order][last]
        if len(x):
            lines.append((x, y))
    return lines


def _mean(
    name: str, lines: Sequence[tuple[np.ndarray, np.ndarray]]
) -> MeanCurve:
    """Average point by point where seeds logged equally often, otherwise interpolated where all have values."""
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
    """Return the mean over seeds and the ends of its 95 % interval by Student's t.

    Args:
        values: [seeds, points].

    Returns:
        Mean, low and high, each [points]; no ends for one seed.
    """
    seeds, mean = len(values), values.mean(0)
    if seeds < 2:
        return mean, None, None
    half = student_t(seeds - 1, 0.975) * values.std(0, ddof=1) / seeds**0.5
    return mean, mean - half, mean + half


def _speed(lines: Sequence[tuple[np.ndarray, np.ndarray]]) -> Convergence:
    first, along, final, reached = [], [], [], []
    for x, y in lines:
        at = x[0] + np.array(FRACTIONS)[:, None] * (x[-1] - x[0])
        along.append(y[np.abs(x - at).argmin(1)].tolist())
        end = float(y[-max(1, len(y) // 10) :].mean())
        first.append(float(y[0]))
        final.append(end)
        fraction = (
            (y - y[0]) / (end - y[0]) if end != y[0] else np.zeros(len(y))
        )
        near = np.flatnonzero(fraction >= CONVERGED)
        reached.append(float(x[near[0]]) if len(near) else None)
    return Convergence(first, along, final, reached)
