"""How much each logged step tells of each goal: labels by hindsight where an event shows one, posterior weights where none does.

Keeping only what led to a reward throws the rest of a player's steps away, and calling the rest "none" mislabels a hunter that the
step limit caught on its way, or whom nobody helped. Here the steps after a player's last event, a *tail*, are weighed over all goals by

    w(g) proportional to p(g) prod_t pi_hat_g(a_t | o_t),

p(g) the share of the tails that are after g, and the model of the others as it is so far: expectation maximisation (Dempster, Laird and
Rubin, 1977). p(g) counts tails alone, so that it holds how often a player after g ends without it: who always succeeds leaves no tail.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from bestreply.config import RunConfig
from bestreply.games.hindsight_goals import NO_EVENT
from bestreply.opponents.latent_codes import first_codes, smooth_codes
from bestreply.opponents.learned import LearnedOpponents
from bestreply.opponents.opponent_types import opponent_types
from bestreply.opponents.subgoals import subgoal_weights
from bestreply.types import ABSENT, Episodes, ego_order

ROUNDS = 20
"""Rounds in which the shares of the goals among tails come to rest."""

CODE_CHANGE_RATE = 0.01
"""Probability before each step that a player's code is drawn anew, where codes are learned."""

RULES = ("event", "hindsight", "posterior")
"""Names of `TrainConfig.labels`."""


def labels_change(config: RunConfig) -> bool:
    """Return whether `label_weights` change while the opponent model is trained."""
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
    """What each step counts for each goal or type that the model of the others tells apart; 0 for a step that is not kept.

    `config.train.labels`: "event" keeps what led to an event; "hindsight" calls the rest by the last goal, "none"; "posterior" weighs
    it, by `model` as it is, or before that has learned anything (`trained` False) by all goals alike. Codes are weighed like this at
    every step (`bestreply.opponents.latent_codes`), or shown by the state some steps on (`bestreply.opponents.subgoals`). Players, and a model that tells
    nobody apart, need no such thing: whoever plays is on record.
    """
    action, count = np.asarray(episodes.action), model.goals
    acted = (action != ABSENT)[..., None]
    if model.subgoal is not None:
        return np.asarray(
            subgoal_weights(model, episodes, config.model.code_horizon)
        )
    types = opponent_types(config.model)
    if types.logged is None:
        if not trained:
            return first_codes(acted[..., 0], count, config.seed)
        likely = np.asarray(step_likelihood(model, episodes))
        return smooth_codes(likely, acted[..., 0], CODE_CHANGE_RATE).weight
    goal = np.asarray(episodes.goal)
    if not types.inferred:
        known = types.logged(np.asarray(episodes.player)[:, None], goal)
        return (
            np.broadcast_to(
                np.eye(count, dtype=np.float32)[known], (*action.shape, count)
            )
            * acted
        )
    source = np.asarray(episodes.goal_source)
    certain = np.eye(count, dtype=np.float32)[np.maximum(goal, 0)] * acted
    if config.train.labels == "hindsight":
        return certain
    tail = source == NO_EVENT
    certain = np.where(tail[..., None], np.float32(0), certain)
    if config.train.labels == "event":
        return certain
    if not trained:
        return certain + tail[..., None] / np.float32(count)
    likely = (
        np.asarray(step_likelihood(model, episodes)) * tail[..., None]
    ).sum(1)
    return (
        certain + tail[..., None] * tail_posterior(likely, tail.any(1))[:, None]
    )


def tail_posterior(
    log_likelihood: Float[np.ndarray, "E N G"], there: Bool[np.ndarray, "E N"]
) -> Float[np.ndarray, "E N G"]:
    """What each seat was after when its play broke off, given its tail's log-likelihood under each goal; 0 without a tail."""
    likely = log_likelihood[there]
    weight = np.full(likely.shape, 1 / likely.shape[1])
    for _ in range(ROUNDS if there.any() else 0):
        score = likely + np.log(np.maximum(weight.mean(0), 1e-6))
        weight = np.exp(score - score.max(1, keepdims=True))
        weight /= weight.sum(1, keepdims=True)
    found = np.zeros(log_likelihood.shape, np.float32)
    found[there] = weight
    return found


class _Seat(NamedTuple):
    obs: Array  # [T, *obs_shape] of a seat that looks on
    place: Array  # [] int32, where the seat that is watched stands among that one's others
    action: Array  # [T]


@jax.jit
def step_likelihood(
    model: LearnedOpponents, episodes: Episodes
) -> Float[Array, "E T N G"]:
    """log pi_hat_g(a_t | o_t) of every step of every seat, as the next seat sees it; 0 where it did not act."""
    n = episodes.action.shape[2]
    order = ego_order(n)
    watcher = [(j + 1) % n for j in range(n)]
    place = [list(order[w]).index(j) - 1 for j, w in enumerate(watcher)]

    def seat(s: _Seat) -> Array:
        logits = jax.vmap(model.logits)(s.obs)[:, s.place]  # [T, G, A]
        taken = jnp.take_along_axis(
            logits, jnp.maximum(s.action, 0)[:, None, None], 2
        )[..., 0]
        return jnp.where(
            (s.action != ABSENT)[:, None], jnp.maximum(taken, -20.0), 0.0
        )

    def episode(args: tuple[Array, Array]) -> Array:
        obs, action = args
        seats = _Seat(
            jnp.moveaxis(obs[:-1, jnp.array(watcher)], 1, 0),
            jnp.array(place),
            action.T,
        )
        return jnp.moveaxis(jax.vmap(seat)(seats), 0, 1)

    return jax.lax.map(episode, (episodes.obs, episodes.action), batch_size=64)
