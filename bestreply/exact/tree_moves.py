"""Positions of a small game and the moves out of them, for the solvers of `tree_layers`
and `information_sets`."""

import functools
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Int

from bestreply.exact.hidden_modes import ModeChain
from bestreply.games.base import Game, Outcomes
from bestreply.players.base import ScriptedPlayer
from bestreply.types import Array, TimeStep, ego_order

CHUNK = 2**14
"""Joint actions that are expanded side by side."""

Tree = TypeVar("Tree")


class TreeProblem(NamedTuple):
    """A game, a seat, the modes of the other players, and what the seat observes of them."""

    game: Game
    seat: int
    seats: tuple[int, ...]  # of the other players
    chains: tuple[ModeChain, ...]  # of each other player
    sees_modes: bool
    limit: int

    @property
    def players(self) -> tuple[tuple[ScriptedPlayer, ...], ...]:
        """For each other player, the players of its modes."""
        return tuple(chain.players for chain in self.chains)

    def initial(self) -> np.ndarray:
        """Return the distribution of the joint mode at the first step.

        Returns:
            [M] float64; the mode of the first other player changes slowest.
        """
        before = [chain.initial for chain in self.chains]
        return functools.reduce(np.kron, before, np.ones(1)) @ self.transition(
            0
        )

    def transition(self, step: int) -> np.ndarray:
        """Return the transition matrix of the joint mode, as in `ModeChain`.

        Args:
            step: index of the step; the matrix applies before acting at it.

        Returns:
            [M, M] float64.
        """
        each = [chain.transition(step) for chain in self.chains]
        return functools.reduce(np.kron, each, np.eye(1))


class TreePositions(NamedTuple):
    """The positions of one step, with all that their expansion needs."""

    state: Any  # leaves [P, ...]; of a host game [P] objects
    shown: TimeStep  # [P, ...]
    carries: Any  # by other player and mode: its memory after observing, leaves [P, ...]
    belief: np.ndarray
    """[P, M] float64 over joint modes; with modes observed, 1 for each possible one."""


def too_many(problem: TreeProblem) -> ValueError:
    """Return the error of a game with more positions than the limit.

    Args:
        problem: the game and its limit.
    """
    return ValueError(
        f"more than {problem.limit:,} positions of {problem.game.name} can be reached: "
        "expected at most that many. Use fewer rounds or actions, or players that "
        "remember less; or give a higher `limit`, if memory allows"
    )


def is_over(seat: int, shown: TimeStep) -> np.ndarray:
    """Return whether the game is over for a seat.

    Args:
        seat: the seat.
        shown: `Y` time steps.

    Returns:
        [Y] bool.
    """
    ended, present = np.asarray(shown.terminated), np.asarray(shown.present)
    finished = ended[:, seat] | ended.all(1) | np.asarray(shown.truncated)
    return finished | ~present[:, seat]


def after_seeing(
    problem: TreeProblem, reached: TreePositions, last: Int[np.ndarray, "Y N"]
) -> TreePositions:
    """Return positions after the other players have observed them.

    Args:
        problem: game, seat and other players.
        reached: `Y` positions.
        last: [Y, N] int32, the joint action that led to each.
    """
    see = partial(_see, problem.players, problem.seats)
    carries = batched(see, reached.carries, reached.shown.obs, last)
    return reached._replace(carries=carries)


def after_acting(
    problem: TreeProblem,
    positions: TreePositions,
    at: Int[np.ndarray, " Y"],
    actions: Int[np.ndarray, "Y N"],
) -> Any:
    """Return the other players' memories after joint actions.

    Args:
        problem: game, seat and other players.
        positions: `P` positions, after the players have observed them.
        at: [Y] int, the position of each joint action.
        actions: [Y, N] int32.

    Returns:
        Leaves [Y, ...].
    """
    carries = take(positions.carries, at)
    if not jax.tree.leaves(carries):
        return carries
    act = partial(_act, problem.players, problem.seats)
    obs, legal = take((positions.shown.obs, positions.shown.legal), at)
    return batched(act, carries, obs, legal, actions)


def row_keys(leaves: Sequence[np.ndarray], size: int) -> list[bytes]:
    """Return a key of each row of several arrays, the same for equal rows.

    Args:
        leaves: arrays [size, ...].
        size: the number of rows.
    """
    # Adding 0.0 turns -0.0 into 0.0.
    leaves = [x + 0.0 if x.dtype.kind == "f" else x for x in leaves if x.size]
    columns = [
        np.ascontiguousarray(x).reshape(size, -1).view(np.uint8) for x in leaves
    ]
    rows = np.concatenate([np.zeros((size, 1), np.uint8), *columns], 1)
    return rows.view(f"V{rows.shape[1]}")[:, 0].tolist()


def first_carries(problem: TreeProblem, size: int) -> Any:
    """Return the other players' memories at the start of `size` games.

    Args:
        problem: game, seat and other players.
        size: the number of games, K.

    Returns:
        By player and mode, leaves [K, ...].
    """
    return tuple(
        tuple(jax.device_get(p.init(size)) for p in players)
        for players in problem.players
    )


def joint_actions(
    problem: TreeProblem, positions: TreePositions
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return every possible joint action.

    Args:
        problem: game, seat and other players.
        positions: `P` positions.

    Returns:
        Its position [X], the action of every seat [X, N], and belief times likelihood
        [X, M].
    """
    seat, size = problem.seat, len(positions.belief)
    count, modes = problem.game.num_actions, positions.belief.shape[1]
    policies = _mode_policies(problem, positions)
    shape = (count,) * len(policies)
    parts = []
    rows = max(1, CHUNK * 64 // (modes * count ** len(policies)))
    for begin in range(0, size, rows):
        chunk = slice(begin, begin + rows)
        joint = np.ones((len(positions.belief[chunk]), 1, 1))  # [P, M, J]
        for p in policies:
            product = joint[:, :, None, :, None] * p[chunk, None, :, None, :]
            merged = joint.shape[1] * p.shape[1]
            joint = product.reshape(len(joint), merged, -1)
        joint = positions.belief[chunk, :, None] * joint
        joint = joint.swapaxes(1, 2)  # [P, J, M]
        possible = np.any(joint > 0, axis=2)[:, None]
        legal = positions.shown.legal[chunk, seat, :, None]
        at, own, others = np.nonzero(legal & possible)
        actions = np.empty((len(at), 1 + len(policies)), np.int32)
        actions[:, seat] = own
        actions[:, problem.seats] = np.stack(np.unravel_index(others, shape), 1)
        parts.append((at + begin, actions, joint[at, others]))
    at, actions, joint = map(np.concatenate, zip(*parts, strict=True))
    return at, actions, joint


def _mode_policies(
    problem: TreeProblem, positions: TreePositions
) -> list[np.ndarray]:
    """Return the policies of each other player's modes, [P, M_j, A] float64 each.

    A seat that does not act has action 0.
    """
    shown = positions.shown
    policy = partial(_policies, problem.players, problem.seats)
    policies = batched(policy, positions.carries, shown.obs, shown.legal)
    acts = np.logical_and(shown.present, np.logical_not(shown.terminated))
    no_action = np.arange(problem.game.num_actions) == 0
    exact = [p / p.sum(-1, keepdims=True, dtype=np.float64) for p in policies]
    return [
        np.where(acts[:, s, None, None], p, no_action)
        for s, p in zip(problem.seats, exact, strict=True)
    ]


def outcomes_of(
    game: Game, state: Any, actions: np.ndarray
) -> tuple[np.ndarray, Outcomes]:
    """Return the outcomes of steps.

    Args:
        game: the game.
        state: `X` states, leaves [X, ...]; of a host game [X] objects.
        actions: [X, N] int32.

    Returns:
        The row [Y] of the step of each outcome of positive probability, and the
        outcomes [Y].
    """
    if game.compiled:
        outcomes = batched(
            partial(_outcomes, game), state, actions
        )  # [X, K, ..]
        row = np.repeat(np.arange(len(actions)), outcomes.probability.shape[1])
        ends = jax.tree.map(
            lambda x: x.reshape(len(row), *x.shape[2:]), outcomes
        )
    else:
        each = [
            listed(game.outcomes(s, a))
            for s, a in zip(state, actions, strict=True)
        ]
        counts = [len(x.probability) for x in each]
        row = np.repeat(np.arange(len(actions)), counts)
        ends = jax.tree.map(lambda *x: np.concatenate(x), *each)
    total = np.bincount(row, ends.probability)[row]
    probability = ends.probability / total  # float64
    possible = np.flatnonzero(probability > 0)
    ends = ends._replace(probability=probability)
    return row[possible], take(ends, possible)


def listed(outcomes: Outcomes) -> Outcomes:
    """Return the same outcomes in NumPy, a list of states as an array of objects.

    Args:
        outcomes: `K` outcomes of a compiled game or a host game.

    Returns:
        `K` outcomes whose leaves have the same indices.
    """
    if not isinstance(outcomes.state, list):
        return jax.device_get(outcomes)
    states = np.empty(len(outcomes.state), object)
    states[:] = outcomes.state
    return outcomes._replace(state=states)


def take(tree: Tree, index: np.ndarray | slice) -> Tree:
    """Return the rows of a tree of arrays.

    Args:
        tree: leaves [X, ...].
        index: indices [R], or a slice.
    """
    return jax.tree.map(lambda x: x[index], tree)


def batched(function: Callable[..., Any], *trees: Any) -> Any:
    """Return a function of arrays, in NumPy.

    The arrays are padded to one of a few sizes, as each size is compiled once.

    Args:
        function: of trees of arrays.
        trees: leaves [X, ...].

    Returns:
        Leaves [X, ...].
    """
    size = len(jax.tree.leaves(trees)[0])
    padded = 64
    while padded < size:
        padded *= 4
    index = np.minimum(np.arange(padded), size - 1)
    return take(jax.device_get(function(*take(trees, index))), slice(size))


@partial(jax.jit, static_argnums=0)
def _outcomes(game: Game, state: Any, actions: Array) -> Outcomes:
    return jax.vmap(game.outcomes)(state, actions)


@partial(jax.jit, static_argnums=1)
def _see(
    players: Any, seats: tuple[int, ...], carries: Any, obs: Array, last: Array
) -> Any:
    """Return each mode's memory after observing `obs` [X, N, ...] and actions `last` [X, N]."""
    order = ego_order(last.shape[1])
    # No mode reads the key: `mode_chain` refuses those that do.
    key = jax.random.key(0)

    def one(carries: Any, obs: Array, last: Array) -> Any:
        return tuple(
            tuple(
                p.see(c, obs[s], last[order[s, 1:]], key)
                for p, c in zip(modes, memories, strict=True)
            )
            for s, modes, memories in zip(seats, players, carries, strict=True)
        )

    return jax.vmap(one)(carries, obs, last)


@partial(jax.jit, static_argnums=1)
def _act(
    players: Any,
    seats: tuple[int, ...],
    carries: Any,
    obs: Array,
    legal: Array,
    actions: Array,
) -> Any:
    """Return each mode's memory after acting; each mode takes its seat's action for its own."""

    def one(carries: Any, obs: Array, legal: Array, actions: Array) -> Any:
        return tuple(
            tuple(
                p.remember(c, obs[s], legal[s], actions[s])
                for p, c in zip(modes, memories, strict=True)
            )
            for s, modes, memories in zip(seats, players, carries, strict=True)
        )

    return jax.vmap(one)(carries, obs, legal, actions)


@partial(jax.jit, static_argnums=1)
def _policies(
    players: Any, seats: tuple[int, ...], carries: Any, obs: Array, legal: Array
) -> tuple[Array, ...]:
    """Return the policies of each other player's modes, [X, M_j, A] each."""

    def one(carries: Any, obs: Array, legal: Array) -> tuple[Array, ...]:
        return tuple(
            jnp.stack(
                [
                    p.policy(c, obs[s], legal[s])
                    for p, c in zip(modes, memories, strict=True)
                ]
            )
            for s, modes, memories in zip(seats, players, carries, strict=True)
        )

    return jax.vmap(one)(carries, obs, legal)
