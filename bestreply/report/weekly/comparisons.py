"""Compare methods over training seeds; incomparable ones are listed with their mismatches."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations

import numpy as np

from bestreply.report.weekly.groups import Family, RunGroup
from bestreply.report.weekly.record import RunRecord
from bestreply.scores.compare import Mismatch, SeedScores, mismatches
from bestreply.scores.statistics import (
    PairedScores,
    Verdict,
    judge_pairs,
    pairs_of,
)

OVERALL = "\0all"
"""Opponents of the verdict over all sets; replaced by words in texts."""
MAX_ALL_PAIRS = 12
"""Number of methods of one game up to which all pairs are compared."""


@dataclass(frozen=True)
class Comparison:
    """One method compared with another: `verdicts`, or `mismatches` if not comparable."""

    a: str
    b: str
    seeds: tuple[int, ...] = ()  # training seeds of both methods
    only_a: tuple[int, ...] = ()  # training seeds of one method, left out
    only_b: tuple[int, ...] = ()
    mismatches: tuple[Mismatch, ...] = ()
    verdicts: tuple[Verdict, ...] = ()  # for single sets, then over all sets

    @property
    def overall(self) -> Verdict:
        """The verdict over all opponent sets, or for the only one."""
        return self.verdicts[-1]

    @property
    def each(self) -> tuple[Verdict, ...]:
        """The verdicts for single sets, if there are several."""
        return self.verdicts[:-1]


@dataclass(frozen=True)
class GameComparisons:
    """Comparisons of the methods of one game, and of each with others in its runs."""

    between: tuple[Comparison, ...] = ()
    within: dict[str, tuple[Comparison, ...]] = field(default_factory=dict)
    """Each method's agent compared with other methods of its scores, by group."""
    baseline: str = ""  # method in all pairs; empty: every pair
    is_requested: bool = False  # the reader chose the baseline

    @property
    def comparisons(self) -> Iterable[Comparison]:
        """All comparisons."""
        yield from self.between
        for comparisons in self.within.values():
            yield from comparisons


def compare_methods(
    family: Family, baseline: str | None = None
) -> GameComparisons:
    """Compare the methods of a game in pairs, and each one with others in its runs.

    p-values are adjusted over all pairs of methods, and within each method.

    Args:
        family: runs of one game.
        baseline: method to compare all other methods with; by default every pair.

    Returns:
        The comparisons.
    """
    groups = [g for g in family.groups if g.measured]
    own = {g.name: seeds_of(g, g.method) for g in groups}
    pairs, reference = _pairs([g.name for g in groups], baseline)
    between = _judged([_pair(a, own[a], b, own[b]) for a, b in pairs])
    within = {}
    for group in groups:
        others = [m for m in group.methods if m != group.method]
        if baseline is not None and baseline in others:
            others = [baseline]
        seeds = own[group.name]
        unjudged = [
            _pair(group.method, seeds, method, seeds_of(group, method))
            for method in others
        ]
        within[group.name] = tuple(_judged(unjudged))
    is_requested = reference == baseline
    return GameComparisons(tuple(between), within, reference, is_requested)


def _pairs(
    names: Sequence[str], baseline: str | None
) -> tuple[list[tuple[str, str]], str]:
    """Return pairs of methods, and the method in all of them (empty without one)."""
    if baseline is not None and baseline in names:
        return [(n, baseline) for n in names if n != baseline], baseline
    if len(names) > MAX_ALL_PAIRS:
        return [(name, names[0]) for name in names[1:]], names[0]
    return list(combinations(names, 2)), ""


def seeds_of(group: RunGroup, method: str) -> list[SeedScores]:
    """Return the scores of a method in a group's runs.

    Args:
        group: runs of one configuration.
        method: method in their scores.

    Returns:
        One entry for each run that measured the method.
    """
    seeds = [_seed(record, method) for record in group.runs]
    return [seed for seed in seeds if seed is not None]


def _seed(record: RunRecord, method: str) -> SeedScores | None:
    cells = {
        o: cell for (name, o), cell in record.cells.items() if name == method
    }
    if not cells:
        return None
    return SeedScores(
        path=record.path,
        seed=record.seed,
        mean={opponents: cell.mean for opponents, cell in cells.items()},
        facts={
            f"episodes against {o}": len(c.returns) for o, c in cells.items()
        },
        env_steps=record.env_steps,
    )


def _pair(
    a: str, of_a: list[SeedScores], b: str, of_b: list[SeedScores]
) -> tuple[Comparison, list[PairedScores]]:
    """Return a comparison without verdicts, and its scores on the common seeds."""
    first, second = ({s.seed: s for s in seeds} for seeds in (of_a, of_b))
    common = sorted(first.keys() & second.keys())
    only_a = tuple(sorted(first.keys() - second.keys()))
    only_b = tuple(sorted(second.keys() - first.keys()))
    comparison = Comparison(a, b, tuple(common), only_a, only_b)
    if not common:
        return comparison, []
    reference = first[common[0]]
    by_fact = {
        mismatch.fact: mismatch
        for seeds in (first, second)
        for k in common
        for mismatch in mismatches(reference, seeds[k])
    }
    if by_fact:
        return replace(comparison, mismatches=tuple(by_fact.values())), []
    means = [
        {
            o: np.array([seeds[k].mean[o] for k in common])
            for o in reference.mean
        }
        for seeds in (first, second)
    ]
    return comparison, pairs_of(a, means[0], b, means[1], OVERALL)


def _judged(
    unjudged: list[tuple[Comparison, list[PairedScores]]],
) -> list[Comparison]:
    """Add verdicts, with p-values adjusted over all comparisons."""
    scores = [p for _, pairs in unjudged for p in pairs]
    verdicts = iter(judge_pairs(scores, np.random.default_rng(0)))
    return [
        replace(comparison, verdicts=tuple(next(verdicts) for _ in pairs))
        for comparison, pairs in unjudged
    ]
