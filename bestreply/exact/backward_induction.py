"""Backwards through the steps of one layout, however the others' moves are weighed; what everybody does in each position."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from bestreply.exact.positions import Layout, Positions
from bestreply.games.grid import GridGame, GridState
from bestreply.players.base import ScriptedPlayer
from bestreply.types import Array


class Case(NamedTuple):
    """What is to be solved: one layout, against these others."""

    modes: tuple[
        tuple[ScriptedPlayer, ...], ...
    ]  # the players of each other's modes
    transitions: Array  # [T+1, M, M] float32: the others' joint mode's, before acting at each step
    positions: Positions
    layout: Layout
    gamma: Array  # [] float32
    own: ScriptedPlayer | None = (
        None  # plays in seat 0 in place of the best reply
    )

    def states(
        self, numbers: slice | np.ndarray, time: Array | int = 0
    ) -> GridState:
        """The states [S', ...] of positions by their numbers."""
        cell, left, there = (
            jnp.asarray(x)[numbers] for x in self.positions[:3]
        )

        def every(x: Array) -> jax.Array:
            return jnp.broadcast_to(x, (len(cell), *jnp.shape(x)))

        blocks, thing_cell = (
            every(self.layout.blocks),
            every(self.layout.thing_cell),
        )
        return GridState(
            cell, left, blocks, thing_cell, there, every(jnp.asarray(time))
        )


def policies(
    game: GridGame,
    players: Sequence[ScriptedPlayer],
    seat: int,
    states: GridState,
) -> jax.Array:
    """[M, S, A] float32: what each of `players` does in `seat`, for states [S, ...]."""

    def one(state: GridState) -> jax.Array:
        obs, legal = game.observe(state)[seat], game.legal(state)[seat]
        return jnp.stack(
            [player.policy(player.start(), obs, legal) for player in players]
        )

    return jnp.moveaxis(jax.vmap(one)(states), 1, 0)


def backward(
    game: GridGame,
    case: Case,
    score: Callable[[jax.Array, jax.Array], jax.Array],
    keep: bool,
) -> jax.Array:
    """Q [T, S, M, A] where `keep`, -inf for illegal actions; otherwise V [S+1, M] at the first step, 0 where seat 0 plays no more.

    Args:
        score: from V [S+1, M] a step later, expected over the modes' next moves, and the time to Q [S, M, A].
    """
    legal = jax.vmap(game.legal)(case.states(slice(None)))[:, 0]  # [S, A]

    def backup(
        value: jax.Array, time: jax.Array
    ) -> tuple[jax.Array, jax.Array | None]:
        q = score(value @ case.transitions[time + 1].T, time)
        best = jnp.where(legal[:, None], q, -jnp.inf)
        if case.own is None:
            value = best.max(-1)
        else:
            chances = policies(
                game, (case.own,), 0, case.states(slice(None), time)
            )[0]
            value = (chances[:, None] * q).sum(-1)
        return jnp.pad(value, ((0, 1), (0, 0))), best if keep else None

    nothing = jnp.zeros((case.positions.total + 1, case.transitions.shape[-1]))
    value, q = jax.lax.scan(
        backup, nothing, jnp.arange(game.max_steps), reverse=True
    )
    return value if q is None else q
