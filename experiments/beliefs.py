"""Measure how soon opponent models identify the types of opponents, on new play of the
same players.

Writes results/beliefs/NAME.json and prints a table.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from benchmarks.timing import table
from bestreply import load_run
from bestreply.analysis.belief_calibration import belief_table
from bestreply.config import RunConfig
from bestreply.games.base import Game
from bestreply.opponents.filtering import follow_beliefs
from bestreply.simulation.lineup import drawn_players, seat_players
from bestreply.simulation.loop import play
from bestreply.types import Episodes
from bestreply.utils.files import write_json
from bestreply.utils.provenance import provenance
from experiments._page import make_parser

OUT = Path("results") / "beliefs"
EPISODES, SEED = 2000, 20_000
"""Of the new play."""


def fresh_play(
    config: RunConfig,
    game: Game,
    roster: Sequence[dict[str, Any]],
    episodes: int,
    seed: int,
) -> Episodes:
    """Return play of the players of `config`, numbered as in the roster of a run.

    Args:
        config: configuration of the run.
        game: its game.
        roster: its players.
        episodes: number of episodes.
        seed: of the play.
    """
    lineup = seat_players(
        game, [drawn_players(config)] * game.num_players, episodes, seed
    )
    played = play(game, lineup, seed).episodes
    names = [entry["name"] for entry in roster]
    numbers = np.array(
        [names.index(entry["name"]) for entry in lineup.roster], np.int32
    )
    return dataclasses.replace(played, player=numbers[played.player])


def measure(path: Path) -> dict[str, Any]:
    """Return the belief table of one run on new play."""
    run = load_run(path)
    played = fresh_play(run.config, run.game, run.roster, EPISODES, SEED)
    beliefs = follow_beliefs(run.train_state.opponents, jax.device_put(played))
    found = belief_table(run.config, run.train_state.opponents, played, beliefs)
    assert found is not None
    return {"seed": run.config.seed, "game": run.config.game, **found}


def summary(rows: list[dict[str, Any]]) -> str:
    """Return the table of results/beliefs/: means and lowest values over seeds."""
    lines = []
    for kind in ("moves", "informative"):
        for k in range(min(len(row[kind]) for row in rows)):
            each = {
                n: np.array([row[kind][k][n] for row in rows])
                for n in ("accuracy", "share", "bits")
            }
            lines.append(
                [
                    kind,
                    str(rows[0][kind][k]["moves"]),
                    *(f"{v.mean():.3f} ({v.min():.3f})" for v in each.values()),
                ]
            )
    ece = np.array([row["ece"] for row in rows])
    shown = table(
        [
            "counted",
            "moves",
            "accuracy (lowest seed)",
            "P(true type)",
            "information, bits",
        ],
        lines,
    )
    return f"{shown}\n\nExpected calibration error: {ece.mean():.3f}, at most {ece.max():.3f}; {len(rows)} seeds."


def main() -> None:
    parser = make_parser("beliefs", __doc__)
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--name", default="stay")
    arguments = parser.parse_args()
    OUT.mkdir(parents=True, exist_ok=True)
    rows = [measure(path) for path in arguments.runs]
    write_json(
        OUT / f"{arguments.name}.json",
        {"rows": rows, "provenance": provenance(0)},
    )
    print(summary(rows))


if __name__ == "__main__":
    main()
