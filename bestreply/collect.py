"""Play. The only loop over `Game.step`: collection and evaluation both use it.

Who plays is a pool of distinct players and, for every match, the player of each seat. In every match each pool player acts for the
seats it holds and for no others, so one compiled program serves every line-up: a costly planner runs once a step, not once a seat.
"""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import equinox as eqx
import numpy as np

from bestreply.games.base import Game
from bestreply.players.base import Player
from bestreply.simulation.lineup import Lineup, seat_players
from bestreply.simulation.loop import play
from bestreply.types import Episodes
from bestreply.utils.console import fresh_path, meter
from bestreply.utils.spec import Spec

if TYPE_CHECKING:
    from bestreply.data.store import Store


# -- one step of everybody -----------------------------------------------------------------------------------------------------


# -- whole matches -------------------------------------------------------------------------------------------------------------


def collect(
    game: Game,
    players: Sequence[str | Spec | Player],
    episodes: int,
    seed: int,
    *,
    path: str | Path | None = None,
    roster: Sequence[dict[str, Any]] = (),
    rotate: bool = False,
    chunk: int = 1024,
    command: str | None = None,
) -> "Store":
    """Plays `episodes` episodes and logs every step of every seat to a store on disk.

    Args:
        players: one for each seat; a `mixture(...)` is drawn anew for every episode, and the log names the player drawn.
        path: where the store goes, or a store of the same game to append to; by default a new one in ``datasets/``.
        roster: further players (name, version) that later additions to a new store will log.
        rotate: everybody sits everywhere in turn (see `seat_players`).

    Returns:
        The store (`bestreply.data.store.Store`).

    Raises ValueError for an illegal action, or where the store at `path` is of another game or does not know a player.
    """
    lineup = seat_players(game, players, episodes, seed, rotate=rotate)
    path = (
        fresh_path("datasets", game.name.replace(":", "-"))
        if path is None
        else Path(path)
    )
    store = open_log(path, game, lineup.roster, roster)
    with meter("collect", episodes * game.max_steps, "steps") as progress:
        began = time.perf_counter()
        played = play(
            game, lineup, seed, chunk=chunk, progress=progress
        ).episodes
        seconds = time.perf_counter() - began
    store.append(
        named_in(store, lineup, played),
        seed=seed,
        command=command,
        seconds=seconds,
    )
    return store


def open_log(
    path: Path,
    game: Game,
    roster: Sequence[dict[str, Any]],
    later: Sequence[dict[str, Any]] = (),
) -> "Store":
    """The store at `path` for play of `roster`: a new one, which also knows the players `later`, or the one that is there.

    Raises ValueError where that one is of another game or does not know a player.
    """
    from bestreply.data.store import create_store, open_store

    there = (
        open_store(path).roster if (path / "manifest.json").exists() else None
    )
    known = (
        [*roster, *(p for p in later if p not in roster)]
        if there is None
        else there
    )
    missing = [p for p in roster if p not in known]
    if missing:
        raise ValueError(
            f"{path} logs play of {known}, not of {missing}; expected: a store begun with these players, or a new one"
        )
    return create_store(path, game, known, append=True)


def named_in(store: "Store", lineup: Lineup, played: Episodes) -> Episodes:
    """`played` with its players counted as the store's roster counts them."""
    names = np.array([store.roster.index(p) for p in lineup.roster], np.int32)
    return eqx.tree_at(lambda e: e.player, played, names[played.player])
