"""Joint actions of the opponents: all of them where they are few, stratified draws beyond."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from bestreply.config import PlannerConfig
from bestreply.types import ABSENT


def joint_actions(
    probs: Float[Array, "others A"],
    present: Array,
    key: Array,
    config: PlannerConfig,
) -> tuple[Array, Array]:
    """The others' joint actions to average over [M, N-1] (ABSENT for a seat that has left) and their weights [M], which sum to 1.

    All A^(N-1) of them with their exact probabilities up to `config.joint_limit`. Beyond it `config.samples` draws of equal weight,
    each player's own draws stratified (one from every 1/M of its distribution, in random order): unbiased, and of less variance
    than independent draws.
    """
    players, actions = probs.shape
    if actions**players <= config.joint_limit:
        joint = jnp.asarray(
            np.array(
                list(itertools.product(range(actions), repeat=players)),
                np.int32,
            ).reshape(-1, players)
        )
        each = jnp.where(
            present, probs[jnp.arange(players), joint], joint == 0
        )  # a seat that has left counts once
        weights = each.prod(1)
    else:
        joint = jax.vmap(
            lambda p, k: stratified(p, k, config.samples), out_axes=1
        )(probs, jax.random.split(key, players))
        weights = jnp.full(config.samples, 1 / config.samples)
    return jnp.where(present, joint, ABSENT), weights


def joint_count(actions: int, players: int, config: PlannerConfig) -> int:
    """How many joint actions of the others `joint_actions` gives."""
    return (
        actions**players
        if actions**players <= config.joint_limit
        else config.samples
    )


def stratified(probs: Float[Array, " A"], key: Array, samples: int) -> Array:
    """[samples] int32: one draw from each of `samples` equal slices of the distribution, shuffled."""
    shift_key, order_key = jax.random.split(key)
    points = (
        jnp.arange(samples) + jax.random.uniform(shift_key, (samples,))
    ) / samples
    edges = jnp.cumsum(probs) / jnp.maximum(probs.sum(), 1e-9)
    drawn = jnp.minimum(
        jnp.searchsorted(edges, points, side="right"), len(probs) - 1
    )
    return jax.random.permutation(order_key, drawn).astype(jnp.int32)
