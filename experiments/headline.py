"""Compare the agent with every other method, from the tables of sweeps alone.

The tables results/headline/*.csv come from

    bestreply sweep results/headline/SETTING.toml                  # for each setting; an interrupted sweep continues
    bestreply results runs/SETTING --out results/headline/SETTING.csv

All methods of a setting learn from the same logged play, or from as many environment
steps of their own, and are measured in the same games. Returns are those of the focal
seat, undiscounted: mean over training seeds ± half of the 95 % interval. `true_types`
is the agent's planner with the opponents' types given (for players of the data),
`uniform_others` the same planner with an opponent model that predicts every legal
action with equal probability. Minutes are of one core: median over seeds, evaluation
included.

Verdicts are those of `bestreply compare` for the agent and one other method: paired by
seed, Holm's correction over the opponent sets and their mean.
"""

from collections import Counter
from functools import cache
from pathlib import Path

import numpy as np

from benchmarks.timing import over_seeds, table
from bestreply.scores.compare import SeedGroup, compare, read_group
from bestreply.scores.result_files import load_results
from bestreply.scores.run_table import methods_in, of_method
from bestreply.scores.statistics import Verdict
from experiments._page import details, join_page, make_parser, write_page

OUT = Path("results") / "headline"
FIRST, LAST, ALL = "agent", "random", "mean of all"
SAID = {
    "better": "**better**",
    "worse": "**worse**",
    "no_larger": "at most",
    "not_enough": "too few seeds",
}
"""Words for a verdict in the tables."""
COUNTED = ("better", "worse", "at most a bound", "too few seeds")
"""Headings of the counts of verdicts, in the order of `SAID`."""


def overview(paths: list[Path]) -> str:
    """Return a row for each setting: the strongest competitor by mean return, and the counts of all verdicts."""
    lines = []
    for path in paths:
        said = verdicts(path)
        nearest, near = min(
            ((name, each[-1]) for name, each in said.items()),
            key=lambda x: x[1].difference,
        )
        count = Counter(_kind(v) for each in said.values() for v in each[:-1])
        seeds = len(_groups(path)[0].seeds)
        lines.append(
            [
                path.stem,
                seeds,
                nearest,
                _said(near),
                *(count[verdict] for verdict in SAID),
            ]
        )
    return table(
        [
            "setting",
            "seeds",
            "strongest competitor",
            "agent minus competitor, mean of all sets [95 %]",
            *COUNTED,
        ],
        lines,
    )


def setting(path: Path) -> str:
    """Return the tables of one setting: returns, shares of the best reply, differences."""
    rows, groups = load_results(path), _groups(path)
    first = groups[0]
    sets, steps = [*first.seeds[0].mean], [row["env_steps"] for row in rows]
    parts = [
        f"## {path.stem}: `{rows[0]['game']}`",
        f"Training seeds: {len(first.seeds)}; {min(steps):,} to {max(steps):,} environment steps each, {rows[0]['episodes']} games a cell "
        "and seed.",
        table(
            ["method", *sets, "minutes a seed"],
            [
                [
                    g.name,
                    *_cells(rows, g.name, sets, "mean", 2),
                    _minutes(rows, g.name),
                ]
                for g in groups
            ],
        ),
    ]
    references = {
        row["opponents"]: row["reference"] for row in rows if row["reference"]
    }
    if references:
        parts += [
            "Return as a fraction of the best reply's, which is "
            + _kinds(references)
            + ":",
            table(
                ["method", *sets],
                [
                    [g.name, *_cells(rows, g.name, sets, "share", 3)]
                    for g in groups
                ],
            ),
        ]
    if len(first.seeds) > 1:
        lines = [
            [name, *map(_said, each)] for name, each in verdicts(path).items()
        ]
        parts += [
            f"Return of the {FIRST} minus that of each other method, with 95 % intervals:",
            table(["minus", *sets, ALL], lines),
        ]
    return "\n\n".join(parts)


@cache
def verdicts(path: Path) -> dict[str, list[Verdict]]:
    """Return, for each method measured against all sets, the verdicts on the agent minus it; the mean over sets last."""
    first, *others = _groups(path)
    complete = [
        g
        for g in others
        if g.name != LAST and [*g.seeds[0].mean] == [*first.seeds[0].mean]
    ]
    return {g.name: compare([first, g], overall=ALL) for g in complete}


@cache
def _groups(path: Path) -> list[SeedGroup]:
    return _in_order(
        [
            read_group(f"{name}={path}:{name}")
            for name in methods_in(load_results(path))
        ]
    )


def _in_order(groups: list[SeedGroup]) -> list[SeedGroup]:
    """Return the groups by decreasing mean return, the agent first and the random player last."""

    def place(group: SeedGroup) -> tuple[bool, bool, float]:
        mean = np.mean([np.mean([*seed.mean.values()]) for seed in group.seeds])
        return group.name != FIRST, group.name == LAST, -float(mean)

    return sorted(groups, key=place)


def _cells(
    rows: list[dict], method: str, sets: list[str], column: str, digits: int
) -> list[str]:
    of = of_method(rows, method)
    return [
        over_seeds([r[column] for r in of if r["opponents"] == name], digits)
        for name in sets
    ]


def _minutes(rows: list[dict], method: str) -> str:
    """Return the median minutes of a trained method; the rest are measured in its runs."""
    seconds = [
        r["seconds"]
        for r in of_method(rows, method)
        if r["method"] == FIRST and r["seconds"]
    ]
    return f"{np.median(seconds) / 60:.1f}" if seconds else "-"


def _kinds(references: dict[str, str]) -> str:
    kinds = {
        kind: [n for n, k in references.items() if k == kind]
        for kind in references.values()
    }
    return ", ".join(
        f"{kind} against {' and '.join(names)}" for kind, names in kinds.items()
    )


def _said(v: Verdict) -> str:
    number = {
        "no_larger": f" {v.bound:.2f}",
        "not_enough": f", {_needed(v)} needed",
    }.get(_kind(v), "")
    return f"{v.difference:+.2f} [{v.low:.2f}, {v.high:.2f}] {SAID[_kind(v)]}{number}"


def _kind(v: Verdict) -> str:
    """Return the verdict; a tie is a difference of at most 0."""
    return "no_larger" if v.verdict == "tie" else v.verdict


def _needed(v: Verdict) -> str:
    return (
        "over 10,000" if v.seeds_required is None else f"{v.seeds_required:,}"
    )


def summary() -> str:
    """Return the page of results/headline/, from its tables and notes."""
    paths = sorted(OUT.glob("*.csv"))
    parts = ["# The agent compared with other methods", details(__doc__)]
    parts += ["## Overview", overview(paths), *map(setting, paths)]
    return join_page(parts, OUT)


def main() -> None:
    make_parser("headline", __doc__).parse_args()
    write_page(summary(), OUT)


if __name__ == "__main__":
    main()
