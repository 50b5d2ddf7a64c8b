"""The exact best reply in a small game of any kind, by dynamic programming over the positions that play can reach.

A position is a game state and what the others remember, which follows from play: the reply knows it. Positions of a step are a layer,
and equal ones are one. For others in joint mode m (see `modes`), with memory included in s:

    Q_t(s, m, a) = E_{a_j ~ pi_m(. | s)} E_{s' ~ P(. | s, a, a_j)} [ r + gamma E_{m' ~ P_{t+1}(m, .)} [ V_{t+1}(s', m') ] ]
    V_t(s, m) = max over legal a of Q_t(s, m, a)

backwards from V = 0 where the game is over for the seat (Bellman, 1957). A reply that is told no modes has a belief b over them in
the place of m, in which it is still a position like any other (Astrom, 1965): b'(m') = sum_m b(m) pi_m(a_j | s) P_{t+1}(m, m'), to
scale. The end at a step limit is an end: what is earned is earned by then.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from bestreply.exact.base import BestReply, Decisions
from bestreply.exact.hidden_modes import modes_of
from bestreply.exact.tree_layers import (
    Layer,
    Problem,
    coded,
    find_layers,
    listed,
)
from bestreply.games.base import Game, Outcomes
from bestreply.players.base import Player, ScriptedPlayer
from bestreply.players.zoo import make_player
from bestreply.types import ABSENT, Array, Episodes, ego_order
from bestreply.utils.compilation import cache_compilations
from bestreply.utils.spec import Spec

LIMIT = 2_000_000
"""Positions that `solve` holds in memory unless told otherwise."""


@dataclasses.dataclass(frozen=True, eq=False)
class TreeReply(BestReply):
    """The best reply, position by position; `solve` makes it."""

    sizes: tuple[
        int, ...
    ]  # how many modes it is told of, of each other; 1 where it is told of none
    layers: tuple[Layer, ...] = dataclasses.field(repr=False)
    q: tuple[np.ndarray, ...] = dataclasses.field(
        repr=False
    )  # for each layer [P, C, A] float64

    @property
    def positions(self) -> int:
        """How many there are in all."""
        return sum(len(layer.obs) for layer in self.layers)

    def decisions(
        self,
        episodes: Episodes,
        seats: Array | None = None,
        modes: Array | None = None,
    ) -> Decisions:
        """As `BestReply.decisions`.

        Raises ValueError where the play is not of this game against these others, and where the seats' observations do not tell
        which way chance went.
        """
        if seats is not None and (np.asarray(seats) != self.seat).any():
            raise ValueError(
                f"focal seats {np.unique(np.asarray(seats)).tolist()} for a best reply of seat {self.seat}; expected: that seat alone. "
                "Solve for each seat and give each its own episodes"
            )
        action = np.asarray(episodes.action)
        mode = self._joint_mode(action.shape[:2], self.sizes, modes)
        q = np.full((*action.shape[:2], self.game.num_actions), np.nan)
        for time, (rows, at) in enumerate(_walk(self, episodes)):
            q[rows, time] = self.q[time][at, mode[rows, time]]
        return Decisions(q.max(-1), q)


def solve(
    game: Game,
    seat: int,
    others: Sequence[str | Spec | Player],
    *,
    gamma: float = 1.0,
    know: str = "types",
    limit: int = LIMIT,
    first: Outcomes | None = None,
) -> TreeReply:
    """The exact best reply of `seat` to `others` (ego-first order), which sees everything but their hidden modes.

    Args:
        know: "types": it is told the others' modes at every moment; "belief": it knows the prior and what play has shown.
        limit: the most positions there may be.
        first: first states to solve for, of a game that cannot list its own (`Game.first_states`).

    Raises ValueError for more positions than `limit`, for a player that gives no exact distribution or draws what it remembers,
    and for a game that does not list its first states or how its steps can end.
    """
    cache_compilations()
    _check(game, seat, others, gamma, know)
    seats = tuple(ego_order(game.num_players)[seat][1:].tolist())
    players = [
        _scripted(p, game, s) for p, s in zip(others, seats, strict=True)
    ]
    problem = Problem(
        game,
        seat,
        seats,
        tuple(modes_of(p, game) for p in players),
        know == "types",
        limit,
    )
    first = game.first_states() if first is None else first
    if first is None:
        raise ValueError(
            f"{game.name} does not list its first states; expected: `first`, `Outcomes` to begin with"
        )
    first = listed(first)
    layers, begins = find_layers(problem, first)
    initial = problem.initial() if problem.told else np.ones(1)
    q: list[np.ndarray] = []
    value = np.zeros(
        (1, len(initial))
    )  # of the layer after the last: nothing leads there
    for time, layer in reversed(list(enumerate(layers))):
        mix = problem.transition(time + 1) if problem.told else np.eye(1)
        q.append(_backup(layer, value @ mix.T, gamma, game.num_actions))
        value = q[-1].max(-1)
    start = np.where(begins >= 0, value[np.maximum(begins, 0)] @ initial, 0.0)
    hidden = problem.told and len(initial) > 1
    return TreeReply(
        game=game,
        seat=seat,
        others=tuple(p.name for p in players),
        gamma=gamma,
        know=know,
        kind="upper bound" if hidden else "exact",
        value=float(np.average(start, weights=first.probability)),
        stderr=0.0,
        sizes=tuple(
            len(m.players) if problem.told else 1 for m in problem.modes
        ),
        layers=tuple(layers),
        q=tuple(q[::-1]),
    )


def _backup(
    layer: Layer, later: np.ndarray, gamma: float, num_actions: int
) -> np.ndarray:
    """Q [P, C, A] of a layer, for `later` [P', C]: the next layer's values, expected over the modes' next moves."""
    there = (layer.child >= 0)[:, None]
    future = np.where(there, later[np.maximum(layer.child, 0)], 0.0)
    ends = layer.probability[:, None] * (
        layer.reward[:, None] + gamma * future
    )  # [Y, C]
    worth = np.zeros_like(layer.weight)
    np.add.at(worth, layer.step, ends)
    size, joint = len(layer.obs), num_actions ** (layer.obs.shape[1] - 1)
    q = np.zeros((size * num_actions, worth.shape[1]))
    np.add.at(q, layer.code // joint, layer.weight * worth)
    q = q.reshape(size, num_actions, -1).swapaxes(1, 2)
    return np.where(layer.legal[:, None], q, -np.inf)


def _check(
    game: Game, seat: int, others: Sequence[Any], gamma: float, know: str
) -> None:
    n = game.num_players
    if not 0 <= seat < n:
        raise ValueError(f"seat={seat} of {game.name}; expected: 0 to {n - 1}")
    if isinstance(others, str | Player) or len(others) != n - 1:
        raise ValueError(
            f"others={others!r} for seat {seat} of {game.name}; expected: {n - 1}, one for each other seat"
        )
    if not 0 <= gamma <= 1:
        raise ValueError(f"gamma={gamma}; expected: a discount, 0 to 1")
    if know not in ("types", "belief"):
        raise ValueError(f"know={know!r}; expected: 'types' or 'belief'")


def _scripted(
    spec: str | Spec | Player, game: Game, seat: int
) -> ScriptedPlayer:
    player = make_player(spec, game, seat)
    if not isinstance(player, ScriptedPlayer):
        raise ValueError(
            f"{player.name} gives no exact action distribution; expected: scripted players"
        )
    return player


# -- logged play ---------------------------------------------------------------------------------------------------------------


def _walk(
    reply: TreeReply, episodes: Episodes
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """For each step, the episodes [R] in which the seat acts and the positions [R] of the step's layer that they have come to."""
    game, seat = reply.game, reply.seat
    obs, action = np.asarray(episodes.obs), np.asarray(episodes.action)
    if obs.shape[2:] != (game.num_players, *game.obs_shape):
        raise ValueError(
            f"episodes with observations of shape {obs.shape[2:]}; expected: play of {game.name} with all seats' observations, "
            f"{(game.num_players, *game.obs_shape)} (a lean log has none)"
        )
    rows = np.flatnonzero(action[:, 0, seat] != ABSENT)
    options = (
        np.arange(len(reply.layers[0].obs)) if reply.layers else np.full(1, -1)
    )
    options = np.tile(options, (len(rows), 1))
    for time in range(len(reply.layers)):
        if not len(rows):
            return
        at = _choose(reply, time, rows, options, obs[rows, time])
        yield rows, at
        if time + 1 == action.shape[1]:
            return
        on = action[rows, time + 1, seat] != ABSENT
        rows, at = rows[on], at[on]
        options = _following(
            reply, time, rows, at, np.maximum(action[rows, time], 0)
        )
    if len(rows):
        raise ValueError(
            f"episode {rows[0]} goes on after step {len(reply.layers)}; {_foreign(reply)}"
        )


def _choose(
    reply: TreeReply,
    time: int,
    rows: np.ndarray,
    options: np.ndarray,
    obs: np.ndarray,
) -> np.ndarray:
    """[R] int64: the one of the positions `options` [R, K] (-1: none) that looks as `obs` [R, N, ...] does."""
    there = reply.layers[time].obs
    alike = np.zeros(options.shape, bool)
    for k, option in enumerate(options.T):
        alike[:, k] = (option >= 0) & np.isclose(
            there[option], obs, atol=1e-5
        ).reshape(len(obs), -1).all(1)
    at = np.where(alike, options, -1).max(1, initial=-1)
    for row in rows[at < 0][:1]:
        raise ValueError(
            f"episode {row} cannot come to what it shows at step {time}; {_foreign(reply)}"
        )
    for row in rows[(alike & (options != at[:, None])).any(1)][:1]:
        raise ValueError(
            f"episode {row}: what the seats see at step {time} of {reply.game.name} does not tell which way chance went; expected: a "
            "game whose observations do"
        )
    return at


def _following(
    reply: TreeReply,
    time: int,
    rows: np.ndarray,
    at: np.ndarray,
    actions: np.ndarray,
) -> np.ndarray:
    """[R, K] int64: the positions that can follow `at` [R] after `actions` [R, N], filled up with -1."""
    layer, seats = (
        reply.layers[time],
        ego_order(reply.game.num_players)[reply.seat][1:],
    )
    code = coded(
        at, actions[:, reply.seat], actions[:, seats], reply.game.num_actions
    )
    step = np.searchsorted(layer.code, code)
    known = layer.code[np.minimum(step, len(layer.code) - 1)] == code
    for row, joint in zip(rows[~known], actions[~known], strict=True):
        raise ValueError(
            f"episode {row}: the actions {joint.tolist()} at step {time} cannot be; {_foreign(reply)}"
        )
    begin, end = (
        np.searchsorted(layer.step, step),
        np.searchsorted(layer.step, step, side="right"),
    )
    which = begin[:, None] + np.arange((end - begin).max(initial=0))
    return np.where(
        which < end[:, None],
        layer.child[np.minimum(which, len(layer.child) - 1)],
        -1,
    )


def _foreign(reply: TreeReply) -> str:
    return f"expected: first episodes of {reply.game.name} with {', '.join(reply.others)} as the others of seat {reply.seat}, in this order"
