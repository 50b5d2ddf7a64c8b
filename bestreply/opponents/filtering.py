"""Run an opponent model over logged play: beliefs, predictions and likelihood ratios at each step."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array

from bestreply.opponents.base import OpponentModel
from bestreply.opponents.learned import LearnedOpponents
from bestreply.types import ABSENT, Episodes, ego_order


@jax.jit
def follow_beliefs(model: OpponentModel, episodes: Episodes) -> Array:
    """[E, T+1, N, N-1, G]: what every seat believes about the others before each step of every episode."""
    return follow(
        model, episodes, lambda belief, obs, legal: model.posterior(belief)
    )


@jax.jit
def follow_predictions(model: OpponentModel, episodes: Episodes) -> Array:
    """[E, T, N, N-1, A]: with which probabilities every seat expects each action of the others, before each step of every episode."""
    return follow(model, episodes, model.predict)[:, :-1]


def follow(
    model: OpponentModel,
    episodes: Episodes,
    tell: Callable[[Any, Array, Array], Array],
) -> Array:
    """[E, T+1, N, ...]: what `tell(belief, obs, legal)` makes of every seat's belief before each step, and after the last."""
    order = jnp.asarray(ego_order(episodes.action.shape[2]))

    def seat(
        obs: Array, legal: Array, action: Array, present: Array, ego: Array
    ) -> Array:
        def step(
            belief: Any, at: tuple[Array, Array, Array, Array]
        ) -> tuple[Any, Array]:
            o, m, a, p = at
            return model.update(belief, o[ego[0]], a[ego], p[ego]), tell(
                belief, o[ego[0]], m[ego[0]]
            )

        last, before = jax.lax.scan(
            step, model.init(), (obs[:-1], legal[:-1], action, present[:-1])
        )
        return jnp.concatenate(
            [before, tell(last, obs[-1, ego[0]], legal[-1, ego[0]])[None]]
        )

    def episode(args: tuple[Array, ...]) -> Array:
        return jax.vmap(partial(seat, *args))(order).swapaxes(0, 1)

    played = episodes.obs, episodes.legal, episodes.action, episodes.present
    return jax.lax.map(episode, played, batch_size=256)


@jax.jit
def policy_ratios(
    model: LearnedOpponents, episodes: Episodes, most: Array | float
) -> Array | None:
    """[E, T, N, G]: pi_hat_g(a_i | o) / the behaviour's logged probability, at most `most`; 0 where that is not known.

    None where the game does not tell what others see: then the model of the others has not learned to act from one's own view.
    """
    if jax.eval_shape(model.own_logits, episodes.obs[0, 0, 0]) is None:
        return None

    def step(args: tuple[Array, Array, Array]) -> Array:
        obs, action, prob = args
        logits = model.own_logits(obs)
        assert logits is not None
        likely = jnp.exp(logits[:, jnp.maximum(action, 0)])
        return jnp.where(
            (action != ABSENT) & (prob > 0),
            jnp.minimum(likely / prob, most),
            0.0,
        )

    def episode(args: tuple[Array, Array, Array]) -> Array:
        return jax.vmap(jax.vmap(lambda *x: step(x)))(*args)

    return jax.lax.map(
        episode,
        (episodes.obs[:, :-1], episodes.action, episodes.prob),
        batch_size=256,
    )
