"""`python -m benchmarks.goal_pays`: does it pay to know who the others are? One table, from results/shares/*.json alone.

Three agents, alike but for what they know of the other's type (`python -m benchmarks.shares GAME train --kinds goals no_goals`, `judge`):

    no goal     models of the others and a value that tell no players apart; learned from the same games
    inferred    a model of each type, believed by what play has shown
    true goal   the same, told the type (of one who changes: at each step)

Numbers are shares of the exact best reply that is told the type, all by `look_ahead` in the same games; mean over training seeds ± half of
the 95 % interval, and differences over the same seeds. "One of them" is a type drawn anew for each game: regrets and values of the types
above it, weighted alike.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.shares import OUT as SHARES
from benchmarks.timing import over_seeds, table

OUT = Path("results") / "goals"
KNOWN = {"no goal": "not asked", "inferred": "inferred", "true goal": "told"}
"""Columns, and `types` of the rows they show."""


def summary() -> str:
    games = {path.stem: json.loads(path.read_text()) for path in sorted(SHARES.glob("*.json"))}
    rows = [row for name, found in games.items() for row in _rows(name, found)]
    games = {name: found for name, found in games.items() if any(row[0] == name for row in rows)}
    return "\n\n".join(
        [
            "# Does the goal pay?",
            (__doc__ or "").partition("\n\n")[2].strip(),
            *(f"- {name}: `{found['game']}`, {len(found['seeds'])} seeds" for name, found in games.items()),
            table(["game", "the other", *KNOWN, "inferred - no goal", "true goal - inferred"], rows),
            (OUT / "notes.md").read_text().strip() if (OUT / "notes.md").exists() else "",
        ]
    )


def _rows(name: str, found: dict[str, Any]) -> list[list[str]]:
    """A game's rows of the table; none where no runs without goals were judged."""
    told = [row for row in found["rows"] if row["reply"] == "told" and row["planner"] == "look_ahead"]
    by = {(row["against"], row["types"]): row for row in told}
    others = [other for other in dict.fromkeys(row["against"] for row in told) if (other, "not asked") in by]
    plain = [other for other in others if not other.startswith("switching(")]
    if not plain:
        return []
    each = {other: {k: by.get((other, t)) for k, t in KNOWN.items()} for other in others}
    shares = {
        other: {k: np.array(row["share"]) for k, row in known.items() if row} for other, known in each.items()
    }
    worth = np.array([each[other]["no goal"]["best"] for other in plain])  # pyright: ignore[reportOptionalSubscript]
    drawn = {k: np.average([shares[other][k] for other in plain], axis=0, weights=worth) for k in KNOWN}
    changing = [other for other in others if other not in plain]
    lines = {**{o: shares[o] for o in plain}, "one of them": drawn, **{o: shares[o] for o in changing}}
    return [[name, other, *_cells(line)] for other, line in lines.items()]


def _cells(line: dict[str, np.ndarray]) -> list[str]:
    pairs = (("inferred", "no goal"), ("true goal", "inferred"))
    gains = [line[a] - line[b] if a in line and b in line else np.array([]) for a, b in pairs]
    return [over_seeds(x) for x in (*(line.get(k, np.array([])) for k in KNOWN), *gains)]


if __name__ == "__main__":
    OUT.mkdir(parents=True, exist_ok=True)
    (OUT / "README.md").write_text(summary().rstrip() + "\n")
    print(OUT / "README.md")
