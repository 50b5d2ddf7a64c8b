"""An upper bound of the best reply's return in large games: information relaxation.

The bound is the mean over futures of the return of the best plan for one future, in which all
draws of chance and of the other players are known in advance (Brown, Smith and Sun,
"Information relaxations and duality in stochastic dynamic programs", 2010). No reply earns
more, whatever its information. `rollout_search` gives a lower bound. Both simulate the true game
and the true players; no list of outcomes is needed.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from bestreply.exact.seated_game import (
    Estimate,
    MatchState,
    SeatedGame,
    seat_games,
)
from bestreply.games import make_game
from bestreply.games.base import Game
from bestreply.players.base import Player
from bestreply.types import Array
from bestreply.utils.spec import Spec

BATCH_SIZES = (512, 16384)
"""The numbers of states of one step that are expanded at once; each is compiled once."""

MIN_FUTURES = 16
"""With fewer futures the standard error is not reliable."""


def information_relaxation_bound(
    game: Game | str,
    others: Sequence[str | Spec | Player],
    *,
    futures: int,
    states: int = 3_000_000,
    gamma: float = 1.0,
    seed: int = 0,
) -> Estimate | None:
    """Return an upper bound of the discounted return of every reply, in all seats in turn.

    It is exact for each future: every state that own actions lead to is expanded once.

    Args:
        game: a compiled game, or its name.
        others: a player for each other seat, in ego-first order.
        futures: the largest number of futures.
        states: the largest number of expanded states, over all futures. Fewer futures are
            used if the first ones show that `states` does not suffice.
        gamma: discount per step.
        seed: of all draws.

    Returns:
        The mean over futures; None if fewer than `MIN_FUTURES` are within `states`.
    """
    table, keys = seat_games(make_game(game), others, futures, seed)
    fewest = min(MIN_FUTURES, futures)
    values: list[float] = []
    expanded: list[int] = []
    while len(values) < futures:
        row = len(values)
        one = table.rows(jnp.int32(row))
        plan = best_plan(one, keys[row], gamma, states // fewest)
        if plan is None:
            return None
        values.append(plan[0])
        expanded.append(plan[1])
        if len(values) == max(fewest // 4, 1):
            futures = min(futures, int(states / np.mean(expanded)))
            if futures < fewest:
                return None
    return Estimate.of(np.array(values))


class ActionTable(NamedTuple):
    """The result of every own action in the `S` states of one step."""

    legal: np.ndarray  # [S, A] bool
    reward: np.ndarray  # [S, A]
    following: np.ndarray
    """[S, A] int, index of the state in the next step; -1: no more reward."""


def best_plan(
    table: SeatedGame, key: jax.Array, gamma: float, limit: int
) -> tuple[float, int] | None:
    """Return the return of the best plan for one future.

    Args:
        table: one match.
        key: the future: all draws of chance and of the other players.
        gamma: discount per step.
        limit: the largest number of expanded states.

    Returns:
        The return, and the number of expanded states; None if it exceeds `limit`.
    """
    first_key, key = jax.random.split(key)
    first = jax.device_get(_begin(table, first_key))
    states = jax.tree.map(lambda x: x[None], first)
    steps: list[ActionTable] = []
    expanded = 0
    for t in range(table.game.max_steps):
        expanded += len(states.last)
        if expanded > limit:
            return None
        step_key = jax.random.fold_in(key, t)
        legal, after, reward, done = _expand(table, states, step_key)
        continues = legal & ~done
        following = np.full(legal.shape, -1)
        steps.append(ActionTable(legal, reward, following))
        if not continues.any():
            break
        after = jax.tree.map(lambda x, at=continues: x[at], after)
        states, following[continues] = _merge_equal(after)
    value = np.zeros(1)  # the last entry, at index -1, is the value of the end
    for step in reversed(steps):
        q = step.reward + gamma * value[step.following]
        best = np.where(step.legal, q, -np.inf).max(1)
        value = np.append(best, 0.0)
    return float(value[0]), expanded


Expansion = tuple[np.ndarray, MatchState, np.ndarray, np.ndarray]
"""For every own action: legal [S, A], states after it, reward [S, A], done [S, A]."""


def _expand(table: SeatedGame, states: MatchState, key: Array) -> Expansion:
    """Return the result of every own action in each of `states` [S]."""
    count = len(states.last)
    size = next((s for s in BATCH_SIZES if s >= count), BATCH_SIZES[-1])
    parts = []
    for begin in range(0, count, size):
        rows = np.minimum(np.arange(begin, begin + size), count - 1)
        batch = jax.tree.map(lambda x, at=rows: x[at], states)
        parts.append(jax.device_get(_expand_batch(table, batch, key)))
    return jax.tree.map(lambda *x: np.concatenate(x)[:count], *parts)


@jax.jit
def _begin(table: SeatedGame, key: Array) -> MatchState:
    return table.begin(key)


@jax.jit
def _expand_batch(
    table: SeatedGame, states: MatchState, key: Array
) -> tuple[Array, MatchState, Array, Array]:
    actions = jnp.arange(table.game.num_actions, dtype=jnp.int32)
    act_key, move_key = jax.random.split(key)

    def one(state: MatchState) -> tuple[Array, MatchState, Array, Array]:
        choice = table.choose(state, act_key)

        def step(own: Array) -> tuple[MatchState, Array]:
            return table.step(state, choice, own, move_key)

        after, reward = jax.vmap(step)(actions)
        legal = table.look(state).legal[table.focal]
        return legal, after, reward, jax.vmap(table.is_done)(after)

    return jax.vmap(one)(states)


def _merge_equal(states: MatchState) -> tuple[MatchState, np.ndarray]:
    """Return each distinct state of `states` [K] once, and the index of each of the K."""
    leaves = [np.asarray(x) for x in jax.tree.leaves(states)]
    columns = [
        np.ascontiguousarray(x.reshape(len(x), -1)).view(np.uint8)
        for x in leaves
        if x.size
    ]
    rows = np.concatenate([x.reshape(len(x), -1) for x in columns], 1)
    keys = rows.view([("", np.void, rows.shape[1])]).ravel()
    _, first, index = np.unique(keys, return_index=True, return_inverse=True)
    return jax.tree.map(lambda x: x[first], states), index.reshape(-1)
