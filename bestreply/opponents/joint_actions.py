"""Joint opponent actions: all of them where they are few, otherwise stratified draws."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int32, PRNGKeyArray

from bestreply.config import PlannerConfig
from bestreply.types import ABSENT, Array


def joint_actions(
    probs: Float[Array, "others A"],
    present: Bool[Array, " others"],
    key: PRNGKeyArray,
    config: PlannerConfig,
) -> tuple[Int32[Array, "M others"], Float[Array, " M"]]:
    """Return the joint opponent actions to average over, and their weights.

    Up to `config.joint_limit` these are all A^(N-1) joint actions with their exact
    probabilities; without opponents, the empty one. Above it they are `config.samples` draws of equal weight. Each
    player's draws are stratified (one from every 1/M of its distribution, in random
    order): unbiased, and of lower variance than independent draws.

    Args:
        probs: action probabilities of each opponent.
        present: opponents that are in the game.
        key: for the draws.
        config: settings of the planner.

    Returns:
        Joint actions, ABSENT for a seat that has left; weights that sum to 1.
    """
    players, actions = probs.shape
    if _enumerates(actions, players, config):
        every = list(itertools.product(range(actions), repeat=players))
        joint = jnp.asarray(
            np.array(every, np.int32).reshape(len(every), players)
        )
        chosen = probs[jnp.arange(players), joint]
        # of a seat that has left, one action counts: the first
        weights = jnp.where(present, chosen, joint == 0).prod(1)
    else:
        keys = jax.random.split(key, players)
        joint = jax.vmap(
            lambda p, k: stratified(p, k, config.samples), out_axes=1
        )(probs, keys)
        weights = jnp.full(config.samples, 1 / config.samples)
    return jnp.where(present, joint, ABSENT), weights


def joint_count(actions: int, players: int, config: PlannerConfig) -> int:
    """Return the number of joint actions that `joint_actions` returns.

    Args:
        actions: actions of a seat, A.
        players: opponents, N - 1.
        config: settings of the planner.

    Returns:
        The number M.
    """
    if _enumerates(actions, players, config):
        return actions**players
    return config.samples


def _enumerates(actions: int, players: int, config: PlannerConfig) -> bool:
    """Return whether all joint actions are listed; without opponents there is one."""
    return players == 0 or actions**players <= config.joint_limit


def stratified(
    probs: Float[Array, " A"], key: PRNGKeyArray, samples: int
) -> Int32[Array, " M"]:
    """Return one draw from each of `samples` equal slices of a distribution, shuffled.

    Args:
        probs: probabilities of the actions.
        key: for the draws and their order.
        samples: number of slices, M.

    Returns:
        Actions.
    """
    shift_key, order_key = jax.random.split(key)
    shift = jax.random.uniform(shift_key, (samples,))
    points = (jnp.arange(samples) + shift) / samples
    edges = jnp.cumsum(probs) / jnp.maximum(probs.sum(), 1e-9)
    drawn = jnp.searchsorted(edges, points, side="right")
    last = len(probs) - 1 - jnp.argmax(probs[::-1] > 0)  # the sum is rounded
    drawn = jnp.minimum(drawn, last)
    return jax.random.permutation(order_key, drawn).astype(jnp.int32)
