"""Steps per second of play with players that are functions of NumPy batches.

The same rule as a scripted player in JAX, as a function that answers with actions, as
one that states its distribution, and as one that draws with `rng` (called for one seat
at a time). Two games: a repeated matrix game, and a grid game in which the rule is
itself work for NumPy. A step is one joint step of one match.
"""

import statistics
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.timing import rate, short
from benchmarks.timing import table as timing_table
from bestreply.games import make_game
from bestreply.players.function import player
from bestreply.simulation.lineup import seat_players
from bestreply.simulation.loop import play

GAMES = {
    "matrix": "matrix(table=prisoners_dilemma, rounds=50)",
    "stag hunt 4x4, 2 hunters": "stag_hunt(hunters=2, stags=1, hares=4)",
}
NATIVE = "scripted, in JAX"


def _actions(obs: np.ndarray, legal: np.ndarray) -> np.ndarray:
    return legal.argmax(1)


def _distribution(obs: np.ndarray, legal: np.ndarray) -> np.ndarray:
    return np.eye(legal.shape[1])[legal.argmax(1)]


def _draws(
    obs: np.ndarray, legal: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    return np.where(legal, rng.random(legal.shape), -1).argmax(1)


def contenders() -> dict[str, Any]:
    """Return the player of the first seat of each contender, by name."""
    return {
        NATIVE: "first_legal(0)",
        "a function": player(_actions),
        "a function with its distribution": player(
            _distribution, distribution=True
        ),
        "a function with rng": player(_draws),
    }


def job(spec: str, first: Any, matches: int) -> Callable[[], float]:
    """Return a job that plays matches beside random players.

    Args:
        spec: the game.
        first: the player of the first seat.
        matches: matches side by side.
    """
    game = make_game(spec)
    players = [first, *["random"] * (game.num_players - 1)]
    lineup = seat_players(game, players, matches, 0)
    return lambda: float(
        play(game, lineup, 0, lean=True, chunk=matches).episodes.length.sum()
    )


def measure(quick: bool) -> dict[str, Any]:
    """Return the rows of the suite.

    Args:
        quick: one short round.
    """
    rounds, matches, seconds = (1, 64, 0.1) if quick else (7, 1024, 1.0)
    rows = {}
    for title, spec in GAMES.items():
        jobs = {
            name: job(spec, first, matches)
            for name, first in contenders().items()
        }
        for one in jobs.values():
            one()  # compiles
        speeds: dict[str, list[float]] = {name: [] for name in jobs}
        for _ in range(rounds):
            for name, one in jobs.items():
                speeds[name].append(rate(one, seconds))
        for name, each in speeds.items():
            native = speeds[NATIVE]
            ratios = [x / y for x, y in zip(each, native, strict=True)]
            rows[f"{title}: {name}"] = {
                "per_second": statistics.median(each),
                "least": min(each),
                "greatest": max(each),
                "ratio": statistics.median(ratios),
                "ratios": ratios,
            }
    return {"games": GAMES, "rounds": rounds, "matches": matches, "rows": rows}


def table(found: dict[str, Any]) -> str:
    """Return the table of the page.

    Args:
        found: what `measure` returned.
    """
    columns = ["", "median", "lowest", "highest", "ratio to JAX (range)"]
    lines = [
        [
            name,
            *(short(row[k]) for k in ("per_second", "least", "greatest")),
            f"{row['ratio']:.2f} ({min(row['ratios']):.2f} to "
            f"{max(row['ratios']):.2f})",
        ]
        for name, row in found["rows"].items()
    ]
    heading = (
        f"Beside random players, {found['matches']:,} matches side by side, "
        f"{found['rounds']} rounds:"
    )
    return "\n".join([heading, "", timing_table(columns, lines)])
