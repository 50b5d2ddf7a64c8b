"""Reference values of opponent sets: the best reply's and the random player's return."""

import math
from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import numpy as np

from bestreply import exact
from bestreply.exact import bounds
from bestreply.exact.grid import Backup, GridReply, choose_backup
from bestreply.exact.grid_players import draw_layouts, memoryless_chains
from bestreply.exact.positions import number_positions
from bestreply.games.base import Game
from bestreply.games.grid import GridGame
from bestreply.players.base import Player, ScriptedPlayer
from bestreply.players.callback import player_errors
from bestreply.players.zoo import make_player
from bestreply.scores.references import Reference
from bestreply.simulation.lineup import is_self
from bestreply.utils.spec import SELF, Spec

MAX_WORK = 3e10
"""Outcomes (see `work`) over all layouts of one reference: about half a minute on two cores."""

JOINT_WORK = 20
"""The time of one joint action relative to one outcome of one player."""

MIN_LAYOUTS = 4
"""With fewer layouts the standard error is not reliable, and there is no reference."""

MAX_POSITIONS = 100_000
"""The largest number of positions of a game that is not a grid game."""

FUTURES_PER_LAYOUT = 2
"""In games too large to solve, futures of the relaxation bound per requested layout."""


@player_errors()
def find_reference(
    game: Game,
    name: str,
    others: Sequence[str | Spec | Player],
    layouts: int,
) -> Reference:
    """Return the reference against `others`, seated around the focal player as by `evaluate`.

    A game that is too large to solve has the information-relaxation bound
    (`bestreply.exact.bounds`) as its reference, if that is within reach. No error is raised
    for a game or players that cannot be solved: the reference states the reason.

    Args:
        game: the game.
        name: of the opponent set, as in the scores.
        others: a player for each other seat, in ego-first order.
        layouts: the largest number of initial layouts of a grid game to solve, fewer where
            one is expensive; 0: no reference.

    Returns:
        The reference; `missing` says why there is none.
    """
    if not layouts:
        return Reference(name, missing="off")
    if any(map(is_self, others)):
        return Reference(name, missing="no_distribution", reason=SELF)
    players = [make_player(player, game) for player in others]
    scripted = [p for p in players if isinstance(p, ScriptedPlayer)]
    if len(scripted) < len(players):
        wrong = {p.name for p in players if not isinstance(p, ScriptedPlayer)}
        reason = ", ".join(sorted(wrong))
        return Reference(name, missing="no_distribution", reason=reason)
    leaves, structure = jax.tree.flatten(scripted)
    try:
        key = (game, name, layouts, structure, tuple(map(_hashable, leaves)))
        known = _CACHE.get(key)
    except TypeError:  # settings or arrays that have no hash
        return _solve(game, name, scripted, others, layouts)
    if known is None:
        known = _CACHE[key] = _solve(game, name, scripted, others, layouts)
    return known


def role_reference(
    game: Game,
    name: str,
    seated: Sequence[tuple[int, Sequence[str | Spec | Player]]],
    layouts: int,
) -> Reference:
    """Return the reference of one role of a game, the mean over its seats.

    Args:
        game: a game with several roles.
        name: of the opponent set, as in the scores.
        seated: each seat of the role, with a player for each other seat in their order.
        layouts: 0: no reference.

    Returns:
        The reference; `missing` says why there is none.
    """
    if not layouts:
        return Reference(name, missing="off")
    wrong = set()
    for seat, others in seated:
        at = np.delete(np.arange(game.num_players), seat).tolist()
        for other, player in zip(at, others, strict=True):
            if is_self(player):
                wrong.add(SELF)
                continue
            made = make_player(player, game, other)
            if not isinstance(made, ScriptedPlayer):
                wrong.add(made.name)
    if wrong:
        reason = ", ".join(sorted(wrong))
        return Reference(name, missing="no_distribution", reason=reason)
    return _mean_over_seats(game, name, seated)


def _hashable(leaf: Any) -> Any:
    if not eqx.is_array(leaf):
        return leaf
    return leaf.shape, str(leaf.dtype), np.asarray(leaf).tobytes()


_CACHE: dict[Any, Reference] = {}
"""References of this process: the units of a sweep request the same ones repeatedly."""


def _solve(
    game: Game,
    name: str,
    scripted: Sequence[ScriptedPlayer],
    others: Sequence[str | Spec | Player],
    layouts: int,
) -> Reference:
    if isinstance(game, GridGame):
        reference = _grid_reference(game, name, scripted, layouts)
    else:
        n = game.num_players
        seated = [
            (seat, [others[(s - seat) % n - 1] for s in range(n) if s != seat])
            for seat in range(n)
        ]
        reference = _mean_over_seats(game, name, seated)
    if reference.missing != "too_large" or not game.compiled:
        return reference
    bound = bounds.information_relaxation_bound(
        game, others, futures=FUTURES_PER_LAYOUT * layouts
    )
    if bound is None:
        return reference
    return Reference(
        name,
        best=bound.mean,
        best_stderr=bound.stderr,
        kind="information relaxation",
        layouts=bound.games,
    )


def work(game: GridGame, others: Sequence[ScriptedPlayer]) -> float:
    """Return the number of outcomes that solving one layout evaluates.

    They are counted over all positions, steps and joint modes: the outcomes of each player in
    turn where the backup factors, otherwise all joint actions.

    Args:
        game: a grid game.
        others: a player without memory for each other seat.

    Returns:
        A number of outcomes of one player.

    Raises:
        ValueError: there are too many positions, or a player has a memory.
    """
    chains = memoryless_chains(game, others)
    positions = number_positions(game).total * game.max_steps
    modes = math.prod(len(chain.players) for chain in chains)
    values = float(positions) * modes
    if choose_backup(game, chains) is Backup.FACTORED:
        each = max(len(others), 1)
        return values * each * (game.cells + len(game.thing_kind))
    return values * game.num_actions**game.num_players * JOINT_WORK


def _grid_reference(
    game: GridGame, name: str, others: Sequence[ScriptedPlayer], layouts: int
) -> Reference:
    try:
        each = work(game, others)
        count = min(layouts, int(MAX_WORK / each))
        if count < min(MIN_LAYOUTS, layouts):
            limit = MAX_WORK / MIN_LAYOUTS
            reason = f"one layout has {each:.0e} outcomes: expected at most {limit:.0e}"
            return Reference(name, missing="too_large", reason=reason)
        reply = exact.best_reply(game, 0, others, gamma=1.0, layouts=count)
        assert isinstance(reply, GridReply)
        drawn, every = draw_layouts(game, count)
        random = make_player("random", game)
        assert isinstance(random, ScriptedPlayer)
        value, spread = reply.value_of(random, drawn)
    except ValueError as error:
        return Reference(name, missing=_missing(error), reason=str(error))
    return Reference(
        opponents=name,
        best=reply.value,
        best_stderr=_finite(reply.stderr),
        kind=reply.kind,
        layouts=len(drawn),
        random=value,
        random_stderr=0.0 if every else _finite(spread),
        random_from="exact",
    )


def _missing(error: ValueError) -> str:
    return "too_large" if "positions" in str(error) else "not_solved"


def _mean_over_seats(
    game: Game,
    name: str,
    seated: Sequence[tuple[int, Sequence[str | Spec | Player]]],
) -> Reference:
    """Return the mean over focal seats, whose payoffs and neighbours may differ."""
    replies = []
    try:
        for seat, others in seated:
            around: Any = list(others)
            replies.append(
                exact.best_reply(
                    game, seat, around, gamma=1.0, limit=MAX_POSITIONS
                )
            )
    except ValueError as error:
        return Reference(name, missing=_missing(error), reason=str(error))
    exactly = all(reply.kind == "exact" for reply in replies)
    return Reference(
        opponents=name,
        best=float(np.mean([reply.value for reply in replies])),
        kind="exact" if exactly else "upper bound",
    )


def _finite(stderr: float) -> float:
    return float(stderr) if np.isfinite(stderr) else 0.0
