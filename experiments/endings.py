"""Count how games of self-play end, by the returns of the players in decreasing order.

RUNS is a folder with a run for each training seed (``runs/hunt4/hunt4/agent``). In a
game with few different returns, they show the cooperation: with four hunters (5, 5, 1,
1) is two on the stag and one on each of two hares; in (5, 5, .5, .5) two share a hare.
Writes FILE (JSON) and prints the table.
"""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.runs import runs_in
from benchmarks.timing import table
from bestreply.run import Run
from bestreply.simulation.lineup import seat_players
from bestreply.simulation.loop import PLANNING_CHUNK, play
from bestreply.utils.files import write_json
from bestreply.utils.provenance import provenance
from experiments._page import make_parser

EPISODES, SEED = 400, 70_000


def endings(run: Run) -> Counter[tuple[float, ...]]:
    """Return the number of self-play games, of `EPISODES`, with each tuple of returns, to the hundredth."""
    agent = run.agent()
    lineup = seat_players(
        run.game, [agent] * run.game.num_players, EPISODES, SEED
    )
    reward = play(run.game, lineup, SEED, chunk=PLANNING_CHUNK).episodes.reward
    returns = -np.sort(-np.asarray(reward).sum(1), axis=1)  # [E, N]
    return Counter(
        tuple(row) for row in np.round(returns.astype(float), 2).tolist()
    )


def measure(folder: Path, out: Path) -> dict[str, Any]:
    """Count the endings of each run, write the file and return its content."""
    runs = runs_in(folder)
    counted = [endings(run) for run in runs]
    seen = sorted(
        set().union(*counted),
        key=lambda returns: -sum(each[returns] for each in counted),
    )
    found = {
        "game": runs[0].config.game,
        "seeds": [run.config.seed for run in runs],
        "episodes": EPISODES,
        "endings": [
            {"returns": returns, "games": [each[returns] for each in counted]}
            for returns in seen
        ],
        "provenance": provenance(SEED),
    }
    write_json(out, found)
    return json.loads(out.read_text())


def summary(found: dict[str, Any], most: int = 12) -> str:
    """Return a table of the `most` frequent endings."""
    games = found["episodes"] * len(found["seeds"])
    lines = [
        [
            ", ".join(f"{r:g}" for r in row["returns"]),
            f"{sum(row['returns']):.2f}",
            f"{sum(row['games']) / games:.3f}",
        ]
        for row in found["endings"][:most]
    ]
    return table(["returns", "sum", "share of games"], lines)


def main() -> None:
    parser = make_parser("endings", __doc__)
    parser.add_argument("runs", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    print(summary(measure(arguments.runs, arguments.out)))


if __name__ == "__main__":
    main()
