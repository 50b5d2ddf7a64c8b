"""Distributions of the returns of single episodes, and their differences between
methods.
"""

from dataclasses import dataclass

import numpy as np

from bestreply.report.svg import ticks
from bestreply.report.weekly.groups import Family

MIN_DISTANCE = 0.1
"""Kolmogorov distance from which two distributions differ."""
MAX_BINS = 6


@dataclass(frozen=True)
class ReturnDistribution:
    """Shares of episodes by return against one opponent set; every seed has the same
    weight.
    """

    opponents: str
    bins: list[tuple[float, float]]  # least and greatest return
    shares: dict[str, np.ndarray]  # by method: [bins]
    distance: float  # greatest of two methods


def return_distributions(family: Family) -> list[ReturnDistribution]:
    """Return the distribution of the methods' own agents against each opponent set.

    Args:
        family: runs of one game.

    Returns:
        One entry for each opponent set with scores.
    """
    distributions = []
    for against in family.opponents:
        by_method = {}
        for group in family.groups:
            cells = group.cells(group.method, against).values()
            if cells:
                by_method[group.name] = [cell.returns for cell in cells]
        if by_method:
            distributions.append(_distribution(against, by_method))
    return distributions


def _distribution(
    against: str, by_method: dict[str, list[np.ndarray]]
) -> ReturnDistribution:
    """Return the distribution, from the returns of each seed of each method."""
    every = [returns for seeds in by_method.values() for returns in seeds]
    values = np.unique(np.concatenate(every).round(6))
    cumulative = {
        name: np.mean([_cumulative(r, values) for r in seeds], 0)
        for name, seeds in by_method.items()
    }
    stacked = np.array(list(cumulative.values()))
    distance = float((stacked.max(0) - stacked.min(0)).max())
    edges = _edges(values)
    bin_of = np.searchsorted(edges, values, "right") - 1
    used = [k for k in range(len(edges)) if (bin_of == k).any()]
    bins, shares = [], {}
    for k in used:
        inside = values[bin_of == k]
        bins.append((float(inside.min()), float(inside.max())))
    for name, level in cumulative.items():
        mass = np.diff(level, prepend=0.0)
        shares[name] = np.array([mass[bin_of == k].sum() for k in used])
    return ReturnDistribution(against, bins, shares, distance)


def _cumulative(returns: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return the share of returns up to each value."""
    order = np.sort(returns.round(6))
    return np.searchsorted(order, values, "right") / len(returns)


def _edges(values: np.ndarray) -> np.ndarray:
    """Return the lower ends of bins: all of few values, otherwise round numbers."""
    if len(values) <= MAX_BINS:
        return values
    low, high = float(values[0]), float(values[-1])
    inner = [t for t in ticks(low, high, MAX_BINS - 2) if low < t < high]
    return np.array([low, *inner[: MAX_BINS - 1]])
