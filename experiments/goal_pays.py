"""Measure the gain from inferring opponents' types, and from being given them, from
results/shares/*.json.

Three agents that differ in their knowledge of the opponent's type (`python -m
experiments shares GAME train --kinds goals no_goals`, then `judge`):

- no types: the opponent model and the value do not distinguish players. Trained on the
  same games.
- type inferred: a model of each type, weighted by the belief from play.
- type given: the same with the true type given, at each step for an opponent that
  changes.

Numbers are fractions of an exact best reply, by `expectimax` in the same games: mean
over training seeds ± half of the 95 % interval. Differences are over the same seeds.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.timing import over_seeds, table
from experiments._page import details, join_page, make_parser, write_page
from experiments.shares import OUT as SHARES

OUT = Path("results") / "goals"
TYPES_OF = {
    "no types": "none",
    "type inferred": "inferred",
    "type given": "given",
}
"""`types` of the rows of results/shares/ that each column shows."""
REFERENCES = {
    "given": 'Relative to the best reply that is given the type. No policy earns more. "One of them": a type drawn for each game, '
    "from the regrets and values of the rows above.",
    "inferred": "Relative to the best reply that knows the prior and the change rate, and infers the type. No policy with the same "
    "information earns more.",
}

Line = dict[str, np.ndarray]
"""Fractions [seeds] of each measured agent of `TYPES_OF`."""


def lines(found: dict[str, Any], reply: str) -> Iterator[tuple[str, Line]]:
    """Yield each opponent and the fractions against it, where a run without types was measured.

    Args:
        found: a file of results/shares/.
        reply: the best reply of reference, `given` or `inferred`.
    """
    rows = [
        row
        for row in found["rows"]
        if row["reply"] == reply and row["planner"] == "expectimax"
    ]
    fixed = []
    for opponent in dict.fromkeys(row["against"] for row in rows):
        by = {row["types"]: row for row in rows if row["against"] == opponent}
        line = {
            name: np.array(by[types]["share"])
            for name, types in TYPES_OF.items()
            if types in by
        }
        if "no types" not in line:
            continue
        if reply == "given" and opponent.startswith("switching(") and fixed:
            yield "one of them", _average(fixed)
            fixed = []
        elif reply == "given":
            fixed.append((by["none"]["best"], line))
        yield opponent, line
    if fixed:
        yield "one of them", _average(fixed)


def _average(fixed: Sequence[tuple[float, Line]]) -> Line:
    """Return the fractions for equally frequent types, from values and fractions of each."""
    values = [value for value, _ in fixed]
    names = [n for n in TYPES_OF if all(n in line for _, line in fixed)]
    return {
        name: np.average(
            [line[name] for _, line in fixed], axis=0, weights=values
        )
        for name in names
    }


def summary() -> str:
    """Return the page of results/goals/, from results/shares/*.json."""
    games = {
        path.stem: json.loads(path.read_text())
        for path in sorted(SHARES.glob("*.json"))
    }
    shown = [
        name for name, found in games.items() if any(lines(found, "given"))
    ]
    games_shown = [
        f"- {name}: `{games[name]['game']}`, {len(games[name]['seeds'])} seeds"
        for name in shown
    ]
    parts = ["# The gain from knowing types", details(__doc__)]
    parts.append("\n".join(games_shown))
    for reply, words in REFERENCES.items():
        columns = [n for n in TYPES_OF if n != "type given" or reply == "given"]
        gains = [*zip(columns[1:], columns, strict=False)]
        differences = [f"{more} - {less}" for more, less in gains]
        rows = [
            [
                name,
                opponent,
                *(_cell(line, column) for column in columns),
                *(_cell(line, *pair) for pair in gains),
            ]
            for name in shown
            for opponent, line in lines(games[name], reply)
        ]
        head = ["game", "opponent", *columns, *differences]
        parts += [words, table(head, rows)]
    return join_page(parts, OUT)


def _cell(line: Line, name: str, less: str | None = None) -> str:
    if name not in line or (less is not None and less not in line):
        return "-"
    return over_seeds(line[name] if less is None else line[name] - line[less])


def main() -> None:
    make_parser("goal_pays", __doc__).parse_args()
    write_page(summary(), OUT)


if __name__ == "__main__":
    main()
