"""Methods held against each other, as far as they can be; where they cannot, what differs."""

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
"""Opponents of the verdict over all sets, until it is written in words."""
MAX_ALL_PAIRS = 12
"""Methods of one game up to which every one is held against every other."""


@dataclass(frozen=True)
class Comparison:
    """One method against another. Either it has `verdicts`, or `apart` says why not."""

    a: str
    b: str
    seeds: tuple[int, ...] = ()
    only_a: tuple[
        int, ...
    ] = ()  # seeds that the other has not, which are left out
    only_b: tuple[int, ...] = ()
    apart: tuple[Mismatch, ...] = ()
    verdicts: tuple[Verdict, ...] = ()  # over single sets, then over all

    @property
    def overall(self) -> Verdict:
        """The verdict over all opponent sets, or over the only one."""
        return self.verdicts[-1]

    @property
    def each(self) -> tuple[Verdict, ...]:
        """The verdicts on single sets, where there are several."""
        return self.verdicts[:-1]


@dataclass(frozen=True)
class GameComparisons:
    """The comparisons of one game: of its methods with each other, and of each with what else its runs measured."""

    between: tuple[Comparison, ...] = ()
    within: dict[str, tuple[Comparison, ...]] = field(
        default_factory=dict
    )  # by group
    against: str = ""  # what all are held against; empty: every pair
    named: bool = False  # by the reader

    @property
    def comparisons(self) -> Iterable[Comparison]:
        yield from self.between
        for comparisons in self.within.values():
            yield from comparisons


def compare_methods(
    family: Family, baseline: str | None = None
) -> GameComparisons:
    """Verdicts on the pairs of methods of a game, adjusted together; and, for each method, on its own agent against the others that its
    runs measured, adjusted together."""
    groups = [g for g in family.groups if g.measured]
    of_group = {g.name: seeds_of(g, g.method) for g in groups}
    pairs, against = _pairs([g.name for g in groups], baseline)
    between = _judged(
        [_compared(a, of_group[a], b, of_group[b]) for a, b in pairs]
    )
    within = {}
    for group in groups:
        others = [m for m in group.methods if m != group.method]
        if baseline is not None and baseline in others:
            others = [baseline]
        own = of_group[group.name]
        within[group.name] = _judged(
            [
                _compared(group.method, own, m, seeds_of(group, m))
                for m in others
            ]
        )
    return GameComparisons(
        tuple(between),
        {k: tuple(v) for k, v in within.items()},
        against,
        against == baseline,
    )


def _pairs(
    names: Sequence[str], baseline: str | None
) -> tuple[list[tuple[str, str]], str]:
    if baseline is not None and baseline in names:
        return [
            (name, baseline) for name in names if name != baseline
        ], baseline
    if len(names) > MAX_ALL_PAIRS:
        return [(name, names[0]) for name in names[1:]], names[0]
    return list(combinations(names, 2)), ""


def seeds_of(group: RunGroup, method: str) -> list[SeedScores]:
    """What each run measured of `method`, as `compare` takes it."""
    return [
        seed
        for record in group.runs
        if (seed := _seed(record, method)) is not None
    ]


def _seed(record: RunRecord, method: str) -> SeedScores | None:
    cells = {
        against: cell
        for (name, against), cell in record.cells.items()
        if name == method
    }
    if not cells:
        return None
    facts = {
        f"episodes against {name}": len(cell.returns)
        for name, cell in cells.items()
    }
    return SeedScores(
        record.path,
        record.seed,
        {n: c.mean for n, c in cells.items()},
        facts,
        record.env_steps,
    )


def _compared(
    a: str, of_a: list[SeedScores], b: str, of_b: list[SeedScores]
) -> tuple[Comparison, list[PairedScores]]:
    """A comparison without its verdicts, and what they are to be about: on the seeds that both have."""
    first, second = ({s.seed: s for s in seeds} for seeds in (of_a, of_b))
    both = sorted(first.keys() & second.keys())
    only_a, only_b = (
        tuple(sorted(x.keys() - y.keys()))
        for x, y in ((first, second), (second, first))
    )
    found = Comparison(a, b, tuple(both), only_a, only_b)
    if not both:
        return found, []
    reference = first[both[0]]
    differs = [
        d
        for seeds in (first, second)
        for k in both
        for d in mismatches(reference, seeds[k])
    ]
    if differs:
        by_fact = {d.fact: d for d in differs}
        return replace(found, apart=tuple(by_fact.values())), []
    means = [
        {o: np.array([seeds[k].mean[o] for k in both]) for o in reference.mean}
        for seeds in (first, second)
    ]
    return found, pairs_of(a, means[0], b, means[1], OVERALL)


def _judged(
    compared: list[tuple[Comparison, list[PairedScores]]],
) -> list[Comparison]:
    """With their verdicts, all adjusted together."""
    verdicts = iter(
        judge_pairs(
            [p for _, pairs in compared for p in pairs],
            np.random.default_rng(0),
        )
    )
    return [
        replace(c, verdicts=tuple(next(verdicts) for _ in pairs))
        for c, pairs in compared
    ]
