"""Exact best replies to tables of an opponent, in a repeated game of two players.

A table of the last k joint actions is a finite automaton: what an own action makes the
opponent do in the rest of the game can be computed. Against one table the value of the
sequence h after t rounds is (Bellman, 1957)

    V_t(h) = max_a sum_j p(j | h) [ r(a, j) + gamma c V_{t+1}(h a j) ]

with c the probability that the game continues. The value of a belief is the mean of
those of its tables: at the end of a plan it counts as known which table the opponent
has (QMDP; Littman, Cassandra and Kaelbling, 1995).
"""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from bestreply.games.base import Game
from bestreply.games.matrix import MatrixGame
from bestreply.opponents.base import OpponentModel, UniformOpponents
from bestreply.opponents.tables import TableOpponents, sequences_after
from bestreply.utils.console import warn

MAX_VALUES = 2**27
"""Largest number of values, 512 MB; above it, plans end in learned values."""
MAX_AHEAD = 10_000
"""Rounds after which nothing counts where the end of the game is drawn."""


def with_replies(
    opponents: OpponentModel, game: Game, gamma: float, limit_ends: bool
) -> OpponentModel:
    """Return tables, or uniform opponents, with the values of the best replies to them.

    Args:
        opponents: the opponent model.
        game: the game.
        gamma: discount of a round.
        limit_ends: whether the step limit ends the return.

    Returns:
        The model; unchanged if it is of another kind, or in a game of another kind, or,
        with a warning, where the values would be more than `MAX_VALUES`.
    """
    if not isinstance(game, MatrixGame) or game.num_players != 2:
        return opponents
    if isinstance(opponents, UniformOpponents):
        return dataclasses.replace(opponents, repeated=True)
    if not isinstance(opponents, TableOpponents):
        return opponents
    rounds = MAX_AHEAD if game.rounds is None else game.rounds
    if limit_ends:
        rounds = min(rounds, game.max_steps)
    kept = 1 if game.rounds is None else rounds + 1
    players, rows, _ = opponents.probs.shape
    if kept * rows * players > MAX_VALUES:
        warn(
            f"model.table_memory={opponents.memory}: {kept} rounds, {rows} sequences and "
            f"{players} players are more than {MAX_VALUES:,} values. Plans end in values "
            "of the world model; for exact ones set a smaller model.table_memory"
        )
        return opponents
    if game.continuation is not None:
        gamma *= game.continuation
    values = _solve(
        opponents.probs,
        jnp.asarray(game.payoffs_of(0), jnp.float32),
        jnp.asarray(sequences_after(game, opponents.memory)),
        jnp.float32(gamma),
        rounds,
        kept,
    )
    return dataclasses.replace(opponents, replies=values)


@partial(jax.jit, static_argnames=("rounds", "kept"))
def _solve(
    probs: Float[Array, "P rows A"],
    payoffs: Float[Array, "A A"],
    after: Int[Array, "rows A A"],
    gamma: Float[Array, ""],
    rounds: int,
    kept: int,
) -> Float[Array, "kept rows P"]:
    """Return V_t of each sequence and table, for the first `kept` of `rounds` + 1 rounds."""
    policy = jnp.moveaxis(probs, 0, 1)[:, None]  # [rows, 1, P, theirs]

    def earlier(
        value: Float[Array, "rows P"], _: None
    ) -> tuple[Float[Array, "rows P"], Float[Array, "rows P"] | None]:
        later = jnp.moveaxis(value[after], 2, 3)  # [rows, mine, P, theirs]
        returns = payoffs[None, :, None] + gamma * later
        value = (policy * returns).sum(-1).max(1)
        return value, value if kept > 1 else None

    end = jnp.zeros((probs.shape[1], len(probs)))
    first, all_rounds = jax.lax.scan(earlier, end, None, rounds, reverse=True)
    if all_rounds is None:
        return first[None]
    return jnp.concatenate([all_rounds, end[None]])
