"""Evaluation: any player in every seat in turn, from fixed seeds."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import Float, Int

from bestreply.exact.references import find_reference
from bestreply.games.base import Game
from bestreply.players.base import Player, ScriptedPlayer
from bestreply.players.zoo import make_player
from bestreply.scores.references import Reference
from bestreply.scores.returns import SCHEMA, Scores
from bestreply.simulation.lineup import (
    Lineup,
    distinct_sets,
    join,
    name_opponents,
    player_name,
    seat_players,
    seat_self,
)
from bestreply.simulation.loop import PLANNING_CHUNK, play
from bestreply.utils.console import meter
from bestreply.utils.provenance import provenance
from bestreply.utils.seeds import checked_seed
from bestreply.utils.spec import SELF, Spec

SCRIPTED_CHUNK = 1024
"""Episodes of scripted players that are played as one batch."""


def evaluate(
    game: Game,
    players: Sequence[str | Spec | Player],
    episodes: int,
    seed: int,
    *,
    method: str | None = None,
    opponents: str | None = None,
    chunk: int = PLANNING_CHUNK,
) -> Scores:
    """Return the scores of a focal player, in every seat in turn, against opponents.

    Args:
        game: the game.
        players: the focal player, then its opponents in seat order after it; a
            `mixture(...)` draws one of its players for every episode.
        episodes: number of episodes.
        seed: seed of play; the same seed and episode have the same first state for all
            players.
        method: name of the focal player in the table; by default its own.
        opponents: name of the opponent set; by default the opponents' names.
        chunk: episodes that are played as one batch.

    Returns:
        One row for each episode.

    Raises:
        ValueError: a wrong number of players, or an illegal action (player, seat, step).
    """
    seed = checked_seed(seed)
    lineup = seat_players(game, players, episodes, seed, rotate=True)
    method = method or player_name(players[0])
    opponents = opponents or name_opponents(players[1:])
    steps = episodes * game.max_steps
    with meter(f"evaluate: {method}", steps, "steps") as progress:
        label = method, opponents
        return _scores(game, lineup, seed, [label], chunk, progress)


def evaluate_all(
    game: Game,
    methods: Mapping[str, Player | str],
    opponents: Sequence[str],
    episodes: int,
    seed: int,
    *,
    chunk: int = PLANNING_CHUNK,
) -> Scores:
    """Return the scores of every method against every opponent set.

    All methods start from the same first states. Scripted methods are played together
    by one compiled program, every other method by a program of its own.

    Args:
        game: the game.
        methods: players by the name of the method.
        opponents: opponent sets, as `fill_seats` reads them; of equal ones
            (`distinct_sets`) the first. An opponent "self" is the method itself;
            "self" alone is self-play, whose returns are means over the seats.
        episodes: episodes for each method and opponent set.
        seed: seed of play.
        chunk: episodes that are played as one batch, except of scripted methods.

    Returns:
        One row for each method, opponent set and episode.

    Raises:
        ValueError: an unknown player, or an illegal action (player, seat, step).
    """
    seed = checked_seed(seed)
    sets = list(distinct_sets(game, opponents).values())
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
        lineups = [
            seat_players(
                game,
                [methods[name], *seat_self(others, methods[name])],
                episodes,
                seed,
                rotate=True,
            )
            for name, others in pairs
        ]
        labels = [(name, name_opponents(others)) for name, others in pairs]
        size = chunk if len(names) == 1 else SCRIPTED_CHUNK
        lineup = join(lineups)
        steps = len(lineup.seating) * game.max_steps
        title = f"evaluate: {', '.join(names)}"
        with meter(title, steps, "steps") as progress:
            parts.append(_scores(game, lineup, seed, labels, size, progress))
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
    for others in distinct_sets(game, opponents).values():
        reference = find_reference(
            game, name_opponents(others), others, layouts
        )
        if not reference.missing and reference.random is None:
            reference = _with_measured_random(reference, scores)
        references[reference.opponents] = reference
    return dataclasses.replace(scores, references=references)


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
    lineup: Lineup,
    seed: int,
    labels: list[tuple[str, str]],
    chunk: int,
    progress: Any,
) -> Scores:
    """Play an equal part of the line-up for each of `labels` (method, opponents)."""
    each = len(lineup.seating) // len(labels)
    episodes = np.tile(np.arange(each), len(labels))
    played = play(
        game,
        lineup,
        seed,
        numbers=episodes,
        lean=True,
        chunk=chunk,
        progress=progress,
    ).episodes
    seat = episodes % game.num_players
    self_play = name_opponents([SELF] * (game.num_players - 1))
    alone = np.repeat([others == self_play for _, others in labels], each)
    columns = {
        "method": np.repeat([method for method, _ in labels], each),
        "opponents": np.repeat([others for _, others in labels], each),
        "seed": np.full(len(episodes), seed),
        "episode": episodes,
        "seat": seat,
        "length": played.length,
        "return": _returns(np.asarray(played.reward), seat, alone),
    }
    return Scores(pa.table(columns, SCHEMA), provenance(seed))


def _returns(
    reward: Float[np.ndarray, "E T N"],
    seat: Int[np.ndarray, " E"],
    alone: np.ndarray,
) -> Float[np.ndarray, " E"]:
    """Return the return of each episode's seat; the mean over seats in self-play."""
    returns = reward.astype(np.float64).sum(1)
    own = returns[np.arange(len(seat)), seat]
    return np.where(alone, returns.mean(1), own)
