"""Line-ups: which player sits in which seat of each match."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import equinox as eqx
import numpy as np

from bestreply.config import RunConfig
from bestreply.games import make_game
from bestreply.games.base import Game
from bestreply.players.base import Player
from bestreply.players.scripted import Mixture
from bestreply.players.zoo import make_player, standard_players
from bestreply.utils.spec import SELF, Spec, parse_specs


class Lineup(NamedTuple):
    """Who plays `M` matches."""

    pool: tuple[Player, ...]  # distinct players
    seating: np.ndarray  # [M, N] int32, index into the pool

    @property
    def roster(self) -> list[dict[str, Any]]:
        return [{"name": p.name, "version": p.version} for p in self.pool]

    def seats(self) -> tuple[np.ndarray, ...]:
        """For each pool player, [M, m] int32: the seats it holds, padded with N to the most it holds in any match."""
        n = self.seating.shape[1]
        held = []
        for index in range(len(self.pool)):
            mine = self.seating == index
            most = max(int(mine.sum(1).max()), 1)
            order = np.argsort(~mine, axis=1, kind="stable")[:, :most]
            held.append(
                np.where(np.take_along_axis(mine, order, 1), order, n).astype(
                    np.int32
                )
            )
        return tuple(held)


def seat_players(
    game: Game,
    players: Sequence[str | Spec | Player],
    matches: int,
    seed: int,
    *,
    rotate: bool = False,
) -> Lineup:
    """Seats one player (or spec) per seat for `matches` matches; a `Mixture` is drawn anew for every match, from `seed`.

    With `rotate`, match m seats player k at ``(k + m) % N``: everybody sits everywhere in turn.

    Raises ValueError if there is not one player for each seat.
    """
    n = game.num_players
    if isinstance(players, str | Player) or len(players) != n:
        raise ValueError(
            f"{game.name} has {n} seats; got players={players!r}. Expected: one player for each seat"
        )
    if matches < 1:
        raise ValueError(f"{matches} episodes; expected: at least 1")
    rng = np.random.default_rng(seed)
    pool: list[Player] = []
    seating = np.zeros((matches, n), np.int32)
    for k, spec in enumerate(players):
        for turn in range(n if rotate else 1):
            seat, rows = (k + turn) % n, slice(turn, None, n if rotate else 1)
            player = make_player(spec, game, seat)
            parts, weights = (
                (player.players, player.weights)
                if isinstance(player, Mixture)
                else ((player,), (1.0,))
            )
            indices = np.array([find_player(pool, part) for part in parts])
            size = len(seating[rows, seat])
            seating[rows, seat] = rng.choice(
                indices, size=size, p=np.array(weights) / sum(weights)
            )
    return Lineup(tuple(pool), seating)


def find_player(pool: list[Player], player: Player) -> int:
    """The place of `player` in `pool`, added where it is new."""
    for index, known in enumerate(pool):
        if known is player or (
            known.name == player.name and bool(eqx.tree_equal(known, player))
        ):
            return index
    pool.append(player)
    return len(pool) - 1


def fill_seats(game: Game, opponents: str) -> list[Spec]:
    """The other seats' players from one name for all of them, or N-1 names with commas between."""
    specs = list(parse_specs(opponents))
    others = game.num_players - 1
    if len(specs) not in (1, others):
        raise ValueError(
            f"{opponents!r} names {len(specs)} opponents; {game.name} wants 1 (for all other seats) or {others}"
        )
    return specs * others if len(specs) == 1 else specs


def seat_self(others: Sequence[Any], focal: Any) -> list[Any]:
    """`others`, with the focal player wherever one is named `SELF`."""
    return [focal if is_self(other) else other for other in others]


def is_self(other: Any) -> bool:
    return not isinstance(other, Player) and str(other) == SELF


def name_opponents(players: Sequence[Any]) -> str:
    """ "3 nearest_stag", or the names with commas between where they differ."""
    names = [_name(p) for p in players]
    return (
        f"{len(names)} {names[0]}" if len(set(names)) == 1 else ", ".join(names)
    )


def _name(player: Any) -> str:
    return player.name if isinstance(player, Player) else str(player)


def join(lineups: Sequence[Lineup]) -> Lineup:
    """One line-up of all the matches, over one pool: a single compiled program plays them."""
    pool: list[Player] = []
    seatings = []
    for lineup in lineups:
        places = [find_player(pool, player) for player in lineup.pool]
        seatings.append(np.array(places, np.int32)[lineup.seating])
    return Lineup(tuple(pool), np.concatenate(seatings))


def training_players(config: RunConfig) -> tuple[str, ...]:
    """The players that make the data: those of `config.collect`, or the game's standard players."""
    return config.collect.players or standard_players(make_game(config.game))


def drawn_players(config: RunConfig) -> str:
    """The spec of a seat in play for training: one of `training_players`, drawn anew for every episode."""
    return mixture_of(training_players(config))


def mixture_of(names: tuple[str, ...]) -> str:
    """The spec of one of `names`, drawn anew for every episode."""
    return names[0] if len(names) == 1 else f"mixture({', '.join(names)})"
