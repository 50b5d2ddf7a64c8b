"""The best reply to fixed players, computed exactly: the reference value of every agent."""

from collections.abc import Sequence
from typing import Any

from bestreply.exact.base import BestReply, Decisions
from bestreply.games import make_game
from bestreply.games.base import Game
from bestreply.games.grid import GridGame
from bestreply.players.base import Player, ScriptedPlayer
from bestreply.players.callback import PlayerFunction, player_errors
from bestreply.players.zoo import make_player
from bestreply.types import ego_order
from bestreply.utils.checks import whole_number
from bestreply.utils.compilation import cache_compilations
from bestreply.utils.spec import Spec

__all__ = ["BestReply", "Decisions", "best_reply"]


@player_errors()
def best_reply(
    game: Game | str,
    seat: int = 0,
    others: Sequence[str | Spec | Player | PlayerFunction]
    | Player
    | PlayerFunction = (),
    *,
    gamma: float = 1.0,
    know: str = "types",
    **settings: Any,
) -> BestReply:
    """Return the best reply (best response) of `seat` to fixed players, by dynamic programming.

    It observes the state; in a game that hides something (`Game.perfect_information`),
    what its own player observes.

    Args:
        game: a game of this library or its name, or one that lists its first states and
            outcomes.
        seat: the replying seat.
        others: one player for each other seat in ego-first order, or one for all of them.
        gamma: discount per step; 1 is the return within the step limit.
        know: "types": the reply observes the mode of each other player (the player that a
            mixture drew, whether a switch has occurred), an upper bound for every reply;
            "belief": it infers the modes from play.
        settings: of the solver. Grid games: ``layouts=64``, the number of initial layouts
            that `value` averages over (0: `value` is NaN), and with beliefs
            ``resolution=12`` (see `solve_belief_grid`). Other games, and grid games from given
            first states: ``limit=2_000_000`` positions, and ``first``, the first states of a
            game that does not list its own (see `tree.solve`).

    Returns:
        Values and decisions of the best reply.

    Raises:
        ValueError: no such seat, the game has too many positions, or a player gives no distribution.
    """
    cache_compilations()
    game = make_game(game)
    n = game.num_players
    seat = whole_number("seat", seat, 0, n - 1, f" in {game.name}")
    given: Any = others
    if isinstance(given, str | Spec | Player) or callable(given):
        given = [given]
    others = list(given) * (n - 1) if len(given) == 1 else list(given)
    if len(others) != n - 1:
        raise ValueError(
            f"{len(others)} others for seat {seat} of {game.name}: expected {n - 1}, or one for "
            "all of them"
        )
    seats = ego_order(n)[seat][1:].tolist()
    players = [
        make_player(p, game, s) for p, s in zip(others, seats, strict=True)
    ]
    if wrong := [p.name for p in players if not isinstance(p, ScriptedPlayer)]:
        raise ValueError(
            f"{', '.join(wrong)}: no exact action distribution: expected scripted "
            "players, or functions with br.player(function, distribution=True)"
        )
    scripted = [p for p in players if isinstance(p, ScriptedPlayer)]
    if isinstance(game, GridGame):
        settings_of_grid = {"seat": seat, "gamma": gamma, **settings}
        if know == "types":
            from bestreply.exact.grid import solve_grid

            return solve_grid(game, scripted, **settings_of_grid)
        if know == "belief" and "first" not in settings:
            from bestreply.exact.belief_grid import solve_belief_grid

            return solve_belief_grid(game, scripted, **settings_of_grid)
    if game.perfect_information:
        from bestreply.exact.tree import solve
    else:
        from bestreply.exact.information_sets import (
            solve_information_sets as solve,
        )

    return solve(game, seat, scripted, gamma=gamma, know=know, **settings)
