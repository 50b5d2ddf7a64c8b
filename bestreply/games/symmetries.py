"""Symmetries of a game applied to logged steps."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, Int32, PRNGKeyArray, Shaped

from bestreply.games.description import Symmetries
from bestreply.types import ABSENT, Transition


def transform(
    symmetries: Symmetries, which: Int[Array, ""], at: Transition
) -> Transition:
    """Return logged steps under one symmetry.

    Args:
        symmetries: the game's symmetries.
        which: the number of the symmetry.
        at: one step, or a window [L, ...] of steps.

    Returns:
        The step or window in the transformed game, in the view of the same seat.
    """
    others = jnp.asarray(symmetries.others)[which]
    inverse = jnp.argsort(jnp.asarray(symmetries.action)[which])
    seats = jnp.concatenate([jnp.zeros(1, jnp.int32), 1 + others])
    new = {
        "obs": transform_obs(symmetries, which, at.obs),
        "next_obs": transform_obs(symmetries, which, at.next_obs),
        "action": transform_action(symmetries, which, at.action),
        "others": transform_action(symmetries, which, at.others[..., others]),
        "legal": at.legal[..., inverse],
        "next_legal": at.next_legal[..., inverse],
        "present": at.present[..., seats],
        "player": at.player[..., seats],
        "goal": at.goal[..., seats],
    }
    return eqx.tree_at(
        lambda t: [getattr(t, name) for name in new], at, list(new.values())
    )


def transform_obs(
    symmetries: Symmetries, which: Int[Array, ""], obs: Shaped[Array, "*shape"]
) -> Shaped[Array, "*shape"]:
    """Return observations under one symmetry.

    Args:
        symmetries: the game's symmetries.
        which: the number of the symmetry.
        obs: observations [..., *obs_shape].

    Returns:
        The observations in the transformed game.
    """
    entries = jnp.asarray(symmetries.obs)[which]
    size = entries.shape[0]
    lead = obs.shape[: obs.ndim - _trailing(obs.shape, size)]
    return obs.reshape(*lead, size)[..., entries].reshape(obs.shape)


def transform_action(
    symmetries: Symmetries, which: Int[Array, ""], action: Int[Array, "*batch"]
) -> Int[Array, "*batch"]:
    """Return actions under one symmetry.

    Args:
        symmetries: the game's symmetries.
        which: the number of the symmetry.
        action: actions; ABSENT stays ABSENT.

    Returns:
        The actions in the transformed game.
    """
    images = jnp.asarray(symmetries.action)[which]
    return jnp.where(action == ABSENT, ABSENT, images[jnp.maximum(action, 0)])


def _trailing(shape: tuple[int, ...], entries: int) -> int:
    """Return the number of trailing axes that hold `entries` entries together."""
    size, axes = 1, 0
    while size != entries:
        axes += 1
        size *= shape[-axes]
    return axes


def draw_symmetry(
    symmetries: Symmetries, key: PRNGKeyArray, batch: int
) -> Int32[Array, " batch"]:
    """Return a uniformly drawn symmetry for every example of a batch.

    Args:
        symmetries: the game's symmetries.
        key: random key.
        batch: the number of examples.

    Returns:
        Numbers of symmetries.
    """
    return jax.random.randint(key, (batch,), 0, len(symmetries.action))
