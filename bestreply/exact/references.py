"""The references of opponent sets (`bestreply.scores.references`): the best reply's and the random player's return, by the exact solvers."""

import math
from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import numpy as np

from bestreply import exact
from bestreply.exact import bounds as beyond
from bestreply.exact.grid import GridReply, Way, way_of
from bestreply.exact.grid_players import draw_layouts, memoryless_modes
from bestreply.exact.positions import number_positions
from bestreply.games.base import Game
from bestreply.games.grid import GridGame
from bestreply.players.base import ScriptedPlayer
from bestreply.players.zoo import make_player
from bestreply.scores.references import Reference
from bestreply.simulation.lineup import is_self
from bestreply.types import ego_order
from bestreply.utils.spec import SELF

MOST_WORK = 3e10
"""Outcomes (see `work`) of all layouts together that a reference may weigh: half a minute or so on two cores."""

JOINT_WORK = 20
"""How many times as long a joint draw takes as an outcome of one player."""

FEWEST_LAYOUTS = 4
"""With fewer a mean over layouts has no error worth the name, and there is no reference."""

MOST_POSITIONS = 100_000
"""Positions of a game that is no grid game."""

FUTURES = 2
"""Where a game is too large, futures that are foreseen, for each layout that would have been solved."""


def find_reference(
    game: Game, name: str, others: Sequence[Any], layouts: int
) -> Reference:
    """The reference against `others`, who follow the focal player around the table as `evaluate` seats them.

    Args:
        name: of the opponent set, as in the scores.
        layouts: the most first layouts of a grid game to solve, fewer where one costs much; 0: no reference.

    What is too large to be solved is bounded by foresight (`bestreply.exact.bounds`), where that is within reach.

    Never raises for a game or others that cannot be solved: the reference then says why.
    """
    if not layouts:
        return Reference(name, missing="off")
    if any(map(is_self, others)):
        return Reference(name, missing="no_distribution", reason=SELF)
    players = [make_player(player, game) for player in others]
    if wrong := sorted(
        {p.name for p in players if not isinstance(p, ScriptedPlayer)}
    ):
        return Reference(
            name, missing="no_distribution", reason=", ".join(wrong)
        )
    scripted = [p for p in players if isinstance(p, ScriptedPlayer)]
    leaves, structure = jax.tree.flatten(scripted)
    try:
        asked = (game, name, layouts, structure, tuple(map(_hashable, leaves)))
        known = _FOUND.get(asked)
    except TypeError:  # settings or arrays that have no hash
        return _solved(game, name, scripted, others, layouts)
    if known is None:
        known = _FOUND[asked] = _solved(game, name, scripted, others, layouts)
    return known


def _hashable(leaf: Any) -> Any:
    """A player's array as what has a hash; anything else as it is."""
    return (
        (leaf.shape, str(leaf.dtype), np.asarray(leaf).tobytes())
        if eqx.is_array(leaf)
        else leaf
    )


_FOUND: dict[Any, Reference] = {}
"""What was found in this process: the units of a sweep ask for the same references again and again."""


def _solved(
    game: Game,
    name: str,
    scripted: Sequence[ScriptedPlayer],
    others: Sequence[Any],
    layouts: int,
) -> Reference:
    if isinstance(game, GridGame):
        found = _grid_reference(game, name, scripted, layouts)
    else:
        found = _seat_by_seat(game, name, others)
    return (
        _foreseen(game, others, found, FUTURES * layouts)
        if found.missing == "too_large"
        else found
    )


def work(game: GridGame, others: Sequence[ScriptedPlayer]) -> float:
    """Outcomes that solving one layout weighs, over all positions, steps and joint modes of the others: each other's outcomes one
    after another where that will do, otherwise all their joint draws. ValueError as `memoryless_modes` and `number_positions`."""
    modes = memoryless_modes(game, others)
    each = float(number_positions(game).total * game.max_steps) * math.prod(
        len(m.players) for m in modes
    )
    if way_of(game, modes) is Way.APART:
        return each * len(others) * (game.cells + len(game.thing_kind))
    return each * game.num_actions**game.num_players * JOINT_WORK


def _grid_reference(
    game: GridGame, name: str, others: Sequence[ScriptedPlayer], layouts: int
) -> Reference:
    try:
        each = work(game, others)
        count = min(layouts, int(MOST_WORK / each))
        if count < min(FEWEST_LAYOUTS, layouts):
            told = f"one layout weighs {each:.0e} outcomes, at most {MOST_WORK / FEWEST_LAYOUTS:.0e} are weighed"
            return Reference(name, missing="too_large", reason=told)
        reply = exact.best_reply(game, 0, others, gamma=1.0, layouts=count)
        assert isinstance(reply, GridReply)
        drawn, all_of_them = draw_layouts(game, count)
        random, spread = reply.value_of(_random(game), drawn)
    except ValueError as error:
        return Reference(name, missing=_missing(error), reason=str(error))
    return Reference(
        opponents=name,
        best=reply.value,
        best_stderr=_finite(reply.stderr),
        kind=reply.kind,
        layouts=len(drawn),
        random=random,
        random_stderr=0.0 if all_of_them else _finite(spread),
        random_from="exact",
    )


def _missing(error: ValueError) -> str:
    return "too_large" if "positions" in str(error) else "not_solved"


def _seat_by_seat(game: Game, name: str, others: Sequence[Any]) -> Reference:
    """The mean over the seats, in which others can sit, and payoffs can be, differently."""
    n = game.num_players
    replies = []
    try:
        for seat in range(n):
            around = [
                others[(int(other) - seat) % n - 1]
                for other in ego_order(n)[seat][1:]
            ]
            replies.append(
                exact.best_reply(
                    game, seat, around, gamma=1.0, limit=MOST_POSITIONS
                )
            )
    except ValueError as error:
        return Reference(name, missing=_missing(error), reason=str(error))
    kinds = {reply.kind for reply in replies}
    return Reference(
        opponents=name,
        best=float(np.mean([reply.value for reply in replies])),
        kind="exact" if kinds == {"exact"} else "upper bound",
    )


def _foreseen(
    game: Game, others: Sequence[Any], too_large: Reference, futures: int
) -> Reference:
    """What one has who foresees everything; or `too_large`, where even that is too much."""
    found = (
        beyond.bound(game, others, futures=futures) if game.compiled else None
    )
    if found is None:
        return too_large
    return Reference(
        too_large.opponents,
        best=found.mean,
        best_stderr=_finite(found.stderr),
        kind="foresight",
        layouts=found.games,
    )


def _random(game: Game) -> ScriptedPlayer:
    player = make_player("random", game)
    assert isinstance(player, ScriptedPlayer)
    return player


def _finite(stderr: float) -> float:
    return float(stderr) if np.isfinite(stderr) else 0.0
