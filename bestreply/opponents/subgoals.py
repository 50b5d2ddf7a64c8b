"""Subgoals without labels: discrete codes of a future state.

The code of a player at step t encodes the state h steps later, q(c | o_t, o_{t+h}): what
the player observes now, and h steps later or at the end of its play. It depends on
states alone, not on the actions between; the best code is the one from which those
actions can be predicted best:

    maximise over q and pi_hat
        E_{c ~ q(. | o_t, o_{t+h})}[ log pi_hat_c(a_u | o_u) ],   t <= u < t + h

a discrete autoencoder of segments of play (van den Oord, Vinyals, Kavukcuoglu, "Neural
discrete representation learning", 2017) in which the expectation is an exact sum. From
random weights, training converges to a single code. In the first half of training the
codes are therefore policies (`bestreply.opponents.latent_codes`), which q learns to
predict from states; then q alone defines the code.

During play the future state is unknown, and the code is inferred from the past by the
Bayes filter of `LearnedOpponents`. Subgoals from a future state are the idea of OMG (Yu
et al., "Opponent modeling based on subgoal inference", 2024), which infers them by a
network.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Float, Shaped

from bestreply.config import RunConfig
from bestreply.models.units import flat_obs
from bestreply.opponents.filtering import episodes_at_once
from bestreply.opponents.learned import LearnedOpponents
from bestreply.replay.blocks import map_in_parts
from bestreply.replay.moa_buffer import Index
from bestreply.types import ABSENT, Array, Episodes, obs_at


def policy_code_updates(config: RunConfig) -> int:
    """Return the number of gradient steps in which codes still are policies.

    Args:
        config: configuration of the run.
    """
    return config.train.opponent_updates // 2


def segment_ends(
    episodes: Episodes, at: Index, horizon: int
) -> tuple[Shaped[Array, "*B obs"], Shaped[Array, "*B obs"]]:
    """Return what seats observe at `at`, and `horizon` steps later.

    Args:
        episodes: logged play.
        at: rows, steps and seats.
        horizon: steps, h; at most to the end of the seat's play.

    Returns:
        Both observations.
    """
    row, step, seat = at
    length = (jnp.asarray(episodes.action) != ABSENT).sum(1)[row, seat]
    end = jnp.minimum(step + horizon, length)
    return (
        obs_at(episodes.obs, (row, step, seat)),
        obs_at(episodes.obs, (row, end, seat)),
    )


def log_code_posterior(
    model: LearnedOpponents,
    start: Shaped[Array, "*obs"],
    end: Shaped[Array, "*obs"],
) -> Float[Array, " G"]:
    """Return log q(c | o_t, o_{t+h}) of one player's observations.

    Args:
        model: a model with subgoals.
        start: o_t.
        end: o_{t+h}.

    Returns:
        Log-probabilities.
    """
    assert model.subgoal is not None
    both = (flat_obs(model.obs_units, obs) for obs in (start, end))
    inputs = jnp.concatenate([*both])
    return jax.nn.log_softmax(model.subgoal(inputs))


@partial(jax.jit, static_argnames="horizon")
def subgoal_weights(
    model: LearnedOpponents, episodes: Episodes, horizon: int
) -> Float[Array, "E T N G"]:
    """Return q(c | o_t, o_{t+h}) of every step of every seat; 0 where it did not act.

    Args:
        model: a model with subgoals.
        episodes: logged play.
        horizon: steps, h.

    Returns:
        Probabilities.
    """
    steps = jnp.arange(episodes.action.shape[1])

    def seat(obs: Array, acted: Array) -> Array:
        ends = obs[jnp.minimum(steps + horizon, acted.sum())]
        log_q = jax.vmap(partial(log_code_posterior, model))(obs[:-1], ends)
        return jnp.exp(log_q) * acted[:, None]

    def episode(arrays: tuple[Any, Array]) -> Array:
        obs, action = arrays
        obs = obs_at(obs, slice(None))
        return jax.vmap(seat, in_axes=1, out_axes=1)(obs, action != ABSENT)

    at_once = episodes_at_once(episodes.obs.shape, 64)
    arrays = episodes.obs, episodes.action
    return map_in_parts(episode, arrays, at_once)
