"""The same play seen from every side: symmetries of the game applied to logged steps."""

from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array

from bestreply.games.base import Symmetries
from bestreply.types import ABSENT, Transition


def transform(symmetries: Symmetries, which: Array, at: Transition) -> Transition:
    """One step, or a window [L, ...] of steps, under symmetry number `which` [] int32."""
    others = jnp.asarray(symmetries.others)[which]
    inverse = jnp.argsort(jnp.asarray(symmetries.action)[which])
    seats = jnp.concatenate([jnp.zeros(1, jnp.int32), 1 + others])
    turned_obs, turned_action = (
        partial(transform_obs, symmetries, which),
        partial(transform_action, symmetries, which),
    )

    return eqx.tree_at(
        lambda t: (
            t.obs,
            t.next_obs,
            t.action,
            t.others,
            t.legal,
            t.next_legal,
            t.present,
            t.player,
            t.goal,
        ),
        at,
        (
            turned_obs(at.obs),
            turned_obs(at.next_obs),
            turned_action(at.action),
            turned_action(at.others[..., others]),
            at.legal[..., inverse],
            at.next_legal[..., inverse],
            at.present[..., seats],
            at.player[..., seats],
            at.goal[..., seats],
        ),
    )


def transform_obs(symmetries: Symmetries, which: Array, obs: Array) -> Array:
    """Observations [..., *obs_shape] under symmetry number `which`."""
    obs_map = jnp.asarray(symmetries.obs)[which]
    entries = obs_map.shape[0]
    lead = obs.shape[: obs.ndim - _trailing(obs.shape, entries)]
    return obs.reshape(*lead, entries)[..., obs_map].reshape(obs.shape)


def transform_action(symmetries: Symmetries, which: Array, action: Array) -> Array:
    """Actions [...] under symmetry number `which`."""
    action_map = jnp.asarray(symmetries.action)[which]
    return jnp.where(
        action == ABSENT, ABSENT, action_map[jnp.maximum(action, 0)]
    )


def _trailing(shape: tuple[int, ...], entries: int) -> int:
    """How many trailing axes hold `entries` numbers together."""
    size, axes = 1, 0
    while size != entries:
        axes += 1
        size *= shape[-axes]
    return axes


def draw_symmetry(symmetries: Symmetries, key: Array, batch: int) -> Array:
    """[batch] int32: which symmetry each example is seen under."""
    return jax.random.randint(key, (batch,), 0, len(symmetries.action))
