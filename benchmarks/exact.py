"""Layouts per second of the exact solver of grid games, after compilation, and its memory.

Each call solves another layout: its value (`GridReply.start_value`), or for "every Q*"
all tables (`GridReply.tables`). Games are 4x4 with 15 steps unless another board is
named. `one at a time` averages over opponents' moves one player at a time
(`bestreply.exact.factored_backup`); `jointly` over their joint actions, as for players
that depend on each other (`bestreply.exact.joint_backup`). Both must first give the
same tables.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import cycle
from typing import Any

import numpy as np

from benchmarks.timing import Job, take_turns
from bestreply.exact.grid import Backup, GridReply, solve_grid
from bestreply.exact.grid_players import draw_layouts
from bestreply.games import make_game
from bestreply.games.grid import GridGame
from bestreply.players.base import ScriptedPlayer
from bestreply.players.zoo import make_player

FOUR = "stag_hunt(height=4, width=4, hunters=4, stags=1, hares=4, max_steps=15)"
GAMES = {  # name -> game, who each other is, whether the joint draws fit in memory
    "stag hunt 5x5, 20 steps, 1 nearest_stag": (
        "stag_hunt(height=5, width=5, hunters=2, stags=1, hares=4, max_steps=20)",
        "nearest_stag",
        True,
    ),
    "stag hunt, 3 nearest_stag": (FOUR, "nearest_stag", True),
    "stag hunt, 3 nearest_hare": (FOUR, "nearest_hare", False),
    "stag hunt, 3 random": (FOUR, "random", False),
    "stag hunt, 3 mixtures of 3": (
        FOUR,
        "mixture(nearest_stag, nearest_hare, random)",
        False,
    ),
    "snowdrift, 1 nearest_drift": (
        "snowdrift(players=2)",
        "nearest_drift",
        True,
    ),
    "snowdrift, 3 nearest_drift": (
        "snowdrift(players=4)",
        "nearest_drift",
        False,
    ),
}
TABLES = ("stag hunt, 3 nearest_stag", "stag hunt, 3 random")
TOLERANCE = 1e-4
LAYOUTS = 8


def reply_to(
    spec: str, other: str, backup: Backup = Backup.FACTORED
) -> GridReply:
    game = make_game(spec)
    if not isinstance(game, GridGame):
        raise TypeError(f"{spec}; expected: a grid game")
    players = [make_player(other, game) for _ in range(game.num_players - 1)]
    scripted = [p for p in players if isinstance(p, ScriptedPlayer)]
    return replace(
        solve_grid(game, scripted, layouts=1), backup=backup, stored={}
    )


def job_of(name: str, backup: Backup, tables: bool) -> Job:
    spec, other, _ = GAMES[name]
    reply = reply_to(spec, other, backup)
    layouts = cycle(draw_layouts(reply.game, LAYOUTS, seed=1)[0])

    def job() -> float:
        if tables:
            replace(reply, stored={}).tables(next(layouts))
        else:
            reply.start_value([next(layouts)])
        return 1

    return job


def agreement() -> float:
    """Return the largest difference of Q* between the two backups; raise above `TOLERANCE`."""
    apart = 0.0
    for spec, other in (
        (
            "stag_hunt(height=3, width=3, hunters=3, stags=1, hares=2, max_steps=8)",
            "nearest_stag",
        ),
        (
            "snowdrift(height=3, width=3, players=2, drifts=4, max_steps=8)",
            "noisy(nearest_drift, 0.2)",
        ),
    ):
        reply = reply_to(spec, other)
        layout = draw_layouts(reply.game, 1)[0][0]
        one, two = (
            reply.tables(layout),
            replace(reply, backup=Backup.JOINT, stored={}).tables(layout),
        )
        legal = np.isfinite(one)
        apart = max(apart, float(np.abs(one[legal] - two[legal]).max()))
    if not apart <= TOLERANCE:
        raise AssertionError(
            f"tables apart by {apart:.2e}; expected: at most {TOLERANCE}"
        )
    return apart


def contenders(quick: bool = False) -> dict[str, Callable[[], Job]]:
    made: dict[str, Callable[[], Job]] = {}
    for name, (_, _, jointly) in list(GAMES.items())[: 1 if quick else None]:
        made[f"{name}, one at a time"] = partial(
            job_of, name, Backup.FACTORED, False
        )
        if jointly:
            made[f"{name}, jointly"] = partial(
                job_of, name, Backup.JOINT, False
            )
        if name in TABLES:
            made[f"{name}, every Q*, one at a time"] = partial(
                job_of, name, Backup.FACTORED, True
            )
    return made


def measure(quick: bool) -> dict[str, Any]:
    apart = agreement()
    jobs = {name: make() for name, make in contenders(quick).items()}
    rates = take_turns(
        jobs, rounds=2 if quick else 5, seconds=0.1 if quick else 1.0
    )
    rows = {}
    for name, figures in rates.items():
        ours = rates[f"{name.rpartition(', ')[0]}, one at a time"]["per_second"]
        rows[name] = {**figures, "ours_to_this": ours / figures["per_second"]}
    return {"unit": "layouts a second", "scores_agree_to": apart, "rows": rows}
