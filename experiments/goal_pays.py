"""`python -m experiments.goal_pays`: does it pay to know who the others are? From results/shares/*.json alone.

Three agents, alike but for what they know of the other's type (`python -m experiments.shares GAME train --kinds goals no_goals`, `judge`):

    no goal     models of the others and a value that tell no players apart; learned from the same games
    inferred    a model of each type, believed by what play has shown
    true goal   the same, told the type (of one who changes: at each step)

Numbers are shares of an exact best reply, all by `expectimax` in the same games; mean over training seeds ± half of the 95 % interval, and
differences over the same seeds.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.timing import over_seeds, table
from experiments.shares import OUT as SHARES

OUT = Path("results") / "goals"
KNOWN = {"no goal": "not asked", "inferred": "inferred", "true goal": "told"}
"""Columns, and `types` of the rows they show."""
REPLIES = {
    "told": "Of the exact reply that is told the type: nobody can have more. One of them: a type drawn anew for each game, regrets and "
    "values of the types above it taken together.",
    "believed": "Of the exact reply that knows the prior and how a change comes, and believes what play has shown: nobody can have more "
    "who is told no more.",
}

Line = dict[str, np.ndarray]
"""Shares [seeds] of the agents of `KNOWN` that were judged."""


def lines(found: dict[str, Any], reply: str) -> Iterator[tuple[str, Line]]:
    """Who the other is, and what each agent has of `reply` against it; nothing where no runs without goals were judged."""
    rows = [
        row
        for row in found["rows"]
        if row["reply"] == reply and row["planner"] == "expectimax"
    ]
    plain = []
    for other in dict.fromkeys(row["against"] for row in rows):
        by = {row["types"]: row for row in rows if row["against"] == other}
        line = {
            name: np.array(by[types]["share"])
            for name, types in KNOWN.items()
            if types in by
        }
        if "no goal" not in line:
            continue
        if reply == "told" and other.startswith("switching(") and plain:
            yield "one of them", _together(plain)
            plain = []
        elif reply == "told":
            plain.append((by["not asked"]["best"], line))
        yield other, line
    if plain:
        yield "one of them", _together(plain)


def _together(plain: Sequence[tuple[float, Line]]) -> Line:
    """Types that are met alike often, of the values [types] and shares given."""
    worth = [value for value, _ in plain]
    known = [name for name in KNOWN if all(name in line for _, line in plain)]
    return {
        name: np.average(
            [line[name] for _, line in plain], axis=0, weights=worth
        )
        for name in known
    }


def summary() -> str:
    games = {
        path.stem: json.loads(path.read_text())
        for path in sorted(SHARES.glob("*.json"))
    }
    parts = [
        "# Does the goal pay?",
        (__doc__ or "").partition("\n\n")[2].strip(),
    ]
    shown = [name for name, found in games.items() if any(lines(found, "told"))]
    parts.append(
        "\n".join(
            f"- {name}: `{games[name]['game']}`, {len(games[name]['seeds'])} seeds"
            for name in shown
        )
    )
    for reply, words in REPLIES.items():
        columns = [
            name for name in KNOWN if name != "true goal" or reply == "told"
        ]
        gains = [*zip(columns[1:], columns, strict=False)]
        head = [
            "game",
            "the other",
            *columns,
            *(f"{more} - {less}" for more, less in gains),
        ]
        rows = [
            [
                name,
                other,
                *(_cell(line, c) for c in columns),
                *(_cell(line, *pair) for pair in gains),
            ]
            for name in shown
            for other, line in lines(games[name], reply)
        ]
        parts += [words, table(head, rows)]
    notes = OUT / "notes.md"
    return (
        "\n\n".join(
            [*parts, notes.read_text() if notes.exists() else ""]
        ).rstrip()
        + "\n"
    )


def _cell(line: Line, name: str, less: str | None = None) -> str:
    if name not in line or (less is not None and less not in line):
        return "-"
    return over_seeds(line[name] if less is None else line[name] - line[less])


if __name__ == "__main__":
    OUT.mkdir(parents=True, exist_ok=True)
    (OUT / "README.md").write_text(summary())
    print(OUT / "README.md")
