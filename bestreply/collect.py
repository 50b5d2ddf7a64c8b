"""Collect: play episodes and log every step to a dataset on disk."""

import contextlib
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import equinox as eqx
import numpy as np

from bestreply.games import make_game
from bestreply.games.base import Game
from bestreply.games.sizes import checked_episodes
from bestreply.players.base import Player
from bestreply.players.callback import PlayerFunction
from bestreply.players.function import FunctionPlayer, FunctionPolicy
from bestreply.simulation.lineup import Lineup, seat_players
from bestreply.simulation.loop import play_pieces
from bestreply.types import Episodes
from bestreply.utils.console import meter
from bestreply.utils.files import locked, remove
from bestreply.utils.output_folders import output_folder
from bestreply.utils.seeds import checked_seed
from bestreply.utils.spec import Spec

if TYPE_CHECKING:
    from bestreply.data.store import Store

Roster = Sequence[dict[str, str | int]]
"""Name and version of each player of a dataset."""


def collect(
    game: Game | str,
    players: Sequence[str | Spec | Player | PlayerFunction],
    episodes: int,
    seed: int,
    *,
    path: str | Path | None = None,
    append: bool = False,
    roster: Roster = (),
    rotate: bool = False,
    chunk: int = 1024,
    command: str | None = None,
) -> "Store":
    """Play episodes and log every step of every seat to a store on disk.

    Args:
        game: the game, or its name.
        players: one for each seat: a player, its name or a plain function; a
            ``mixture(...)`` is resampled for every episode, and the log names the
            sampled player.
        episodes: the number of episodes.
        seed: seed of line-up and play.
        path: folder of the store; by default a new one in ``datasets/``.
        append: add to the store at `path`, of the same game, if there is one.
        roster: further players (name, version) that later additions may log.
        rotate: rotate the players over the seats (see `seat_players`).
        chunk: episodes played in parallel.
        command: the command line to record with the data.

    Returns:
        The store (`bestreply.data.store.Store`).

    Raises:
        FileExistsError: `path` holds episodes, and `append` is not set.
        ValueError: for a wrong number of episodes or an illegal action, or if the store at `path` belongs to
            another game, does not list a player or has episodes of this seed; or
            `append` is given without a path.
    """
    seed, game = checked_seed(seed), make_game(game)
    episodes = checked_episodes(episodes, game.num_players)
    lineup = seat_players(game, players, episodes, seed, rotate=rotate)
    _check_names(lineup)
    continues = "append" if append else ""
    folder = output_folder(path, "datasets", game.name, continues=continues)
    with open_log(folder, game, lineup.roster, roster, append=append) as store:
        store.check_seed(seed, episodes)
        with (
            meter("collect", episodes * game.max_steps, "steps") as progress,
            store.new_part(episodes, seed=seed, command=command) as part,
        ):
            pieces = play_pieces(
                game, lineup, seed, chunk=chunk, progress=progress
            )
            part.seconds = 0.0
            began = time.perf_counter()
            for played in pieces:
                part.seconds += time.perf_counter() - began  # of play alone
                part.add(named_in(store, lineup, played.episodes))
                began = time.perf_counter()
    return store


def _check_names(lineup: Lineup) -> None:
    """Refuse different functions of one name: a log could not tell them from each other.

    Players of one spec may differ by seat; a log names them by the spec.
    """
    kinds = FunctionPlayer, FunctionPolicy
    functions = [
        p for p in lineup.pool if isinstance(p, kinds) and ":" not in p.name
    ]
    names = [(p.name, p.version) for p in functions]
    for name, version in names:
        if names.count((name, version)) > 1:
            raise ValueError(
                f"players: two different functions are named {name!r}, version "
                f"{version}: expected different names: br.player(function, name=...)"
            )


@contextlib.contextmanager
def open_log(
    path: Path,
    game: Game,
    roster: Roster,
    later: Roster = (),
    *,
    append: bool,
) -> Iterator["Store"]:
    """Give a store to write, and keep other processes from writing to it.

    A new store to which nothing was appended is removed at the end.

    Args:
        path: its folder; it is made if it is missing.
        game: the game.
        roster: the players to log now.
        later: further players of a new store.
        append: open the store at `path`, if there is one.

    Returns:
        A context manager that gives the store.

    Raises:
        FileExistsError: `path` holds episodes, and `append` is not set.
        ValueError: if the store belongs to another game or does not list a player.
    """
    from bestreply.data.store import create_store, open_store

    path.mkdir(parents=True, exist_ok=True)
    manifest = path / "manifest.json"
    with locked(path):
        is_new = not manifest.exists()
        if is_new:
            known = [*roster, *(p for p in later if p not in roster)]
        else:
            existing = open_store(path)
            known = existing.roster
            if existing.manifest.parts and not append:
                raise FileExistsError(
                    f"path={path}: expected a path without a dataset; it has "
                    f"{existing.manifest.episodes} episodes. Give another path, or add "
                    "to them with --append (append=True)"
                )
        missing = [p for p in roster if p not in known]
        if missing:
            raise ValueError(
                f"path={path}: expected a store that lists the players {missing}, or "
                f"a new path; this store lists {known}"
            )
        try:
            yield create_store(path, game, known, append=True)
        finally:
            if (
                is_new
                and manifest.exists()
                and not open_store(path).manifest.parts
            ):
                remove(manifest)
                with contextlib.suppress(OSError):  # it holds other files
                    path.rmdir()


def named_in(store: "Store", lineup: Lineup, played: Episodes) -> Episodes:
    """Return episodes with player indices into the roster of a store.

    Args:
        store: the store; it lists all players of the line-up.
        lineup: the line-up that `played` indexes.
        played: the episodes.

    Returns:
        The same episodes with other player indices.
    """
    indices = [store.roster.index(p) for p in lineup.roster]
    player = np.array(indices, np.int32)[played.player]
    return eqx.tree_at(lambda e: e.player, played, player)
