"""Line-ups: the assignment of players to the seats of each match."""

import dataclasses
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import equinox as eqx
import numpy as np
from jaxtyping import Int, Int32

from bestreply.config import RunConfig
from bestreply.games import make_game
from bestreply.games.base import Game
from bestreply.games.recorded import check_playable, is_recorded
from bestreply.games.seats import role_names
from bestreply.games.sizes import check_sizes, checked_episodes
from bestreply.players.base import Player
from bestreply.players.callback import PlayerFunction
from bestreply.players.mixture import PlayerMixture
from bestreply.players.scripted import Mixture
from bestreply.players.zoo import make_player, standard_players
from bestreply.utils.checks import shown
from bestreply.utils.console import warn
from bestreply.utils.seeds import checked_seed
from bestreply.utils.spec import (
    SELF,
    Spec,
    parse_roles,
    parse_spec,
    parse_specs,
)

T = TypeVar("T")

ALONE = "none"
"""Name of the opponent set of a game of one player."""


class Lineup(NamedTuple):
    """The players of `M` matches and their seats."""

    pool: tuple[Player, ...]  # distinct players
    seating: np.ndarray  # [M, N] int32, index into the pool
    widths: tuple[int, ...] | None = None
    """Seats in any match of each player; None: those in `seating`."""

    @property
    def roster(self) -> list[dict[str, str | int]]:
        """Name and version of every player of the pool."""
        return [{"name": p.name, "version": p.version} for p in self.pool]

    def seats(self) -> tuple[Int32[np.ndarray, "M _"], ...]:
        """Return the seats of every pool player in every match.

        Returns:
            For each pool player [M, m] int32, padded with N to the largest number
            of seats that the player has in any match (`widths`).
        """
        n = self.seating.shape[1]
        seats = []
        widths = self._widths() if self.widths is None else self.widths
        for index, width in enumerate(widths):
            own = self.seating == index
            order = np.argsort(~own, axis=1, kind="stable")[:, :width]
            padded = np.where(np.take_along_axis(own, order, 1), order, n)
            seats.append(padded.astype(np.int32))
        return tuple(seats)

    def _widths(self) -> tuple[int, ...]:
        players = range(len(self.pool))
        return tuple(
            max(int((self.seating == index).sum(1).max()), 1)
            for index in players
        )

    def part(self, rows: Int[np.ndarray, " R"]) -> "Lineup":
        """Return some of the matches; the program that plays them is that of all.

        Args:
            rows: their indices.
        """
        widths = self._widths() if self.widths is None else self.widths
        return Lineup(self.pool, self.seating[rows], widths)


def seat_players(
    game: Game,
    players: Sequence[str | Spec | Player | PlayerFunction],
    matches: int,
    seed: int,
    *,
    rotate: bool = False,
) -> Lineup:
    """Return a line-up of one player (or spec) per seat for a number of matches.

    Args:
        game: the game, of N seats.
        players: N players, specs or plain functions; a `Mixture` is resampled for
            every match.
        matches: the number of matches, M.
        seed: seed of the draws from mixtures.
        rotate: seat player k at ``(k + m) % N`` in match m.

    Returns:
        The line-up; players that are equal share one entry of its pool.

    Raises:
        ValueError: if the number of players is not N, a player is of a game of other
            sizes, `matches` is no whole number from 1 on, or the seed is outside
            0 <= seed < 2^32.
    """
    check_playable(game)
    check_sizes(game)
    n = game.num_players
    one_each = isinstance(players, Sequence) and not isinstance(players, str)
    if not one_each or len(players) != n:
        raise ValueError(
            f"players={shown(players)}: expected one player for each seat; "
            f"{game.name} has {n} seats"
        )
    matches = checked_episodes(matches, n)
    rng = np.random.default_rng(checked_seed(seed))
    pool: list[Player] = []
    seating = np.zeros((matches, n), np.int32)
    for k, spec in enumerate(players):
        for shift in range(n if rotate else 1):
            seat = (k + shift) % n
            rows = slice(shift, None, n if rotate else 1)
            player = make_player(spec, game, seat)
            parts, weights = (player,), (1.0,)
            if isinstance(player, Mixture | PlayerMixture):
                parts, weights = player.players, player.weights
            for part in parts:
                check_plays(part, game)
            indices = np.array([find_player(pool, part) for part in parts])
            size = len(seating[rows, seat])
            probs = np.array(weights) / sum(weights)
            seating[rows, seat] = rng.choice(indices, size=size, p=probs)
    return Lineup(tuple(pool), seating)


_told: set[tuple[str, str]] = set()
"""Pairs of games that a warning of `check_plays` named."""


def check_plays(player: Player, game: Game) -> None:
    """Refuse a player that was made for a game of other sizes.

    In another game of the same sizes it plays, with a warning, once for each pair of
    games; one that learned from a recorded game plays without.

    Args:
        player: the player.
        game: the game that it is to play.

    Raises:
        ValueError: shape of observations, number of actions or of seats differ.
    """
    own: Any = getattr(player, "game", None)
    if not isinstance(own, Game) or own == game:
        return
    if (has := _sizes(own)) != (wanted := _sizes(game)):
        raise ValueError(
            f"player={player.name}: expected a player of {game.name} with {wanted}; it "
            f"is of {own.name} with {has}. Make or train it in this game"
        )
    pair = own.name, game.name
    if own.name != game.name and not is_recorded(own) and pair not in _told:
        _told.add(pair)
        warn(
            f"player={player.name}: it is of {own.name}, and plays {game.name}, whose "
            "observations have the same shape; what they mean can differ"
        )


def _sizes(game: Game) -> str:
    return (
        f"observations of shape {game.obs_shape}, {game.num_actions} actions and "
        f"{game.num_players} seats"
    )


def find_player(pool: list[Player], player: Player) -> int:
    """Return the index of a player in a pool; append the player if it is new.

    Args:
        pool: distinct players, extended in place.
        player: the player; equal name and equal parameters mean the same player.

    Returns:
        Its index in `pool`.
    """
    for index, known in enumerate(pool):
        if known is player:
            return index
        if known.name == player.name and bool(eqx.tree_equal(known, player)):
            return index
    pool.append(player)
    return len(pool) - 1


def fill_seats(game: Game, opponents: str, seat: int = 0) -> list[Spec]:
    """Return the specs of the N-1 opponents that a text names.

    Args:
        game: the game, of N seats.
        opponents: one spec for all other seats; N-1 specs, comma-separated; or a spec
            for each role, such as ``adversary=random, agent=always(0)``.
        seat: seat of the player that they meet.

    Returns:
        N-1 specs, of the seats after `seat` in order and then of those before it; none
        in a game of one player, whatever the one name is.

    Raises:
        ValueError: if the text names another number of opponents, or other roles.
    """
    n = game.num_players
    if roles := parse_roles(opponents):
        seated = players_by_role(game, roles)
        return [*seated[seat + 1 :], *seated[:seat]]
    specs = list(parse_specs(opponents))
    others = n - 1
    if not others and len(specs) > 1:
        raise ValueError(
            f"opponents={opponents!r}: expected {ALONE!r} for {game.name}, which "
            "has no other seats"
        )
    if len(specs) not in (1, others):
        raise ValueError(
            f"opponents={opponents!r}: expected 1 name (for all other seats) or "
            f"{others} names for {game.name}; got {len(specs)}"
        )
    return specs * others if len(specs) == 1 else specs


def players_by_role(game: Game, players: Mapping[str, T]) -> list[T]:
    """Return the player of each seat.

    Args:
        game: the game.
        players: the player of each role.

    Raises:
        ValueError: roles that the game does not have, or not all of them.
    """
    known = role_names(game)
    if set(players) != set(known):
        raise ValueError(
            f"opponents of roles {', '.join(players)}: expected a player for each role "
            f"of {game.name}: {', '.join(known)}"
        )
    return [players[role] for role in game.roles]


def distinct_sets(
    game: Game, opponents: Sequence[str]
) -> dict[str, list[Spec]]:
    """Return opponent sets, of equal ones the first.

    Sets are equal if the same players sit in the same seats, however they are spelled:
    with other spaces, with default settings written out, one by one. Where the game
    treats all seats the same, their order does not matter.

    Args:
        game: the game, of N seats.
        opponents: opponent sets, as `fill_seats` reads them.

    Returns:
        The N-1 specs of each set around seat 0, by its text.

    Raises:
        ValueError: if a set names another number of opponents or an unknown player.
    """
    known: set[Hashable] = set()
    sets = {}
    # Around another seat the same text can name other players only if roles differ.
    focal = [game.roles.index(role) for role in role_names(game)]
    for text in opponents:
        key: Hashable = tuple(_key_of_set(game, text, seat) for seat in focal)
        if key not in known:
            known.add(key)
            sets[text] = fill_seats(game, text)
    return sets


def _key_of_set(game: Game, text: str, seat: int) -> Hashable:
    """Return a key that is equal for equal opponents of a seat."""
    key = tuple(
        SELF
        if is_self(spec)
        else player_key(make_player(spec, game, (seat + k) % game.num_players))
        for k, spec in enumerate(fill_seats(game, text, seat), 1)
    )
    return frozenset(Counter(key).items()) if game.symmetric else key


def distinct_players(game: Game, names: Sequence[str]) -> tuple[str, ...]:
    """Return the names of players, of equal players the first.

    Args:
        game: the game that they play.
        names: specs of players.

    Returns:
        The specs, in normal form.

    Raises:
        ValueError: for an unknown player.
    """
    first: dict[Hashable, str] = {}
    for spec in map(parse_spec, names):
        first.setdefault(player_key(make_player(spec, game)), str(spec))
    return tuple(first.values())


def player_key(value: Any) -> Hashable:
    """Return a key that is equal for players of equal settings, whatever their names.

    Args:
        value: a player, or a setting of one.

    Returns:
        The key.
    """
    if isinstance(value, Mixture | PlayerMixture):
        total = sum(value.weights)
        shares = [weight / total for weight in value.weights]
        parts = zip(map(player_key, value.players), shares, strict=True)
        return type(value), frozenset(Counter(parts).items())
    if isinstance(value, eqx.Module):
        # The name of a player of this package says no more than its settings.
        own = type(value).__module__ == Mixture.__module__
        return type(value), *(
            (field.name, player_key(getattr(value, field.name)))
            for field in dataclasses.fields(value)
            if not (own and field.name == "name")
        )
    if isinstance(value, tuple | list):
        return tuple(map(player_key, value))
    if eqx.is_array(value) or isinstance(value, np.ndarray):
        array = np.asarray(value)
        return array.shape, str(array.dtype), array.tobytes()
    return value if isinstance(value, Hashable) else id(value)


def seat_self(
    others: Sequence[str | Spec | Player], focal: str | Spec | Player
) -> list[str | Spec | Player]:
    """Return the opponents with the focal player in place of every `SELF`.

    Args:
        others: opponents, some of which may be named `SELF`.
        focal: the focal player.

    Returns:
        The opponents, in the same order.
    """
    return [focal if is_self(other) else other for other in others]


def is_self(other: str | Spec | Player) -> bool:
    """Return whether an opponent is named `SELF`, the focal player itself.

    Args:
        other: a player, or its name or spec.
    """
    return not isinstance(other, Player) and str(other) == SELF


def name_opponents(players: Sequence[str | Spec | Player]) -> str:
    """Return the name of an opponent set.

    Args:
        players: the opponents.

    Returns:
        ``"3 nearest_stag"`` if all have one name, else the comma-separated names;
        `ALONE` without opponents.
    """
    names = [player_name(player) for player in players]
    if not names:
        return ALONE
    if len(set(names)) == 1:
        return f"{len(names)} {names[0]}"
    return ", ".join(names)


def player_name(player: str | Spec | Player) -> str:
    """Return the name of a player, or of its spec.

    Args:
        player: a player, or its name or spec.
    """
    return player.name if isinstance(player, Player) else str(player)


def join(lineups: Sequence[Lineup]) -> Lineup:
    """Return one line-up of all matches, so that one compiled program plays them.

    Args:
        lineups: line-ups of the same game.

    Returns:
        The matches in order, over one pool of distinct players.
    """
    pool: list[Player] = []
    seatings = []
    for lineup in lineups:
        indices = [find_player(pool, player) for player in lineup.pool]
        seatings.append(np.array(indices, np.int32)[lineup.seating])
    return Lineup(tuple(pool), np.concatenate(seatings))


def training_players(config: RunConfig) -> tuple[str, ...]:
    """Return the players whose games are the training data of a run.

    Args:
        config: the configuration of the run.

    Returns:
        `config.collect.players`, or the standard players of the game.
    """
    return config.collect.players or standard_players(make_game(config.game))


def drawn_players(config: RunConfig) -> str:
    """Return the spec of one seat of the training data.

    Args:
        config: the configuration of the run.

    Returns:
        A mixture of the `training_players`, resampled for every episode.
    """
    return mixture_of(training_players(config))


def mixture_of(names: tuple[str, ...]) -> str:
    """Return the spec of a player drawn from several for every episode.

    Args:
        names: the specs to draw from.

    Returns:
        A ``mixture(...)`` spec, or the only name.
    """
    return names[0] if len(names) == 1 else f"mixture({', '.join(names)})"
