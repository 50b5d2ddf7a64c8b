"""A lower bound of the best reply's return in large games: rollouts in the true game.

Before every move, each legal action is followed by games in which one of several base policies
plays the focal seat; the action with the best mean return is chosen (Tesauro and Galperin,
"On-line policy improvement using Monte-Carlo search", 1996). The search knows the true game and
the true players, their memories included. A best reply with the same information earns at least
as much.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bestreply.exact.seated_game import (
    Estimate,
    MatchState,
    SeatedGame,
    seat_games,
)
from bestreply.games.base import Game
from bestreply.players.base import Player
from bestreply.types import Array, ego_order
from bestreply.utils.spec import Spec

CHUNK = 64
"""Games that are searched side by side."""


def rollout_search(
    game: Game,
    others: Sequence[str | Spec | Player],
    policies: Sequence[Player],
    *,
    games: int,
    rollouts: int = 16,
    gamma: float = 1.0,
    seed: int = 0,
) -> Estimate:
    """Return the discounted return of rollout search, in all seats in turn.

    Args:
        game: a compiled game.
        others: a player for each other seat, in ego-first order.
        policies: base policies that play the focal seat after the first action.
        games: the number of games to play.
        rollouts: games for each action and base policy.
        gamma: discount per step.
        seed: of all draws.

    Returns:
        A mean whose expectation is at most the value of the best reply that has the same
        information.
    """
    table, keys = seat_games(game, others, games, seed)
    returns = []
    for begin in range(0, games, CHUNK):
        rows = begin + np.arange(min(CHUNK, games))  # one compiled size
        rows = jnp.asarray(np.minimum(rows, games - 1))
        returns.append(
            _play(
                table.rows(rows), keys[rows], tuple(policies), gamma, rollouts
            )
        )
    each = np.concatenate(jax.device_get(returns))[:games]
    return Estimate.of(each.astype(np.float64))


@partial(jax.jit, static_argnames=("rollouts",))
def _play(
    table: SeatedGame,
    keys: Array,
    policies: tuple[Player, ...],
    gamma: Array | float,
    rollouts: int,
) -> jax.Array:
    """Return the return of each match, [M]."""

    def play_match(row: Array, key: Array) -> Array:
        one = table.rows(row)
        first_key, key = jax.random.split(key)

        def step(carry: Any, t: Array) -> tuple[Any, None]:
            match, total, weight = carry
            search_key, move_key = jax.random.split(jax.random.fold_in(key, t))
            means = _search(
                one, match, policies, t, search_key, gamma, rollouts
            )
            legal = one.look(match).legal[one.focal]
            best = jnp.where(legal, means.max(0), -jnp.inf)
            own = jnp.argmax(best).astype(jnp.int32)
            match, reward = one.move(match, own, move_key)
            return (match, total + weight * reward, weight * gamma), None

        first = one.begin(first_key), jnp.float32(0), jnp.float32(1)
        times = jnp.arange(table.game.max_steps)
        return jax.lax.scan(step, first, times)[0][1]

    return jax.vmap(play_match)(jnp.arange(len(keys)), keys)


def _search(
    table: SeatedGame,
    match: MatchState,
    policies: tuple[Player, ...],
    t: Array,
    key: Array,
    gamma: Array | float,
    rollouts: int,
) -> Array:
    """Return the mean return [P, A] of rollouts by base policy and first action.

    Rollouts continue from `match` at step `t`; all pairs share their random draws.
    """
    order = jnp.asarray(ego_order(table.game.num_players))[table.focal]

    def rollout(policy: Array, own: Array, key: Array) -> Array:
        def step(i: Array, carry: Any) -> Any:
            match, memories, total, weight = carry
            act_key, move_key = jax.random.split(jax.random.fold_in(key, i))
            shown = table.look(match)
            chosen = [
                p.step(
                    memory,
                    shown.obs[table.focal],
                    shown.legal[table.focal],
                    act_key,
                    others=match.last[order[1:]],
                    present=shown.present[order],
                )
                for p, memory in zip(policies, memories, strict=True)
            ]
            by_policy = jnp.stack([action for _, action, _ in chosen])
            action = jnp.where(i == t, own, by_policy[policy])
            match, reward = table.move(match, action, move_key)
            memories = tuple(memory for memory, _, _ in chosen)
            total = total + weight * reward
            return match, memories, total, weight * gamma

        memories = tuple(p.init() for p in policies)
        begin = match, memories, jnp.float32(0), jnp.float32(1)
        return jax.lax.fori_loop(t, table.game.max_steps, step, begin)[2]

    keys = jax.random.split(key, rollouts)

    def mean_return(policy: Array, own: Array) -> Array:
        return jax.vmap(partial(rollout, policy, own))(keys).mean()

    by_action = jax.vmap(mean_return, (None, 0))
    actions = jnp.arange(table.game.num_actions, dtype=jnp.int32)
    return jax.vmap(by_action, (0, None))(jnp.arange(len(policies)), actions)
