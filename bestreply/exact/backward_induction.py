"""Backward induction over the steps of one layout, for any way to average over the opponents."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from bestreply.exact.positions import GridPositions, Layout
from bestreply.games.grid import GridGame, GridState
from bestreply.players.base import ScriptedPlayer
from bestreply.types import Array


class GridProblem(NamedTuple):
    """One layout to solve against given players."""

    modes: tuple[tuple[ScriptedPlayer, ...], ...]
    """For each other player, the players of its modes."""
    transitions: Array  # [T+1, M, M] float32 of the joint mode, before acting at each step
    positions: GridPositions
    layout: Layout
    gamma: Array  # [] float32
    own: ScriptedPlayer | None = None
    """The player in seat 0; None: the best reply."""

    def states(
        self, numbers: slice | np.ndarray, time: int | Int[Array, ""] = 0
    ) -> GridState:
        """Return the states of positions at one step.

        Args:
            numbers: `S'` position numbers, or a slice of all positions.
            time: index of the step.

        Returns:
            States [S', ...].
        """
        cell, left, remains = (
            jnp.asarray(x)[numbers] for x in self.positions[:3]
        )

        def repeat(x: Array) -> jax.Array:
            return jnp.broadcast_to(x, (len(cell), *jnp.shape(x)))

        return GridState(
            cell,
            left,
            repeat(self.layout.blocks),
            repeat(self.layout.thing_cell),
            remains,
            repeat(jnp.asarray(time)),
        )


def policies(
    game: GridGame,
    players: Sequence[ScriptedPlayer],
    seat: int | Int[Array, ""],
    states: GridState,
) -> Float[Array, "M S A"]:
    """Return the policies of several players in one seat.

    Args:
        game: the game of `states`.
        players: `M` players without memory.
        seat: their seat.
        states: `S` states.

    Returns:
        [M, S, A] float32.
    """

    def one(state: GridState) -> jax.Array:
        obs, legal = game.observe(state)[seat], game.legal(state)[seat]
        return jnp.stack(
            [player.policy(player.start(), obs, legal) for player in players]
        )

    return jnp.moveaxis(jax.vmap(one)(states), 1, 0)


def induct_backward(
    game: GridGame,
    problem: GridProblem,
    score: Callable[[jax.Array, jax.Array], jax.Array],
    keep: bool,
) -> Float[Array, "..."]:
    """Return Q of every step if `keep`, otherwise V at the first step.

    Args:
        game: the game to solve.
        problem: layout, other players and discount.
        score: from the next step's V [S+1, M], expected over the modes' transitions, and the
            index of the step to Q [S, M, A].
        keep: keep Q of every step.

    Returns:
        Q [T, S, M, A], -inf for illegal actions; or V [S+1, M], 0 where seat 0 no longer
        plays.
    """
    legal = jax.vmap(game.legal)(problem.states(slice(None)))[:, 0]  # [S, A]

    def backup(
        value: jax.Array, time: jax.Array
    ) -> tuple[jax.Array, jax.Array | None]:
        q = score(value @ problem.transitions[time + 1].T, time)
        best = jnp.where(legal[:, None], q, -jnp.inf)
        if problem.own is None:
            value = best.max(-1)
        else:
            states = problem.states(slice(None), time)
            policy = policies(game, (problem.own,), 0, states)[0]
            value = (policy[:, None] * q).sum(-1)
        return jnp.pad(value, ((0, 1), (0, 0))), best if keep else None

    modes = problem.transitions.shape[-1]
    at_end = jnp.zeros((problem.positions.total + 1, modes))
    value, q = jax.lax.scan(
        backup, at_end, jnp.arange(game.max_steps), reverse=True
    )
    return value if q is None else q
