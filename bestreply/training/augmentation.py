"""Batches under random symmetries of the game."""

from functools import partial
from typing import TypeVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from bestreply.config import RunConfig
from bestreply.games.base import Game
from bestreply.games.symmetries import (
    draw_symmetry,
    transform,
    transform_action,
    transform_obs,
)
from bestreply.training.imagination import ImaginedTransition
from bestreply.types import Transition

Belief = TypeVar("Belief", Float[Array, "B J G"], None)


def augmented(
    config: RunConfig,
    game: Game,
    batch: Transition,
    belief: Belief,
    key: Key[Array, ""],
) -> tuple[Transition, Belief]:
    """Return a batch and its beliefs, each example under a random symmetry of the game.

    Args:
        config: its `train.augment` switches augmentation.
        game: the game.
        batch: steps or windows [B, ...].
        belief: beliefs, or weights of types, at their start.
        key: key of the random draws.

    Returns:
        The batch and the beliefs, transformed in the same way.
    """
    symmetries = game.symmetries() if config.train.augment else None
    if symmetries is None:
        return batch, belief
    which = draw_symmetry(symmetries, key, batch.obs.shape[0])
    batch = jax.vmap(partial(transform, symmetries))(which, batch)
    if belief is not None:
        order = jnp.asarray(symmetries.others)[which]
        belief = jnp.take_along_axis(belief, order[..., None], 1)
    return batch, belief


def augmented_steps(
    config: RunConfig,
    game: Game,
    steps: ImaginedTransition,
    key: Key[Array, ""],
) -> ImaginedTransition:
    """Return steps, each under a random symmetry of the game.

    Args:
        config: its `train.augment` switches augmentation.
        game: the game.
        steps: logged or imagined steps [B, ...].
        key: key of the random draws.

    Returns:
        The transformed steps.
    """
    symmetries = game.symmetries() if config.train.augment else None
    if symmetries is None:
        return steps

    def one(
        which: Int[Array, ""], step: ImaginedTransition
    ) -> ImaginedTransition:
        order = jnp.asarray(symmetries.others)[which]
        return step._replace(
            obs=transform_obs(symmetries, which, step.obs),
            belief=step.belief[order],
            action=transform_action(symmetries, which, step.action),
            next_obs=transform_obs(symmetries, which, step.next_obs),
            next_belief=step.next_belief[order],
        )

    which = draw_symmetry(symmetries, key, len(steps.action))
    return jax.vmap(one)(which, steps)
