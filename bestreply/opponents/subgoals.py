"""Subgoals that nobody labelled: discrete codes of a future state.

The code of a player at step t is what the state h steps on shows: q(c | o_t, o_{t+h}), of what the player sees now and of what it will
see then, or when its play ends if that is sooner. It is told of states alone, never of the actions between; the best code is the one from
which those follow best:

    maximise over q and pi_hat   E_{c ~ q(. | o_t, o_{t+h})}[ log pi_hat_c(a_u | o_u) ],   t <= u < t + h,

a discrete autoencoder of stretches of play (van den Oord, Vinyals, Kavukcuoglu, "Neural discrete representation learning", 2017) in which
the expectation is a sum, and exact. Left to itself it comes to rest with one code for everything. So in the first half of the training
the codes are ways to act (`bestreply.opponents.latent_codes`), which q learns to tell from what they lead to; then q alone says what a code is.

At play the future state is not known, and the code is inferred from the past by the Bayes filter of `LearnedOpponents`. Subgoals read off
a future state are the idea of OMG (Yu et al., "Opponent modeling based on subgoal inference", 2024), who infer theirs by a network.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from bestreply.config import RunConfig
from bestreply.opponents.learned import LearnedOpponents
from bestreply.replay.moa_buffer import Index
from bestreply.types import ABSENT, Episodes


def updates_by_play(config: RunConfig) -> int:
    """Gradient steps in which codes are ways to act still."""
    return config.train.opponent_updates // 2


def now_and_then(
    episodes: Episodes, at: Index, horizon: int
) -> tuple[Float[Array, "*B obs"], Float[Array, "*B obs"]]:
    """What the seats at `at` see, and what they see `horizon` steps later, or at the end of their play."""
    row, step, seat = at
    length = (jnp.asarray(episodes.action) != ABSENT).sum(1)[row, seat]
    then = jnp.minimum(step + horizon, length)
    return episodes.obs[row, step, seat], episodes.obs[row, then, seat]


def log_code(
    model: LearnedOpponents, now: Array, then: Array
) -> Float[Array, " G"]:
    """log q(c | now, then), of one player's observations."""
    assert model.subgoal is not None
    return jax.nn.log_softmax(
        model.subgoal(jnp.concatenate([now.reshape(-1), then.reshape(-1)]))
    )


@partial(jax.jit, static_argnames="horizon")
def subgoal_weights(
    model: LearnedOpponents, episodes: Episodes, horizon: int
) -> Float[Array, "E T N G"]:
    """q(c | o_t, o_{t+h}) of every step of every seat; 0 where it did not act."""
    steps = jnp.arange(episodes.action.shape[1])

    def seat(obs: Array, acted: Array) -> Array:
        then = jnp.minimum(steps + horizon, acted.sum())
        return (
            jnp.exp(jax.vmap(partial(log_code, model))(obs[:-1], obs[then]))
            * acted[:, None]
        )

    def episode(args: tuple[Array, Array]) -> Array:
        obs, action = args
        return jax.vmap(seat, in_axes=1, out_axes=1)(obs, action != ABSENT)

    return jax.lax.map(episode, (episodes.obs, episodes.action), batch_size=64)
