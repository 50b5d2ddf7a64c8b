"""Mean returns with their errors, and comparisons of two methods against the same
opponents.

Seeds are the unit of replication. With two or more seeds, the mean of a cell is the
mean over seeds of each seed's mean, and its standard error is over seeds. With one
seed the error is over episodes: it measures the precision for this trained agent,
without training variance.
"""

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from bestreply.report.run_files import (
    ScoreColumns,
)
from bestreply.report.texts import (
    decimals_of,
    ties,
)
from bestreply.scores.references import Reference

OWN_METHODS = ("agent", "bestreply")


@dataclass(frozen=True)
class ScoreCell:
    """Returns of one method against one opponent set."""

    mean: float
    error: float | None  # standard error over `unit`; None for a single unit
    unit: str  # "seeds" or "episodes"
    seeds: int
    episodes: int
    values: dict[tuple[int, ...], float]
    """Return of each unit by (seed,) or (seed, episode, seat, number of repetition)."""

    def interval(self) -> tuple[float, float] | None:
        """Return the 95 % confidence interval of the mean by Student's t.

        Returns:
            Low and high end; None for a single unit.
        """
        if self.error is None:
            return None
        half = _t95(len(self.values) - 1) * self.error
        return self.mean - half, self.mean + half


@dataclass(frozen=True)
class Difference:
    """Mean return of one method minus that of another, with its 95 % interval."""

    mean: float
    low: float | None
    high: float | None
    paired: bool
    equal: bool = False
    """The units of both are the same, and so are all their returns."""

    @property
    def verdict(self) -> str:
        """ "better", "worse", "unclear" (the interval contains 0), "tie" (no difference
        anywhere) or "unknown"."""
        if self.equal:
            return "tie"
        if self.low is None or self.high is None:
            return "unknown"
        if self.low > 0:
            return "better"
        return "worse" if self.high < 0 else "unclear"


@dataclass(frozen=True)
class ScoreTable:
    """Methods x opponent sets; a pair without episodes has no cell."""

    own: str  # method of the run
    methods: list[str]  # `own` first, then as in the file
    opponents: list[str]
    cells: dict[tuple[str, str], ScoreCell]
    references: Mapping[str, Reference] = field(default_factory=dict)
    """By opponent set."""

    @cached_property
    def decimals(self) -> int:
        """Decimal places of all returns of the table."""
        solved = [self.references[o].best for o in self.solved]
        return decimals_of(*(c.mean for c in self.cells.values()), *solved)

    @property
    def solved(self) -> list[str]:
        """Opponent sets with a best reply."""
        return [
            o
            for o in self.opponents
            if o in self.references and not self.references[o].missing
        ]

    def ratio(
        self, name: str, method: str, opponents: str
    ) -> tuple[float, float | None] | None:
        """Return a ratio of a cell to the best reply.

        Args:
            name: "share" or "normalised".
            method: method of the cell.
            opponents: opponent set of the cell.

        Returns:
            The ratio and its standard error; None without the cell or its
            reference.
        """
        cell = self.cells.get((method, opponents))
        reference = self.references.get(opponents)
        if cell is None or reference is None:
            return None
        return getattr(reference, name)(cell.mean, cell.error)

    def best(self, opponents: str) -> set[str]:
        """Return the methods with the highest mean against an opponent set.

        Args:
            opponents: opponent set.

        Returns:
            One method, or several whose means are equal as written: a tie.
        """
        return set(self._leaders(opponents, self.methods))

    def best_others(self, opponents: str) -> list[str]:
        """Return the best methods other than the run's own.

        Args:
            opponents: opponent set.

        Returns:
            The method with the highest mean, and those whose mean is equal as written;
            none without another method.
        """
        others = [m for m in self.methods if m != self.own]
        return self._leaders(opponents, others)

    def _leaders(self, opponents: str, methods: list[str]) -> list[str]:
        means = {
            m: self.cells[m, opponents].mean
            for m in methods
            if (m, opponents) in self.cells
        }
        ranked = sorted(means, key=lambda m: -means[m])
        return [
            m for m in ranked if ties(means[m], means[ranked[0]], self.decimals)
        ]

    @property
    def has_ties(self) -> bool:
        """Whether several methods share the highest mean against an opponent set."""
        return any(len(self.best(o)) > 1 for o in self.opponents)

    @property
    def units(self) -> set[str]:
        """Units of the errors in the table: "seeds", "episodes" or both."""
        return {cell.unit for cell in self.cells.values()}


def score_table(
    scores: ScoreColumns,
    own: str | None = None,
    references: Mapping[str, Reference] | None = None,
) -> ScoreTable:
    """Compute the cells of all methods and opponent sets.

    Args:
        scores: one entry per episode.
        own: the run's method; by default one of OWN_METHODS, or the first row's.
        references: references by opponent set.

    Returns:
        The table.
    """
    methods = list(dict.fromkeys(scores.method.tolist()))
    method_of_run = next(
        (m for m in (own, *OWN_METHODS) if m is not None and m in methods),
        methods[0],
    )
    methods.sort(key=lambda m: m != method_of_run)
    opponents = list(dict.fromkeys(scores.opponents.tolist()))
    cells = {}
    for method in methods:
        for against in opponents:
            rows = np.flatnonzero(
                (scores.method == method) & (scores.opponents == against)
            )
            if len(rows):
                cells[method, against] = _cell(scores, rows)
    return ScoreTable(
        method_of_run, methods, opponents, cells, references or {}
    )


def compare_cells(a: ScoreCell, b: ScoreCell) -> Difference:
    """Compare the means of two cells.

    Paired by seed (or episode) if both cells have the same units, otherwise by
    Welch's t-test.

    Args:
        a: first cell.
        b: second cell.

    Returns:
        Mean of `a` minus mean of `b`.
    """
    mean = a.mean - b.mean
    if a.values == b.values:
        return Difference(0.0, 0.0, 0.0, True, equal=True)
    if a.values.keys() == b.values.keys() and len(a.values) > 1:
        differences = np.array([a.values[k] - b.values[k] for k in a.values])
        count = len(differences)
        error = float(differences.std(ddof=1)) / math.sqrt(count)
        half = _t95(count - 1) * error
        return Difference(mean, mean - half, mean + half, True)
    if a.error is None or b.error is None:
        return Difference(mean, None, None, False)
    variances = [a.error**2, b.error**2]
    degrees = [len(a.values) - 1, len(b.values) - 1]
    spread = sum(v**2 / d for v, d in zip(variances, degrees, strict=True))
    total = sum(variances)
    half = _t95(total**2 / spread) * math.sqrt(total) if spread else 0.0
    return Difference(mean, mean - half, mean + half, False)


def _cell(scores: ScoreColumns, rows: np.ndarray) -> ScoreCell:
    seeds = np.unique(scores.seed[rows])
    if len(seeds) > 1:
        unit = "seeds"
        values = {
            (int(s),): float(scores.value[rows][scores.seed[rows] == s].mean())
            for s in seeds
        }
    else:
        unit, values = "episodes", _by_episode(scores, rows)
    array = np.array(list(values.values()))
    mean, error = float(array.mean()), None
    if len(array) > 1:
        error = float(array.std(ddof=1)) / math.sqrt(len(array))
    return ScoreCell(mean, error, unit, len(seeds), len(rows), values)


def _by_episode(
    scores: ScoreColumns, rows: np.ndarray
) -> dict[tuple[int, ...], float]:
    repetitions: Counter[tuple[int, ...]] = Counter()
    values = {}
    for row in rows:
        columns = (scores.seed, scores.episode, scores.seat)
        key = tuple(int(column[row]) for column in columns)
        repetitions[key] += 1
        values[*key, repetitions[key]] = float(scores.value[row])
    return values


def _t95(degrees: float) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(degrees, 0.975))
