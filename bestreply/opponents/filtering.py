"""Run an opponent model over logged play: beliefs, predictions, importance ratios."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Float

from bestreply.opponents.base import Belief, OpponentModel, possible
from bestreply.opponents.learned import LearnedOpponents
from bestreply.replay.blocks import map_in_parts
from bestreply.types import ABSENT, Array, Episodes, ego_order, obs_at


@jax.jit
def follow_beliefs(
    model: OpponentModel, episodes: Episodes
) -> Float[Array, "E T1 N others G"]:
    """Return every seat's posterior over types, before each step and after the last.

    Args:
        model: the opponent model.
        episodes: logged play of T steps; T1 is T + 1.
    """
    return _scan_episodes(
        model, episodes, lambda belief, obs, legal: model.posterior(belief)
    )


@jax.jit
def follow_predictions(
    model: OpponentModel, episodes: Episodes
) -> Float[Array, "E T N others A"]:
    """Return every seat's predicted opponent policies before each step.

    Args:
        model: the opponent model.
        episodes: logged play.
    """

    return follow_both(model, episodes)[1]


def follow_both(
    model: OpponentModel, episodes: Episodes
) -> tuple[Float[Array, "E T1 N others G"], Float[Array, "E T N others A"]]:
    """Return the results of `follow_beliefs` and `follow_predictions`, to be compiled as one.

    Args:
        model: the opponent model.
        episodes: logged play.
    """

    def read(belief: Belief, obs: Array, legal: Array) -> Array:
        probs = possible(model.game, obs, model.predict(belief, obs, legal))
        return jnp.concatenate([probs, model.posterior(belief)], -1)

    both = _scan_episodes(model, episodes, read)
    actions = model.game.num_actions
    return both[..., actions:], both[:, :-1, ..., :actions]


def _scan_episodes(
    model: OpponentModel,
    episodes: Episodes,
    read: Callable[[Belief, Array, Array], Array],
) -> Float[Array, "E T1 N ..."]:
    """Return `read(belief, obs, legal)` of every seat, before each step and at the end."""
    order = jnp.asarray(ego_order(episodes.action.shape[2]))

    def seat(
        obs: Array, legal: Array, action: Array, present: Array, ego: Array
    ) -> Array:
        own = ego[0]

        def step(
            belief: Belief, row: tuple[Array, Array, Array, Array]
        ) -> tuple[Belief, Array]:
            obs, legal, action, present = row
            before = read(belief, obs[own], legal[own])
            after = model.update(belief, obs[own], action[ego], present[ego])
            return after, before

        rows = obs[:-1], legal[:-1], action, present[:-1]
        last, before = jax.lax.scan(step, model.init(), rows)
        at_end = read(last, obs[-1, own], legal[-1, own])
        return jnp.concatenate([before, at_end[None]])

    def episode(arrays: tuple[Any, ...]) -> Array:
        obs, *others = arrays
        seats = partial(seat, obs_at(obs, slice(None)), *others)
        return jax.vmap(seats)(order).swapaxes(0, 1)

    arrays = episodes.obs, episodes.legal, episodes.action, episodes.present
    result = jax.eval_shape(lambda rows: jax.vmap(episode)(rows), arrays)
    if not result.size:  # no opponents; `lax.map` cannot split empty arrays
        return jnp.zeros(result.shape, result.dtype)
    at_once = episodes_at_once(episodes.obs.shape, 256)
    return map_in_parts(episode, arrays, at_once)


MAX_AT_ONCE = 2**26
"""Entries of observations that an opponent model reads at once."""


def episodes_at_once(shape: tuple[int, ...], most: int) -> int:
    """Return how many episodes an opponent model reads at once.

    Args:
        shape: [E, T+1, N, *obs_shape].
        most: largest number.

    Returns:
        The number; fewer where observations are large.
    """
    return max(min(most, MAX_AT_ONCE // math.prod(shape[1:])), 1)


@jax.jit
def policy_ratios(
    model: LearnedOpponents,
    episodes: Episodes,
    clip: Float[Array, ""] | float,
) -> Float[Array, "E T N G"] | None:
    """Return importance ratios pi_hat_g(a_i | o) / P(a_i) of each type's policy.

    Args:
        model: gives the policy of each type.
        episodes: logged play with the behaviour's probability P of each action.
        clip: largest ratio.

    Returns:
        Ratios, 0 where P is not logged; None where the game does not show what
        opponents see, because the model then has no policy of an own view.
    """
    shape = jax.ShapeDtypeStruct(model.game.obs_shape, jnp.float32)
    if jax.eval_shape(model.own_logits, shape) is None:
        return None

    def step(obs: Array, action: Array, logged: Array) -> Float[Array, " G"]:
        logits = model.own_logits(obs)
        assert logits is not None
        prob = jnp.exp(logits[:, jnp.maximum(action, 0)])
        is_known = (action != ABSENT) & (logged > 0)
        return jnp.where(is_known, jnp.minimum(prob / logged, clip), 0.0)

    def episode(arrays: tuple[Any, Array, Array]) -> Array:
        obs, action, prob = arrays
        return jax.vmap(jax.vmap(step))(obs_at(obs, slice(-1)), action, prob)

    arrays = episodes.obs, episodes.action, episodes.prob
    at_once = episodes_at_once(episodes.obs.shape, 256)
    return map_in_parts(episode, arrays, at_once)
