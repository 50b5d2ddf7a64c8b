"""`python -m experiments.endings RUNS --out FILE`: how games of self-play end, by what each player gets, the most first.

RUNS is a folder of the agent's runs, one for each training seed (``runs/hunt4/hunt4/agent``). Where a game pays few different sums this
tells who went together: of four hunters (5, 5, 1, 1) are two on the stag and a hare for either of the rest, (5, 5, .5, .5) the rest on
the same one. Writes FILE, JSON, and prints the table.
"""

import argparse
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

EPISODES, SEED = 400, 70_000


def endings(run: Run) -> Counter[tuple[float, ...]]:
    """How many of `EPISODES` games of self-play end with each set of returns, to the hundredth."""
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


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        prog="python -m experiments.endings",
        description=(__doc__ or "").partition("\n")[0],
    )
    parser.add_argument("runs", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args()
    print(summary(measure(asked.runs, asked.out)))
