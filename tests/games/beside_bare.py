"""Random play through an adapter, and by the environment itself with the same keys and actions."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from bestreply.games.base import Game


class Played(NamedTuple):
    """Episodes [E, T, ...]; only steps of unfinished games count (`live`)."""

    before: Any  # TimeStep
    actions: np.ndarray
    after: Any  # TimeStep
    live: np.ndarray  # [E, T] bool
    bare: Any  # what the environment itself returns after each step
    first: Any  # what it returns at the start, [E, ...]


def keys_of(key: jax.Array, steps: int) -> tuple[jax.Array, ...]:
    """Return the key of a reset, and those of actions and of moves."""
    first, act, move = jax.random.split(key, 3)
    return first, jax.random.split(act, steps), jax.random.split(move, steps)


def beside(
    game: Game,
    reset: Callable[[jax.Array], tuple[Any, Any]],
    step: Callable[[Any, jax.Array, jax.Array], tuple[Any, Any]],
    episodes: int,
    seed: int = 0,
) -> Played:
    """Play random legal actions; one program for both sides.

    Args:
        game: the game of the adapter.
        reset: the environment's own, from a key to its state and what is compared.
        step: the environment's own, from state, actions and key to the same.
        episodes: how many.
        seed: of everything.
    """

    def episode(key: jax.Array) -> Any:
        first, act_keys, move_keys = keys_of(key, game.max_steps)

        def move(carry: Any, keys: Any) -> Any:
            state, shown, env = carry
            act_key, move_key = keys
            actions = jax.random.categorical(
                act_key, jnp.where(shown.legal, 0.0, -jnp.inf)
            ).astype(jnp.int32)
            state, after = game.step(state, actions, move_key)
            env, seen = step(env, actions, move_key)
            return (state, after, env), (shown, actions, after, seen)

        state, shown = game.reset(first)
        env, seen = reset(first)
        _, logs = jax.lax.scan(move, (state, shown, env), (act_keys, move_keys))
        return logs, seen

    keys = jax.random.split(jax.random.key(seed), episodes)
    logs, first = jax.tree.map(np.asarray, jax.jit(jax.vmap(episode))(keys))
    before, actions, after, seen = logs
    over = before.terminated.all(-1) | before.truncated
    return Played(before, actions, after, ~over, seen, first)
