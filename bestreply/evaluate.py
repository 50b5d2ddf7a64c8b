"""Evaluation: any player in every seat in turn, from fixed seeds."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import Float

from bestreply.exact.references import find_reference, role_reference
from bestreply.games import make_game
from bestreply.games.base import Game
from bestreply.games.sizes import checked_episodes
from bestreply.players.base import Player, ScriptedPlayer
from bestreply.players.callback import PlayerFunction
from bestreply.players.function import as_player
from bestreply.players.zoo import make_player
from bestreply.scores.references import Reference
from bestreply.scores.returns import SCHEMA, Scores
from bestreply.simulation.lineup import (
    Lineup,
    join,
    player_name,
    seat_players,
)
from bestreply.simulation.loop import PLANNING_CHUNK, asks_functions, play
from bestreply.simulation.opponent_sets import (
    ByRole,
    OpponentSet,
    opponent_sets,
    opponents_around,
    seat_opponents,
)
from bestreply.utils.console import meter
from bestreply.utils.provenance import provenance
from bestreply.utils.seeds import checked_seed
from bestreply.utils.spec import Spec

SCRIPTED_CHUNK = 1024
"""Episodes of scripted players that are played as one batch."""


def evaluate(
    game: Game | str,
    players: Sequence[str | Spec | Player | PlayerFunction | ByRole],
    episodes: int,
    seed: int,
    *,
    method: str | None = None,
    opponents: str | None = None,
    chunk: int = PLANNING_CHUNK,
) -> Scores:
    """Return the scores of a focal player, in every seat in turn, against opponents.

    Args:
        game: the game, or its name.
        players: the focal player, then its opponents in seat order after it, or one
            dict of the opponents by role: players, names or plain functions; a
            `mixture(...)` draws one of its players for every episode.
        episodes: number of episodes.
        seed: seed of play; the same seed and episode have the same first state for all
            players.
        method: name of the focal player in the table; by default its own.
        opponents: name of the opponent set; by default the opponents' names.
        chunk: episodes that are played as one batch.

    Returns:
        One row for each episode; in a game with several roles, as many episodes for
        each, against an opponent set ``role | opponents``.

    Raises:
        ValueError: a wrong number of players or episodes, or an illegal action (player,
            seat, step).
    """
    seed, game = checked_seed(seed), make_game(game)
    episodes = checked_episodes(episodes, game.num_players)
    given: Any = players
    if isinstance(given, list | tuple):
        given = [_as_players(player) for player in given]
    around: Any = given[1:] if isinstance(given, list) else ()
    if len(around) == 1 and isinstance(around[0], Mapping):
        around = around[0]
    elif not isinstance(given, list) or len(given) != game.num_players:
        seat_players(game, given, episodes, seed)  # refuses them
    focal: str | Spec | Player = given[0]
    method = method or player_name(focal)
    pairs = [
        (method, of_role)
        for of_role in opponents_around(game, around, opponents)
    ]
    return _scores(game, {method: focal}, pairs, episodes, seed, chunk, pairs)


def _as_players(player: Any) -> Any:
    """Return a player, or the players by role, with plain functions as players."""
    if isinstance(player, Mapping):
        return {role: as_player(one) for role, one in player.items()}
    return as_player(player)


def evaluate_all(
    game: Game,
    methods: Mapping[str, Player | str],
    opponents: Sequence[str],
    episodes: int,
    seed: int,
    *,
    chunk: int = PLANNING_CHUNK,
    like: int = 0,
    among: Sequence[str] = (),
) -> Scores:
    """Return the scores of every method against every opponent set.

    All methods start from the same first states. Scripted methods are played together
    by one compiled program, every other method by a program of its own, unless it
    differs from another in numbers alone.

    Args:
        game: the game.
        methods: players by the name of the method.
        opponents: opponent sets, as `fill_seats` reads them; of equal ones
            (`opponent_sets`) the first. An opponent "self" is the method itself;
            "self" alone is self-play, whose returns are means over the seats.
            In a game with several roles every role is measured, against sets
            ``role | opponents``.
        episodes: episodes for each method and opponent set.
        seed: seed of play.
        chunk: episodes that are played as one batch, except of scripted methods.
        like: episodes of a later call for each method, whose program to use.
        among: opponent sets; calls against any of them, with the same `among`, share one
            program, for methods that differ in numbers alone.

    Returns:
        One row for each method, opponent set and episode.

    Raises:
        ValueError: an unknown player, or an illegal action (player, seat, step).
    """
    seed = checked_seed(seed)
    episodes = checked_episodes(episodes, game.num_players)
    sets = opponent_sets(game, opponents)
    around = opponent_sets(game, among)
    known = {others.name for others in around}  # of equal sets the first
    around += [others for others in sets if others.name not in known]
    players = {
        name: make_player(player, game) for name, player in methods.items()
    }
    scripted = [
        name
        for name, player in players.items()
        if isinstance(player, ScriptedPlayer)
    ]
    groups = [[name] for name in players if name not in scripted]
    if scripted:
        groups.append(scripted)
    parts = []
    for names in groups:
        pairs = [(name, others) for name in names for others in sets]
        every = [(name, others) for name in names for others in around]
        size = chunk if len(names) == 1 else SCRIPTED_CHUNK
        parts.append(
            _scores(game, methods, pairs, episodes, seed, size, every, like)
        )
    return Scores.concat(parts)


def refer(
    game: Game, scores: Scores, opponents: Sequence[str], layouts: int = 32
) -> Scores:
    """Return scores with the reference values of each opponent set.

    The references are the exact best reply's return, where it can be solved, and the
    random player's: solved in grid games, otherwise that of "random" in `scores`.

    Args:
        game: the game.
        scores: scores against the opponent sets.
        opponents: the sets, as for `evaluate_all`.
        layouts: largest number of first layouts of a grid game to solve for a set; 0:
            none, no reference.

    Returns:
        The scores with their references.
    """
    references = {}
    for of_role in opponent_sets(game, opponents):
        reference = _reference(game, of_role, layouts)
        if not reference.missing and reference.random is None:
            reference = _with_measured_random(reference, scores)
        references[reference.opponents] = reference
    return dataclasses.replace(scores, references=references)


def _reference(game: Game, of_role: OpponentSet, layouts: int) -> Reference:
    if len(of_role.seats) == game.num_players:
        return find_reference(game, of_role.name, of_role.others[0], layouts)
    seated = list(zip(of_role.seats, of_role.others, strict=True))
    return role_reference(game, of_role.name, seated, layouts)


def _with_measured_random(reference: Reference, scores: Scores) -> Reference:
    try:
        mean = scores.mean("random", reference.opponents)
    except ValueError:  # the random player was not evaluated
        return reference
    stderr = np.nan_to_num(scores.stderr("random", reference.opponents))
    return dataclasses.replace(
        reference,
        random=mean,
        random_stderr=float(stderr),
        random_from="measured",
    )


def _scores(
    game: Game,
    methods: Mapping[str, str | Spec | Player],
    pairs: Sequence[tuple[str, OpponentSet]],
    episodes: int,
    seed: int,
    chunk: int,
    every: Sequence[tuple[str, OpponentSet]],
    like: int = 0,
) -> Scores:
    """Play as many episodes of every pair (method, opponents), as one batch of matches.

    Calls with pairs out of `every` share one program.
    """

    def seated(which: Sequence[tuple[str, OpponentSet]]) -> Lineup:
        return join(
            [
                seat_opponents(game, methods[name], others, episodes, seed)
                for name, others in which
            ]
        )

    names = [(name, others.name) for name, others in every]
    lineup = seated(every)
    if asks_functions(lineup.pool):  # none is asked for matches of other calls
        lineup = seated(pairs)
    else:
        first = [episodes * names.index((n, o.name)) for n, o in pairs]
        lineup = lineup.part(np.add.outer(first, np.arange(episodes)).ravel())
    numbers = np.tile(np.arange(episodes), len(pairs))
    # That of `record_matches`, whose program this is.
    watch = None if isinstance(lineup.pool[0], ScriptedPlayer) else 0
    title = ", ".join(dict.fromkeys(name for name, _ in pairs))
    steps = len(numbers) * game.max_steps
    with meter(f"evaluate: {title}", steps, "steps") as progress:
        played = play(
            game,
            lineup,
            seed,
            numbers=numbers,
            watch=watch,
            lean=True,
            chunk=chunk,
            like=max(len(numbers), like),
            progress=progress,
        ).episodes
    reward = np.asarray(played.reward).astype(np.float64).sum(1)
    sets = [others for _, others in pairs]
    seats = [np.resize(others.seats, episodes) for others in sets]
    returns = [
        _returns(part, others)
        for part, others in zip(np.split(reward, len(pairs)), sets, strict=True)
    ]
    columns = {
        "method": np.repeat([name for name, _ in pairs], episodes),
        "opponents": np.repeat([others.name for others in sets], episodes),
        "seed": np.full(len(numbers), seed),
        "episode": numbers,
        "seat": np.concatenate(seats),
        "length": played.length,
        "return": np.concatenate(returns),
    }
    return Scores(pa.table(columns, SCHEMA), provenance(seed))


def _returns(
    reward: Float[np.ndarray, "E N"], opponents: OpponentSet
) -> Float[np.ndarray, " E"]:
    """Return the return of each episode's seat; the mean over its seats in self-play."""
    seats = list(opponents.seats)
    if opponents.self_play:
        return reward[:, seats].mean(1)
    return reward[np.arange(len(reward)), np.resize(seats, len(reward))]
