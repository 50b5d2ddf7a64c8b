"""Measuring play: any player in any seat, fixed seeds, all seats in turn."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from bestreply.games.base import Game
from bestreply.players.base import Player, ScriptedPlayer
from bestreply.players.zoo import make_player
from bestreply.scores.references import Reference
from bestreply.scores.returns import SCHEMA, Scores
from bestreply.simulation.lineup import (
    Lineup,
    fill_seats,
    join,
    name_opponents,
    player_name,
    seat_players,
    seat_self,
)
from bestreply.simulation.loop import PLANNING_CHUNK, play
from bestreply.utils.console import meter
from bestreply.utils.provenance import provenance
from bestreply.utils.spec import SELF, Spec


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
    """Plays `episodes` episodes with the first of `players` as focal player, in every seat in turn, the rest in order after it.

    Args:
        players: one for each seat; a `mixture(...)` is drawn anew for every episode.
        seed: of play; the same seed and episode give the same first state whoever plays.
        method, opponents: names for the table; by default the players' own.

    Raises ValueError for a wrong number of players, or an illegal action (who, where, when).
    """
    lineup = seat_players(game, players, episodes, seed, rotate=True)
    method = method or player_name(players[0])
    opponents = opponents or name_opponents(players[1:])
    with meter(
        f"evaluate: {method}", episodes * game.max_steps, "steps"
    ) as progress:
        return _scores(
            game, lineup, seed, [(method, opponents)], chunk, progress
        )


def evaluate_all(
    game: Game,
    methods: Mapping[str, Player | str],
    opponents: Sequence[str],
    episodes: int,
    seed: int,
    *,
    chunk: int = PLANNING_CHUNK,
) -> Scores:
    """Every method against every opponent set (see `fill_seats`), `episodes` each, from the same first states.

    An opponent named "self" is the method itself. "self" alone is self-play, whose returns are means over the seats: the same
    expectation, with less spread.

    Scripted methods are played together, by one compiled program; each planner by one of its own.
    """
    sets = [fill_seats(game, text) for text in opponents]
    players = {
        name: make_player(player, game) for name, player in methods.items()
    }
    scripted = [
        name
        for name, player in players.items()
        if isinstance(player, ScriptedPlayer)
    ]
    groups = [[name] for name in players if name not in scripted] + (
        [scripted] if scripted else []
    )
    parts = []
    for names in groups:
        matches = [(name, others) for name in names for others in sets]
        lineup = join(
            [
                seat_players(
                    game,
                    [methods[n], *seat_self(others, methods[n])],
                    episodes,
                    seed,
                    rotate=True,
                )
                for n, others in matches
            ]
        )
        labels = [(name, name_opponents(others)) for name, others in matches]
        with meter(
            f"evaluate: {', '.join(names)}",
            len(lineup.seating) * game.max_steps,
            "steps",
        ) as progress:
            parts.append(
                _scores(
                    game,
                    lineup,
                    seed,
                    labels,
                    chunk if len(names) == 1 else 1024,
                    progress,
                )
            )
    return Scores.concat(parts)


def refer(
    game: Game, scores: Scores, opponents: Sequence[str], layouts: int = 32
) -> Scores:
    """`scores` with what the returns against each opponent set are held against, solved exactly where that can be.

    Args:
        opponents: the sets as `evaluate_all` was given them.
        layouts: the most first layouts of a grid game to solve for a set; 0: none, no reference.

    The random player's return is solved too in grid games, and otherwise what "random" has in `scores`, if it played.
    """
    from bestreply.exact.references import find_reference

    found = {}
    for text in opponents:
        others = fill_seats(game, text)
        reference = find_reference(
            game, name_opponents(others), others, layouts
        )
        if not reference.missing and reference.random is None:
            reference = _with_measured_random(reference, scores)
        found[reference.opponents] = reference
    return dataclasses.replace(scores, references=found)


def _with_measured_random(reference: Reference, scores: Scores) -> Reference:
    try:
        mean = scores.mean("random", reference.opponents)
    except ValueError:  # it did not play
        return reference
    spread = np.nan_to_num(scores.stderr("random", reference.opponents))
    return dataclasses.replace(
        reference,
        random=mean,
        random_stderr=float(spread),
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
    """Plays equal shares of the line-up for each of `labels` (method, opponents)."""
    total, n = len(lineup.seating), game.num_players
    each = total // len(labels)
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
    seat = episodes % n
    returns = played.reward.astype(np.float64).sum(1)  # [E, N]
    alone = np.repeat(
        [others == name_opponents([SELF] * (n - 1)) for _, others in labels],
        each,
    )
    columns = {
        "method": np.repeat([m for m, _ in labels], each),
        "opponents": np.repeat([o for _, o in labels], each),
        "seed": np.full(total, seed),
        "episode": episodes,
        "seat": seat,
        "length": played.length,
        "return": np.where(
            alone, returns.mean(1), returns[np.arange(total), seat]
        ),
    }
    return Scores(pa.table(columns, SCHEMA), provenance(seed))
