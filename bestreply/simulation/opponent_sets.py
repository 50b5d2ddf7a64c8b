"""Opponent sets of an evaluation, one for each role of the measured player."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from bestreply.games.base import Game
from bestreply.games.seats import role_names
from bestreply.players.base import Player
from bestreply.simulation.lineup import (
    Lineup,
    distinct_sets,
    fill_seats,
    is_self,
    join,
    name_opponents,
    player_name,
    players_by_role,
    seat_players,
    seat_self,
)
from bestreply.utils.seeds import derived_seed
from bestreply.utils.spec import Spec, parse_roles

Opponents = Sequence[str | Spec | Player]
ByRole = Mapping[str, str | Spec | Player]


class OpponentSet(NamedTuple):
    """The opponents of a measured player, in each seat that it takes in turn."""

    text: str  # as typed
    name: str
    """In scores: ``3 lazy``; in a game with several roles ``adversary | 3 lazy``."""
    seats: tuple[int, ...]
    """Seats of the measured player, in turn: all, or those of one role."""
    others: tuple[Opponents, ...]
    """For each of `seats`, the N-1 other players in the order of their seats."""

    @property
    def self_play(self) -> bool:
        """Whether all opponents are the measured player itself."""
        return bool(self.others[0]) and all(map(is_self, self.others[0]))


def opponent_sets(game: Game, opponents: Sequence[str]) -> list[OpponentSet]:
    """Return the opponent sets of an evaluation, of equal ones the first.

    In a game with several roles, every text gives a set for each role that is measured,
    all sets of one role together.

    Args:
        game: the game, of N seats.
        opponents: opponent sets, as `fill_seats` reads them.

    Returns:
        The sets.

    Raises:
        ValueError: if a set names another number of opponents or an unknown player.
    """
    sets = []
    for text in distinct_sets(game, opponents):
        around = [
            fill_seats(game, text, seat) for seat in range(game.num_players)
        ]
        roles = parse_roles(text)
        label = ", ".join(f"{role}={spec}" for role, spec in roles.items())
        if not roles or len(role_names(game)) == 1:
            label = name_opponents(around[0])
        sets.append((label, text, around))
    return [
        _of_role(game, role, *of_set)
        for role in role_names(game)
        for of_set in sets
    ]


def sets_at(
    game: Game, opponents: Sequence[str], seat: int
) -> dict[str, list[Spec]]:
    """Return the opponents of a player at one seat.

    Args:
        game: the game, of N seats.
        opponents: opponent sets, as `fill_seats` reads them.
        seat: seat of the player.

    Returns:
        By name of the set the N-1 other players, in the order of their seats.

    Raises:
        ValueError: if a set names another number of opponents or an unknown player.
    """
    if len(role_names(game)) == 1:
        texts = distinct_sets(game, opponents)
        return {name_opponents(others): others for others in texts.values()}
    found = {}
    for of_role in opponent_sets(game, opponents):
        if seat in of_role.seats:
            others: Any = of_role.others[of_role.seats.index(seat)]
            found[of_role.name] = others
    return found


def opponents_around(
    game: Game, opponents: Opponents | ByRole, name: str | None = None
) -> list[OpponentSet]:
    """Return an opponent set of players, for each role that is measured.

    Args:
        game: the game, of N seats.
        opponents: N-1 players or specs, of the seats after the measured player's; or
            one for each role.
        name: name of the set; by default the opponents' names.

    Returns:
        The sets.

    Raises:
        ValueError: roles that the game does not have, or not all of them.
    """
    n = game.num_players
    if isinstance(opponents, Mapping):
        players = players_by_role(game, opponents)
        around = [[*players[s + 1 :], *players[:s]] for s in range(n)]
        named = ", ".join(
            f"{role}={player_name(player)}"
            for role, player in opponents.items()
        )
    else:
        around, named = [opponents] * n, name_opponents(opponents)
    name = name or named
    return [
        _of_role(game, role, name, name, around) for role in role_names(game)
    ]


def by_role(sets: Sequence[OpponentSet]) -> list[list[OpponentSet]]:
    """Group opponent sets by the seats of the measured player.

    Args:
        sets: the sets.

    Returns:
        The sets of each role, in order.
    """
    groups: dict[tuple[int, ...], list[OpponentSet]] = {}
    for of_role in sets:
        groups.setdefault(of_role.seats, []).append(of_role)
    return list(groups.values())


def _of_role(
    game: Game, role: str, name: str, text: str, around: Sequence[Opponents]
) -> OpponentSet:
    """Return the set of one role; `around` has the players after each seat in turn."""
    n = game.num_players
    seats = tuple(s for s in range(n) if game.roles[s] == role)
    others = []
    for seat in seats:
        behind = n - 1 - seat  # seats behind the measured player's
        others.append([*around[seat][behind:], *around[seat][:behind]])
    if len(role_names(game)) > 1:
        name = f"{role} | {name}"
    return OpponentSet(text, name, seats, tuple(others))


def seat_opponents(
    game: Game,
    focal: str | Spec | Player,
    opponents: OpponentSet,
    matches: int,
    seed: int,
) -> Lineup:
    """Return a line-up of a player with its opponents, its seat changing in turn.

    Args:
        game: the game.
        focal: the measured player.
        opponents: its opponents; `SELF` is the player itself.
        matches: the number of matches, M.
        seed: seed of the draws from mixtures.

    Returns:
        The line-up; match m has the player in seat ``seats[m % len(seats)]``.

    Raises:
        ValueError: as `seat_players`.
    """
    if len(opponents.seats) == game.num_players:
        players = [focal, *seat_self(opponents.others[0], focal)]
        return seat_players(game, players, matches, seed, rotate=True)
    lineups, rows = [], []
    for turn, seat in enumerate(opponents.seats):
        count = len(range(turn, matches, len(opponents.seats)))
        if not count:
            continue
        others = seat_self(opponents.others[turn], focal)
        players = [*others[:seat], focal, *others[seat:]]
        own = derived_seed(seed, turn)
        lineups.append(seat_players(game, players, count, own))
        rows.append(range(turn, matches, len(opponents.seats)))
    lineup = join(lineups)
    seating = np.empty_like(lineup.seating)
    seating[np.concatenate(rows)] = lineup.seating
    return Lineup(lineup.pool, seating)
