"""Averages over the other players' joint actions, position by position.

For players whose policies depend on each other's cells:

    Q_t(s, m, a) = sum over a_j of prod_j pi_{m_j}(a_j | s, t) [ r(s, a, a_j) + gamma V_{t+1}(s') ]
"""

import itertools
import math
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from bestreply.exact.backward_induction import (
    GridProblem,
    induct_backward,
    policies,
)
from bestreply.exact.positions import position_number
from bestreply.games.grid import GridGame, GridState
from bestreply.types import Array

LIMIT = 2**28
"""The largest number of entries of one array in memory for one layout."""


def solve_joint(
    game: GridGame, problem: GridProblem, keep: bool
) -> Float[Array, "..."]:
    """Return Q or V as `induct_backward`, averaging over joint actions.

    Args:
        game: the game to solve.
        problem: layout, other players and discount.
        keep: keep Q of every step.

    Returns:
        Q [T, S, M, A] or V [S+1, M].

    Raises:
        ValueError: the joint actions of all positions do not fit in memory.
    """
    positions = problem.positions.total
    modes = [len(players) for players in problem.modes]
    entries = positions * game.max_steps * game.num_actions * sum(modes)
    _refuse_large(game, entries, "probabilities")
    mode_policies, widths = list_policies(game, problem)
    joint = positions * math.prod(widths)
    entries = joint * max(game.num_actions, math.prod(modes))
    _refuse_large(game, entries, "outcomes of a step")
    return _solve(game, problem, mode_policies, widths, keep)


def _refuse_large(game: GridGame, count: int, what: str) -> None:
    if count > LIMIT:
        raise ValueError(
            f"{game.name} against players that observe each other has {count:,} {what} for one "
            f"layout: expected at most {LIMIT:,}. Use players that choose by their own cell and "
            "the remaining things, or a smaller game"
        )


Policies = tuple[Array, ...]
"""For each other player [M_j, T, S, A]: the policies of its modes in every position."""


def list_policies(
    game: GridGame, problem: GridProblem
) -> tuple[Policies, tuple[int, ...]]:
    """Return the policies of the other players in every position of one layout.

    Args:
        game: the game to solve.
        problem: layout and other players.

    Returns:
        [M_j, T, S, A] for each other player, and for each the largest number of actions that
        it may choose among in any position.
    """
    mode_policies = _list_policies(game, problem)
    possible = [np.asarray(_is_possible(p)) for p in mode_policies]
    widths = tuple(int(p.sum(-1).max()) for p in possible)
    return mode_policies, widths


@partial(jax.jit, static_argnames=("game",))
def _list_policies(game: GridGame, problem: GridProblem) -> Policies:
    times = jnp.arange(game.max_steps)

    def of_seat(seat: int) -> jax.Array:
        players = problem.modes[seat - 1]

        def at(time: Array) -> jax.Array:
            states = problem.states(slice(None), time)
            return policies(game, players, seat, states)

        return jnp.moveaxis(jax.lax.map(at, times), 1, 0)

    return tuple(of_seat(seat) for seat in range(1, game.num_players))


@jax.jit
def _is_possible(mode_policies: Array) -> jax.Array:
    """Return [S, A] bool: whether some mode chooses the action at some step."""
    return (mode_policies > 0).any((0, 1))


class JointActions(NamedTuple):
    """The joint actions of the other players, in `W` slots per position."""

    slots: Array  # [W, N-1] int32: by player, which of its possible actions
    actions: Array  # [S, W, N-1] int32
    chances: tuple[Array, ...]  # for each other player [M_j, T, S, its slots]
    modes: (
        np.ndarray
    )  # [M, N-1]: the mode of each other player in each joint mode


def list_joint_actions(
    mode_policies: Policies, widths: tuple[int, ...]
) -> JointActions:
    """Return the joint actions that the other players may choose in each position.

    Args:
        mode_policies: as `list_policies` returns them.
        widths: likewise.

    Returns:
        Joint actions and probabilities, for every position of one layout.
    """
    slots = np.array(list(itertools.product(*map(range, widths))), np.int32)
    slots = jnp.asarray(slots.reshape(-1, len(widths)))
    # Each player's possible actions first, in their order.
    first = [
        jnp.argsort(~_is_possible(p), axis=1, stable=True)[:, :width]
        for p, width in zip(mode_policies, widths, strict=True)
    ]
    actions = [f[:, s] for f, s in zip(first, slots.T, strict=True)]
    chances = [
        jnp.take_along_axis(p, f[None, None], 3)
        for p, f in zip(mode_policies, first, strict=True)
    ]
    modes = itertools.product(*(range(len(p)) for p in mode_policies))
    return JointActions(
        slots, jnp.stack(actions, -1), tuple(chances), np.array(list(modes))
    )


@partial(jax.jit, static_argnames=("game", "widths", "keep"))
def _solve(
    game: GridGame,
    problem: GridProblem,
    mode_policies: Policies,
    widths: tuple[int, ...],
    keep: bool,
) -> jax.Array:
    joint = list_joint_actions(mode_policies, widths)
    following, reward = list_outcomes(game, problem, joint.actions)

    def weigh(slot: Array, time: Array) -> jax.Array:
        """Return the probability [S, M] of the joint actions of one slot."""
        each = [
            p[joint.modes[:, j], time][..., slot[j]]
            for j, p in enumerate(joint.chances)
        ]
        return jnp.stack(each).prod(0).T

    def score(later: jax.Array, time: jax.Array) -> jax.Array:
        weigh_now = jax.vmap(partial(weigh, time=time), out_axes=1)
        weights = weigh_now(joint.slots)  # [S, W, M]

        def of_action(outcome: tuple[Array, Array]) -> Array:
            number, gain = outcome
            returns = gain[..., None] + problem.gamma * later[number]
            return (weights * returns).sum(1)  # [S, M]

        return jnp.moveaxis(jax.lax.map(of_action, (following, reward)), 0, -1)

    return induct_backward(game, problem, score, keep)


def list_outcomes(
    game: GridGame, problem: GridProblem, actions: Int[Array, "S W others"]
) -> tuple[Int[Array, "A S W"], Float[Array, "A S W"]]:
    """Return the outcomes of every own action and joint action in every position.

    Args:
        game: the game to solve.
        problem: layout and positions.
        actions: [S, W, N-1] int32, joint actions of the other players.

    Returns:
        The next position [A, S, W] int32 and the reward of seat 0 [A, S, W].
    """

    def step(
        action: Array, state: GridState, others: Array
    ) -> tuple[Array, Array]:
        joint = jnp.concatenate([action[None], others])
        state, reward = game.advance(state, joint, jax.random.key(0))
        number = position_number(
            game,
            problem.positions,
            state.cell,
            state.left,
            state.thing_present,
        )
        return number, reward[0]

    def of_action(action: Array) -> tuple[Array, Array]:
        each = jax.vmap(partial(step, action), in_axes=(None, 0))
        return jax.vmap(each)(problem.states(slice(None)), actions)

    return jax.lax.map(of_action, jnp.arange(game.num_actions))
