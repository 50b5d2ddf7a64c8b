"""The best possible reply, computed: what any agent can be held against."""

from collections.abc import Sequence
from typing import Any

from bestreply.exact.base import BestReply, Decisions
from bestreply.games.base import Game
from bestreply.games.grid import GridGame
from bestreply.players.base import ScriptedPlayer
from bestreply.players.zoo import make_player
from bestreply.types import ego_order
from bestreply.utils.spec import Spec

__all__ = ["BestReply", "Decisions", "best_reply"]


def best_reply(
    game: Game,
    seat: int = 0,
    others: Sequence[str | Spec | ScriptedPlayer] = (),
    *,
    gamma: float = 1.0,
    know: str = "types",
    **settings: Any,
) -> BestReply:
    """The exact best reply of `seat` to fixed players in all other seats, by dynamic programming.

    Args:
        others: one for each other seat, ego-first order, or one for all of them.
        gamma: discount; 1 is the return within the step limit.
        know: "types": the reply is told which mode each other is in (whom a mixture drew, whether a switch has come), the most that
            anybody could know; "belief": it knows what play has shown.
        settings: ``layouts=64``, how many first layouts of a grid game `value` averages over (0: none, it is NaN), and with beliefs
            ``resolution=12``, the steps in which they are held (`believed.solve_believed`); for all other games, and a grid game from
            given first states on, ``limit=2_000_000`` positions and ``first``, the first states of a game that cannot list its own
            (`tree.solve`).

    Raises ValueError where the game is too large to be solved, or a player gives no exact distribution.
    """
    n = game.num_players
    others = list(others) * (n - 1) if len(others) == 1 else list(others)
    if len(others) != n - 1:
        raise ValueError(
            f"{len(others)} others for seat {seat} of {game.name}; expected: {n - 1}, or one for all of them"
        )
    players = [
        make_player(p, game, int(s))
        for p, s in zip(others, ego_order(n)[seat][1:], strict=True)
    ]
    if wrong := [p.name for p in players if not isinstance(p, ScriptedPlayer)]:
        raise ValueError(
            f"{', '.join(wrong)}: no exact action distribution; expected: scripted players"
        )
    scripted = [p for p in players if isinstance(p, ScriptedPlayer)]
    if isinstance(game, GridGame) and know == "types":
        from bestreply.exact.grid import solve_grid

        return solve_grid(game, scripted, seat=seat, gamma=gamma, **settings)
    if (
        isinstance(game, GridGame)
        and know == "belief"
        and "first" not in settings
    ):
        from bestreply.exact.belief_grid import solve_believed

        return solve_believed(
            game, scripted, seat=seat, gamma=gamma, **settings
        )
    from bestreply.exact.tree import solve

    return solve(game, seat, scripted, gamma=gamma, know=know, **settings)
