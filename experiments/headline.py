"""`python -m experiments.headline`: the agent beside every other method.

From results/headline/*.csv alone, which come from

    bestreply sweep results/headline/SETTING.toml                  # for each file there; stopped, the same command goes on
    bestreply results runs/SETTING --out results/headline/SETTING.csv

All methods of a setting learn from the same logged play, or play as many environment steps of their own, and are measured in the same
games. Returns are the focal seat's, undiscounted; mean over training seeds ± half of the 95 % interval. `true_types` is the agent's
planner told who the others are (where that is one of the players it learned from), `uniform_others` the same planner for which any
action of the others is as likely as another. Minutes are those of one core, the median over seeds, measuring included.

Verdicts are what `bestreply compare` says of the agent and one other method: paired by seed, Holm's correction over the opponent sets
and all of them together.
"""

from collections import Counter
from functools import cache
from pathlib import Path

import numpy as np

from benchmarks.timing import over_seeds, table
from bestreply.scores.compare import SeedGroup, compare, read_group
from bestreply.scores.run_table import load_results, methods_in, of_method
from bestreply.scores.statistics import Verdict

OUT = Path("results") / "headline"
FIRST, LAST, ALL = "agent", "random", "all of them"
SAID = {
    "better": "**better**",
    "worse": "**worse**",
    "no_larger": "no larger than",
    "not_enough": "not enough seeds",
}
"""What a verdict is called in the tables."""


def overview(paths: list[Path]) -> str:
    """A line for each setting: the agent beside the method that comes nearest to it in the mean over all opponent sets, and how many of the
    verdicts, of all methods and opponent sets, say what."""
    lines = []
    for path in paths:
        said = verdicts(path)
        nearest, near = min(
            ((name, each[-1]) for name, each in said.items()),
            key=lambda x: x[1].difference,
        )
        count = Counter(v.verdict for each in said.values() for v in each[:-1])
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
            "nearest",
            "the agent less it, all opponent sets",
            *(said.strip("*") for said in SAID.values()),
        ],
        lines,
    )


def setting(path: Path) -> str:
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
            "Share of the best reply's return, which is "
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
            f"The {FIRST} less each other method:",
            table(["less", *sets, ALL], lines),
        ]
    return "\n\n".join(parts)


@cache
def verdicts(path: Path) -> dict[str, list[Verdict]]:
    """Of the agent less each method that was measured against every opponent set: set by set and, last, over all of them."""
    first, *others = _groups(path)
    held = [
        g
        for g in others
        if g.name != LAST and [*g.seeds[0].mean] == [*first.seeds[0].mean]
    ]
    return {g.name: compare([first, g], overall=ALL) for g in held}


@cache
def _groups(path: Path) -> list[SeedGroup]:
    return _in_order(
        [
            read_group(f"{name}={path}:{name}")
            for name in methods_in(load_results(path))
        ]
    )


def _in_order(groups: list[SeedGroup]) -> list[SeedGroup]:
    """The agent, then the best first, the random player last."""

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
    """Median, of what is trained: others are measured beside it."""
    took = [
        r["seconds"]
        for r in of_method(rows, method)
        if r["method"] == FIRST and r["seconds"]
    ]
    return f"{np.median(took) / 60:.1f}" if took else "-"


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
    }.get(v.verdict, "")
    return f"{v.difference:+.2f} [{v.low:.2f}, {v.high:.2f}] {SAID[v.verdict]}{number}"


def _needed(v: Verdict) -> str:
    return (
        "over 10,000" if v.seeds_required is None else f"{v.seeds_required:,}"
    )


def summary() -> str:
    paths = sorted(OUT.glob("*.csv"))
    parts = [
        "# The agent beside every other method",
        (__doc__ or "").partition("\n\n")[2].strip(),
    ]
    parts += ["## At a glance", overview(paths), *map(setting, paths)]
    notes = OUT / "notes.md"
    return (
        "\n\n".join(
            [*parts, notes.read_text() if notes.exists() else ""]
        ).rstrip()
        + "\n"
    )


if __name__ == "__main__":
    (OUT / "README.md").write_text(summary())
    print(OUT / "README.md")
