"""How the returns of single episodes are spread, and where methods differ in that."""

from dataclasses import dataclass

import numpy as np

from bestreply.report.svg import ticks
from bestreply.report.weekly.groups import Family

MIN_DISTANCE = 0.1
"""Two distributions differ if somewhere their shares of episodes up to a value are this much apart (Kolmogorov's distance)."""
MAX_BINS = 6


@dataclass(frozen=True)
class ReturnDistribution:
    """Shares of episodes by their return, against one opponent set; every seed counts alike."""

    opponents: str
    bins: list[tuple[float, float]]  # least and greatest return of each
    shares: dict[str, np.ndarray]  # by method: [bins]
    distance: float  # between the two methods that are furthest apart


def return_distributions(family: Family) -> list[ReturnDistribution]:
    """Of each opponent set, the methods' own agents."""
    found = []
    for against in family.opponents:
        seeds = {
            g.name: [c.returns for c in g.cells(g.method, against).values()]
            for g in family.groups
        }
        seeds = {name: returns for name, returns in seeds.items() if returns}
        if seeds:
            found.append(_spread(against, seeds))
    return found


def _spread(
    against: str, seeds: dict[str, list[np.ndarray]]
) -> ReturnDistribution:
    values = np.unique(
        np.concatenate(
            [r for returns in seeds.values() for r in returns]
        ).round(6)
    )
    least = _edges(values)
    levels = {
        name: np.mean(
            [
                np.searchsorted(np.sort(r.round(6)), values, "right") / len(r)
                for r in returns
            ],
            0,
        )
        for name, returns in seeds.items()
    }  # [values]: share of episodes up to each value
    together = np.array(list(levels.values()))
    distance = float((together.max(0) - together.min(0)).max())
    place = np.searchsorted(least, values, "right") - 1
    kept = [k for k in range(len(least)) if (place == k).any()]
    bins = [
        (float(values[place == k].min()), float(values[place == k].max()))
        for k in kept
    ]
    shares = {}
    for name, level in levels.items():
        each = np.diff(level, prepend=0.0)
        shares[name] = np.array([each[place == k].sum() for k in kept])
    return ReturnDistribution(against, bins, shares, distance)


def _edges(values: np.ndarray) -> np.ndarray:
    """Where bins begin: at every value where there are few, else at round numbers."""
    if len(values) <= MAX_BINS:
        return values
    inner = [
        t
        for t in ticks(float(values[0]), float(values[-1]), MAX_BINS - 2)
        if values[0] < t < values[-1]
    ]
    return np.array([values[0], *inner[: MAX_BINS - 1]])
