"""Weights of types for each logged step: hindsight labels, or posterior weights.

An event later in the episode labels the goal of a step. Steps without a later event
could be dropped, but they are many; or labelled "none", but that is wrong for a hunter
that ran into the step limit or found no partner. Here the steps after a player's last
event, a *tail*, have a weight for every goal g,

    w(g) proportional to p(g) prod_t pi_hat_g(a_t | o_t)

with p(g) the share of tails whose goal is g, and the opponent model as trained so far:
expectation maximisation (Dempster, Laird and Rubin, 1977). p(g) is of tails alone, and
so accounts for how often a player with goal g ends without an event: a player that
always succeeds has no tail.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from bestreply.config import RunConfig
from bestreply.games.hindsight_goals import NO_EVENT
from bestreply.opponents.filtering import episodes_at_once
from bestreply.opponents.latent_codes import random_codes, smooth_codes
from bestreply.opponents.learned import MIN_LOG_PROB, LearnedOpponents
from bestreply.opponents.opponent_types import opponent_types
from bestreply.opponents.subgoals import subgoal_weights
from bestreply.replay.blocks import in_blocks, map_in_parts
from bestreply.types import ABSENT, Array, Episodes, ego_order, obs_at

EM_ITERATIONS = 20
"""Iterations for the shares of goals among tails."""

CODE_CHANGE_RATE = 0.01
"""Probability before each step that a player's code is drawn anew, where codes are
learned."""

RULES = ("event", "hindsight", "posterior")
"""Values of `TrainConfig.labels`."""


def labels_change(config: RunConfig) -> bool:
    """Return whether `label_weights` change while the opponent model is trained.

    Args:
        config: configuration of the run.

    Returns:
        True where weights depend on the opponent model.
    """
    types = opponent_types(config.model)
    return types.logged is None or (
        types.inferred and config.train.labels == "posterior"
    )


def label_weights(
    config: RunConfig,
    model: LearnedOpponents,
    episodes: Episodes,
    *,
    trained: bool = True,
) -> Float[np.ndarray, "E T N G"]:
    """Return the weight of each type at each logged step.

    Logged types (players; or a single type) have weight 1. Codes have their posterior
    (`bestreply.opponents.latent_codes`), or the weight that a future state gives them
    (`bestreply.opponents.subgoals`). Goals have the weights of `config.train.labels`:

        event      1 for the goal of a later event; steps without one are dropped
        hindsight  the same, and 1 for the last goal, "none", without an event
        posterior  the same, and the posterior over all goals without an event

    Args:
        config: configuration of the run.
        model: the opponent model as trained so far.
        episodes: logged play.
        trained: False before the first update: the posterior is then uniform, and codes
            are random.

    Returns:
        Weights; 0 where the seat did not act, and at dropped steps.
    """
    action, count = np.asarray(episodes.action), model.goals
    acted = action != ABSENT
    if model.subgoal is not None:
        horizon = config.model.code_horizon
        weights = partial(subgoal_weights, model, horizon=horizon)
        return np.asarray(in_blocks(weights, episodes))
    types = opponent_types(config.model)
    if types.logged is None:
        if not trained:
            return random_codes(acted, count, config.seed)
        log_probs = np.asarray(
            in_blocks(partial(step_likelihood, model), episodes)
        )
        return smooth_codes(log_probs, acted, CODE_CHANGE_RATE).weight
    if types.inferred:
        return _goal_weights(config.train.labels, model, episodes, trained)
    player, goal = np.asarray(episodes.player), np.asarray(episodes.goal)
    types_at = np.broadcast_to(types.logged(player[:, None], goal), acted.shape)
    return np.eye(count, dtype=np.float32)[types_at] * acted[..., None]


def _goal_weights(
    rule: str, model: LearnedOpponents, episodes: Episodes, trained: bool
) -> Float[np.ndarray, "E T N G"]:
    """Return the weights of goals by one of `RULES`."""
    goal = np.asarray(episodes.goal)
    acted = np.asarray(episodes.action) != ABSENT
    count = model.goals
    labelled = np.eye(count, dtype=np.float32)[np.maximum(goal, 0)]
    labelled = labelled * acted[..., None]
    if rule == "hindsight":
        return labelled
    tail = (np.asarray(episodes.goal_source) == NO_EVENT)[..., None]
    labelled = np.where(tail, np.float32(0), labelled)
    if rule == "event":
        return labelled
    if not trained:
        return labelled + tail / np.float32(count)
    log_probs = (
        np.asarray(in_blocks(partial(step_likelihood, model), episodes)) * tail
    )
    posterior = tail_posterior(log_probs.sum(1), tail[..., 0].any(1))
    return labelled + tail * posterior[:, None]


def tail_posterior(
    log_likelihood: Float[np.ndarray, "E N G"],
    has_tail: Bool[np.ndarray, "E N"],
) -> Float[np.ndarray, "E N G"]:
    """Return the posterior over the goal of each tail.

    Args:
        log_likelihood: of the tail under each goal.
        has_tail: seats whose play ends without an event.

    Returns:
        The posterior; 0 without a tail.
    """
    log_probs = log_likelihood[has_tail]
    weight = np.full(log_probs.shape, 1 / log_probs.shape[1])
    for _ in range(EM_ITERATIONS if has_tail.any() else 0):
        score = log_probs + np.log(np.maximum(weight.mean(0), 1e-6))
        weight = np.exp(score - score.max(1, keepdims=True))
        weight /= weight.sum(1, keepdims=True)
    posterior = np.zeros(log_likelihood.shape, np.float32)
    posterior[has_tail] = weight
    return posterior


class _Seat(NamedTuple):
    """One seat's steps, as another seat observes them."""

    obs: Shaped[Array, "T *obs"]  # of the observing seat
    index: Int[Array, ""]  # of the seat among the observing seat's opponents
    action: Int[Array, " T"]


@jax.jit
def step_likelihood(
    model: LearnedOpponents, episodes: Episodes
) -> Float[Array, "E T N G"]:
    """Return log pi_hat_g(a_t | o_t) of every step, as the next seat observes it.

    Args:
        model: the opponent model.
        episodes: logged play.

    Returns:
        Log-likelihoods; 0 where the seat did not act, and in a game of one player.
    """
    n = episodes.action.shape[2]
    if n == 1:  # no seat observes another
        return jnp.zeros((*episodes.action.shape, model.goals))
    order = jnp.asarray(ego_order(n))
    seats = jnp.arange(n)

    def seat(s: _Seat) -> Array:
        logits = jax.vmap(model.logits)(s.obs)[:, s.index]  # [T, G, A]
        taken = jnp.maximum(s.action, 0)[:, None, None]
        log_prob = jnp.take_along_axis(logits, taken, 2)[..., 0]
        log_prob = jnp.maximum(log_prob, MIN_LOG_PROB)
        return jnp.where((s.action != ABSENT)[:, None], log_prob, 0.0)

    def episode(arrays: tuple[Any, Array]) -> Array:
        obs, action = arrays
        after = (seats[:, None] + jnp.arange(1, n)) % n  # [N, N-1]
        next_one = jnp.argmax(action[0, after] != ABSENT, 1)
        observer = after[seats, next_one]  # the next seat that is not empty
        index = jnp.argmax(order[observer] == seats[:, None], 1) - 1
        observed = jnp.moveaxis(obs_at(obs, slice(-1))[:, observer], 1, 0)
        of_all = _Seat(observed, index, action.T)
        return jnp.moveaxis(jax.vmap(seat)(of_all), 0, 1)

    at_once = episodes_at_once(episodes.obs.shape, 64)
    arrays = episodes.obs, episodes.action
    return map_in_parts(episode, arrays, at_once)
