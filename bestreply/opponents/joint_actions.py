"""Joint opponent actions: all of them where they are few, otherwise stratified draws."""

import itertools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int32, PRNGKeyArray

from bestreply.config import PlannerConfig
from bestreply.types import ABSENT, Array


class Draws(NamedTuple):
    """The random numbers behind stratified draws, in place of the key they come from."""

    shift: Float[Array, "others M"]
    """Place of each draw in its slice of the distribution, 0 to 1."""
    order: Int32[Array, "others M"]
    """Order of the slices."""


def random_draws(key: PRNGKeyArray, players: int, samples: int) -> Draws:
    """Return the random numbers that `joint_actions` takes from a key.

    Args:
        key: the key.
        players: opponents, N - 1.
        samples: draws for each, M.

    Returns:
        The numbers; `joint_actions` given them returns what it returns given the key.
    """
    return Draws(
        *jax.vmap(lambda key: _slices(key, samples))(
            jax.random.split(key, players)
        )
    )


def draws_from(
    key: PRNGKeyArray, actions: int, players: int, config: PlannerConfig
) -> Draws | None:
    """Return `random_draws`, or None where all joint actions are listed.

    Args:
        key: the key.
        actions: actions of a seat, A.
        players: opponents, N - 1.
        config: settings of the planner.
    """
    if _enumerates(actions, players, config):
        return None
    return random_draws(key, players, config.samples)


def joint_actions(
    probs: Float[Array, "others A"],
    present: Bool[Array, " others"],
    key: PRNGKeyArray | Draws | None,
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
        key: for the draws; or their random numbers themselves. None: all are listed.
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
        if isinstance(key, Draws):
            joint = jax.vmap(drawn, out_axes=1)(probs, *key)
        else:
            assert key is not None
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
    return drawn(probs, *_slices(key, samples))


def _slices(
    key: PRNGKeyArray, samples: int
) -> tuple[Float[Array, " M"], Int32[Array, " M"]]:
    shift_key, order_key = jax.random.split(key)
    shift = jax.random.uniform(shift_key, (samples,))
    order = jnp.arange(samples, dtype=jnp.int32)
    return shift, jax.random.permutation(order_key, order)


def drawn(
    probs: Float[Array, " A"],
    shift: Float[Array, " M"],
    order: Int32[Array, " M"],
) -> Int32[Array, " M"]:
    """Return the draw from each slice of a distribution.

    Args:
        probs: probabilities of the actions.
        shift: place of each draw in its slice, 0 to 1.
        order: the slices in the order of the draws.

    Returns:
        Actions.
    """
    samples = len(shift)
    points = (jnp.arange(samples) + shift) / samples
    edges = jnp.cumsum(probs) / jnp.maximum(probs.sum(), 1e-9)
    actions = jnp.searchsorted(
        edges, points, side="right", method="compare_all"
    )
    last = len(probs) - 1 - jnp.argmax(probs[::-1] > 0)  # the sum is rounded
    return jnp.minimum(actions, last)[order].astype(jnp.int32)
