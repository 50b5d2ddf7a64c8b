"""The exact best reply in a small game, by dynamic programming over reachable positions.

A position is a game state and the other players' memories, which follow from play, so that the
reply knows it. The positions of one step form a layer; equal positions are merged. With the
other players in joint mode m (`hidden_modes`) and their memories included in s:

    Q_t(s, m, a) = E_{a_j ~ pi_m(. | s)} E_{s' ~ P(. | s, a, a_j)}
                   [ r + gamma E_{m' ~ P_{t+1}(m, .)} [ V_{t+1}(s', m') ] ]
    V_t(s, m) = max over legal a of Q_t(s, m, a)

backwards from V = 0 where the game is over for the seat (Bellman, 1957). A reply that does not
observe modes has a belief b over them in place of m, and belief and state are a position like
any other (Astrom, 1965): b'(m') is proportional to sum_m b(m) pi_m(a_j | s) P_{t+1}(m, m').
Truncation at the step limit ends the game with value 0.
"""

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Int

from bestreply.exact.base import BestReply, Decisions
from bestreply.exact.hidden_modes import mode_chain
from bestreply.exact.tree_layers import Layer, coded, find_layers
from bestreply.exact.tree_moves import TreeProblem, listed
from bestreply.games.base import Game, Outcomes
from bestreply.players.base import Player, ScriptedPlayer
from bestreply.players.zoo import make_player
from bestreply.types import ABSENT, Array, Episodes, ego_order
from bestreply.utils.compilation import cache_compilations
from bestreply.utils.spec import Spec

LIMIT = 2_000_000
"""Default limit on the positions that `solve` holds in memory."""


@dataclasses.dataclass(frozen=True, eq=False)
class TreeReply(BestReply):
    """The best reply position by position; returned by `solve`."""

    sizes: tuple[int, ...]
    """The number of modes of each other player that the reply observes; 1 if none."""
    layers: tuple[Layer, ...] = dataclasses.field(repr=False)
    q: tuple[np.ndarray, ...] = dataclasses.field(repr=False)
    """For each layer [P, C, A] float64."""

    @property
    def positions(self) -> int:
        """The number of positions in all layers."""
        return sum(len(layer.obs) for layer in self.layers)

    def decisions(
        self,
        episodes: Episodes,
        seats: Int[Array, " E"] | None = None,
        modes: Int[Array, "E T others"] | None = None,
    ) -> Decisions:
        """Return V* and Q* at every step of logged play, as `BestReply.decisions`.

        Args:
            episodes: play of this game with all seats' observations.
            seats: [E] int, the focal seat of each episode, which must be `seat`.
            modes: [E, T, N-1] int, as `BestReply.decisions`.

        Returns:
            Values of the focal seat's decisions.

        Raises:
            ValueError: the play is of another game or other players, the observations do not
                identify the outcome of chance, or `modes` is required and not given.
        """
        if seats is not None and (np.asarray(seats) != self.seat).any():
            raise ValueError(
                f"seats={np.unique(np.asarray(seats)).tolist()} for a best reply of seat "
                f"{self.seat}: expected that seat alone. Solve for each seat and give each its "
                "own episodes"
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
    """Return the exact best reply of `seat`, which observes all but the hidden modes.

    Args:
        game: any game that lists its outcomes.
        seat: the replying seat.
        others: a scripted player for each other seat, in ego-first order.
        gamma: discount per step.
        know: "types": the reply observes the modes at every step; "belief": it knows their
            prior and infers them from play.
        limit: the largest number of positions.
        first: first states of a game that does not list its own (`Game.first_states`).

    Returns:
        The best reply with the layers of positions and their Q*.

    Raises:
        ValueError: there are more positions than `limit`, a player gives no distribution or
            draws what it remembers at random, or the game does not list its first states or
            outcomes.
    """
    cache_compilations()
    check_arguments(game, seat, others, gamma, know)
    problem, names = problem_of(game, seat, others, know, limit)
    first = first_of(game, first)
    layers, begins = find_layers(problem, first)
    initial = problem.initial() if problem.sees_modes else np.ones(1)
    q, value = _induct_backward(problem, layers, gamma)
    start = np.where(begins >= 0, value[np.maximum(begins, 0)] @ initial, 0.0)
    hidden = problem.sees_modes and len(initial) > 1
    return TreeReply(
        game=game,
        seat=seat,
        others=names,
        gamma=gamma,
        know=know,
        kind="upper bound" if hidden else "exact",
        value=float(np.average(start, weights=first.probability)),
        stderr=0.0,
        sizes=tuple(
            len(chain.players) if problem.sees_modes else 1
            for chain in problem.chains
        ),
        layers=tuple(layers),
        q=q,
    )


def _induct_backward(
    problem: TreeProblem, layers: Sequence[Layer], gamma: float
) -> tuple[tuple[np.ndarray, ...], np.ndarray]:
    """Return Q [P, C, A] of every layer, and V [P, C] of the first."""
    modes = len(problem.initial()) if problem.sees_modes else 1
    q: list[np.ndarray] = []
    value = np.zeros(
        (1, modes)
    )  # after the last layer, which has no successors
    for time, layer in reversed(list(enumerate(layers))):
        mix = problem.transition(time + 1) if problem.sees_modes else np.eye(1)
        later = value @ mix.T
        q.append(_backup(layer, later, gamma, problem.game.num_actions))
        value = q[-1].max(-1)
    return tuple(q[::-1]), value


def _backup(
    layer: Layer, later: np.ndarray, gamma: float, num_actions: int
) -> np.ndarray:
    """Return Q [P, C, A] of a layer.

    `later` [P', C] holds the next layer's values, expected over the modes' transitions.
    """
    continues = (layer.child >= 0)[:, None]
    future = np.where(continues, later[np.maximum(layer.child, 0)], 0.0)
    returns = layer.reward[:, None] + gamma * future
    outcome = layer.probability[:, None] * returns  # [Y, C]
    expected = np.zeros_like(layer.weight)
    np.add.at(expected, layer.step, outcome)
    size, joint = len(layer.obs), num_actions ** (layer.obs.shape[1] - 1)
    q = np.zeros((size * num_actions, expected.shape[1]))
    np.add.at(q, layer.code // joint, layer.weight * expected)
    q = q.reshape(size, num_actions, -1).swapaxes(1, 2)
    return np.where(layer.legal[:, None], q, -np.inf)


def problem_of(
    game: Game,
    seat: int,
    others: Sequence[str | Spec | Player],
    know: str,
    limit: int,
) -> tuple[TreeProblem, tuple[str, ...]]:
    """Return what is to be solved, and the names of the other players.

    Args:
        game: the game.
        seat: the replying seat.
        others: a scripted player for each other seat, in ego-first order.
        know: "types" or "belief".
        limit: the largest number of positions.

    Raises:
        ValueError: a player gives no distribution or draws what it remembers at random.
    """
    seats = tuple(ego_order(game.num_players)[seat][1:].tolist())
    players = [
        _scripted(p, game, s) for p, s in zip(others, seats, strict=True)
    ]
    chains = tuple(mode_chain(p, game) for p in players)
    problem = TreeProblem(game, seat, seats, chains, know == "types", limit)
    return problem, tuple(p.name for p in players)


def first_of(game: Game, first: Outcomes | None) -> Outcomes:
    """Return the first states in NumPy.

    Args:
        game: the game.
        first: given first states; None: those that the game lists.

    Raises:
        ValueError: the game lists none.
    """
    first = game.first_states() if first is None else first
    if first is None:
        raise ValueError(
            f"game={game.name}: expected a game whose rules list every first state "
            "and outcome (`first_states`, `outcomes`)"
        )
    return listed(first)


def check_arguments(
    game: Game,
    seat: int,
    others: Sequence[str | Spec | Player],
    gamma: float,
    know: str,
) -> None:
    """Check the arguments of `solve`.

    Args:
        game: the game.
        seat: the replying seat.
        others: a player for each other seat.
        gamma: discount per step.
        know: "types" or "belief".

    Raises:
        ValueError: one is not as `solve` expects.
    """
    n = game.num_players
    if not 0 <= seat < n:
        raise ValueError(f"seat={seat} of {game.name}: expected 0 to {n - 1}")
    if isinstance(others, str | Player) or len(others) != n - 1:
        raise ValueError(
            f"others={others!r} for seat {seat} of {game.name}: expected {n - 1}, one for each "
            "other seat"
        )
    if not 0 <= gamma <= 1:
        raise ValueError(f"gamma={gamma}: expected a discount, 0 to 1")
    if know not in ("types", "belief"):
        raise ValueError(f"know={know!r}: expected 'types' or 'belief'")


def _scripted(
    spec: str | Spec | Player, game: Game, seat: int
) -> ScriptedPlayer:
    player = make_player(spec, game, seat)
    if not isinstance(player, ScriptedPlayer):
        raise ValueError(
            f"{player.name} gives no exact action distribution: expected scripted players"
        )
    return player


# -- logged play -----------------------------------------------------------------------


def _walk(
    reply: TreeReply, episodes: Episodes
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield for each step the episodes [R] in which the seat acts and their positions [R]."""
    game, seat, layers = reply.game, reply.seat, reply.layers
    obs, action = np.asarray(episodes.obs), np.asarray(episodes.action)
    if obs.shape[2:] != (game.num_players, *game.obs_shape):
        raise ValueError(
            f"episodes.obs of shape {obs.shape[2:]} per step: expected play of {game.name} with "
            f"all seats' observations, {(game.num_players, *game.obs_shape)} (a lean log has none)"
        )
    rows = np.flatnonzero(action[:, 0, seat] != ABSENT)
    options = np.arange(len(layers[0].obs)) if layers else np.full(1, -1)
    options = np.tile(options, (len(rows), 1))
    for time in range(len(layers)):
        if not len(rows):
            return
        at = _identify(reply, time, rows, options, obs[rows, time])
        yield rows, at
        if time + 1 == action.shape[1]:
            return
        acts = action[rows, time + 1, seat] != ABSENT
        rows, at = rows[acts], at[acts]
        taken = np.maximum(action[rows, time], 0)
        options = _successors(reply, time, rows, at, taken)
    if len(rows):
        raise ValueError(
            f"episode {rows[0]} continues after step {len(layers)}: {_expected(reply)}"
        )


def _identify(
    reply: TreeReply,
    time: int,
    rows: np.ndarray,
    options: np.ndarray,
    obs: np.ndarray,
) -> np.ndarray:
    """Return the position [R] int64 of `options` [R, K] (-1: none) with observation `obs`."""
    layer_obs = reply.layers[time].obs
    matches = np.zeros(options.shape, bool)
    for k, option in enumerate(options.T):
        close = np.isclose(layer_obs[option], obs, atol=1e-5)
        matches[:, k] = (option >= 0) & close.reshape(len(obs), -1).all(1)
    at = np.where(matches, options, -1).max(1, initial=-1)
    for row in rows[at < 0][:1]:
        raise ValueError(
            f"episode {row} cannot reach its observation at step {time}: {_expected(reply)}"
        )
    ambiguous = (matches & (options != at[:, None])).any(1)
    for row in rows[ambiguous][:1]:
        raise ValueError(
            f"episode {row}: the observations at step {time} of {reply.game.name} do not identify "
            "the outcome of chance: expected a game whose observations do"
        )
    return at


def _successors(
    reply: TreeReply,
    time: int,
    rows: np.ndarray,
    at: np.ndarray,
    actions: np.ndarray,
) -> np.ndarray:
    """Return the successors [R, K] int64 of positions `at` [R] after `actions` [R, N].

    Rows are padded with -1.
    """
    layer, game = reply.layers[time], reply.game
    seats = ego_order(game.num_players)[reply.seat][1:]
    own, others = actions[:, reply.seat], actions[:, seats]
    code = coded(at, own, others, game.num_actions)
    step = np.searchsorted(layer.code, code)
    known = layer.code[np.minimum(step, len(layer.code) - 1)] == code
    for row, joint in zip(rows[~known], actions[~known], strict=True):
        raise ValueError(
            f"episode {row}: the actions {joint.tolist()} at step {time} are impossible: "
            f"{_expected(reply)}"
        )
    begin = np.searchsorted(layer.step, step)
    end = np.searchsorted(layer.step, step, side="right")
    which = begin[:, None] + np.arange((end - begin).max(initial=0))
    child = layer.child[np.minimum(which, len(layer.child) - 1)]
    return np.where(which < end[:, None], child, -1)


def _expected(reply: TreeReply) -> str:
    return (
        f"expected first episodes of {reply.game.name} with {', '.join(reply.others)} as the "
        f"other players of seat {reply.seat}, in this order"
    )
