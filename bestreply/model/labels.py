"""How much each logged step tells of each goal: labels by hindsight where an event shows one, posterior weights where none does.

Keeping only what led to a reward throws the rest of a player's steps away, and calling the rest "none" mislabels a hunter that the
step limit caught on its way. Here the steps after a player's last event, a *tail*, are weighed over all goals by

    w(g) proportional to p(g) S_g(L) prod_t pi_hat_g(a_t | o_t),

p(g) the share of the tails that are after g, S_g(L) the chance that a player after g has reached nothing in L steps (1 for "none": a
tail without an event is evidence too), and the model of the others as it is so far: expectation maximisation (Dempster, Laird and
Rubin, 1977), a mixture with a share that never reaches anything (Boag's cure model, 1949).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from bestreply.config import RunConfig
from bestreply.data.goals import EVENT, NO_EVENT
from bestreply.games.base import Game
from bestreply.model.opponent import LearnedOpponents
from bestreply.types import ABSENT, Episodes, ego_order

ROUNDS = 20
"""Rounds in which the shares of the goals among tails, and their survival, come to rest."""

RULES = ("event", "hindsight", "posterior")
"""Names of `TrainConfig.labels`."""


def label_weights(
    config: RunConfig, model: LearnedOpponents, episodes: Episodes, *, trained: bool = True
) -> Float[np.ndarray, "E T N G"]:
    """What each step counts for each goal or type that the model of the others tells apart; 0 for a step that is not kept.

    `config.train.labels`: "event" keeps what led to an event; "hindsight" calls the rest by the last goal, "none"; "posterior" weighs
    it, by `model` as it is, or before that has learned anything (`trained` False) by survival alone, all goals alike. Players, and a
    model that tells nobody apart, need no such thing: whoever plays is on record.
    """
    action, count = np.asarray(episodes.action), model.goals
    acted = (action != ABSENT)[..., None]
    if config.model.opponent_goal != "goal":
        player = np.asarray(episodes.player)[:, None]
        known = np.zeros_like(player) if config.model.opponent_goal == "none" else player
        return np.broadcast_to(np.eye(count, dtype=np.float32)[known], (*action.shape, count)) * acted
    goal, source = np.asarray(episodes.goal), np.asarray(episodes.goal_source)
    certain = np.eye(count, dtype=np.float32)[np.maximum(goal, 0)] * acted
    if config.train.labels == "hindsight":
        return certain
    tail = source == NO_EVENT
    certain = np.where(tail[..., None], np.float32(0), certain)
    if config.train.labels == "event":
        return certain
    if trained:
        likely, rounds = np.asarray(tail_likelihood(model, episodes, jnp.asarray(tail))), ROUNDS
    else:  # with nothing to tell goals apart, more rounds would give all to whoever survives best
        likely, rounds = np.zeros((action.shape[0], action.shape[2], count)), 1
    return certain + tail[..., None] * tail_posterior(model.game, episodes, likely, rounds)[:, None]


def tail_posterior(
    game: Game, episodes: Episodes, log_likelihood: Float[np.ndarray, "E N G"], rounds: int = ROUNDS
) -> Float[np.ndarray, "E N G"]:
    """What each seat was after when its play broke off, given its tail's log-likelihood under each goal; 0 without a tail."""
    took, goals = ways(game, episodes), log_likelihood.shape[-1]
    length = (np.asarray(episodes.goal_source) == NO_EVENT).sum(1)  # [E, N]
    there = length > 0
    weight = np.full(log_likelihood.shape, 1 / goals)
    for _ in range(rounds if there.any() else 0):
        share = np.maximum(weight[there].mean(0), 1e-6)
        alive = np.array([survival(k, length[there], w) for k, w in zip(took, weight[there].T, strict=True)])
        score = log_likelihood + np.log(share) + np.log(np.moveaxis(alive[:, length], 0, -1))
        weight = np.exp(score - score.max(-1, keepdims=True))
        weight /= weight.sum(-1, keepdims=True)
    return (weight * there[..., None]).astype(np.float32)


def survival(
    took: Int[np.ndarray, " K"], broke_off: Int[np.ndarray, " L"], weight: Float[np.ndarray, " L"]
) -> Float[np.ndarray, " T1"]:
    """S(0), S(1), ...: the chance that nothing is reached in so many steps, from ways that `took` so many and tails that `broke_off`
    after so many, the latter by their weight (Kaplan and Meier, 1958; one more at risk at every step, so that nothing is certain)."""
    steps = int(max(took.max(initial=0), broke_off.max(initial=0)))
    reached = np.bincount(took, minlength=steps + 1)
    ended = reached + np.bincount(broke_off, weight, minlength=steps + 1)
    at_risk = np.cumsum(ended[::-1])[::-1]
    return np.cumprod(1 - reached / (at_risk + 1))


def ways(game: Game, episodes: Episodes) -> list[Int[np.ndarray, " K"]]:
    """For each goal, how many steps each way to it took, from the start or the event before; none for the goal "none"."""
    action, goal = np.asarray(episodes.action), np.asarray(episodes.goal)
    reached = (action != ABSENT) & (
        np.asarray(game.achieved(episodes.obs[:, :-1], action, episodes.reward)) >= 0
    )
    reached &= np.asarray(episodes.goal_source) == EVENT
    took, run = [[] for _ in game.goals], np.zeros(action[:, 0].shape, int)
    for t in range(action.shape[1]):
        run = run + 1
        for g, found in enumerate(took):
            found.append(run[reached[:, t] & (goal[:, t] == g)])
        run = np.where(reached[:, t], 0, run)
    return [np.concatenate(found) for found in took]


class _Seat(NamedTuple):
    obs: Array  # [T, *obs_shape] of a seat that looks on
    place: Array  # [] int32, where the seat that is watched stands among that one's others
    action: Array  # [T]
    tail: Array  # [T] bool


@jax.jit
def tail_likelihood(
    model: LearnedOpponents, episodes: Episodes, tail: Bool[Array, "E T N"]
) -> Float[Array, "E N G"]:
    """sum over a seat's tail of log pi_hat_g(a_t | o_t), as the next seat sees it."""
    n = episodes.action.shape[2]
    order = ego_order(n)
    watcher = [(j + 1) % n for j in range(n)]
    place = [list(order[w]).index(j) - 1 for j, w in enumerate(watcher)]

    def seat(s: _Seat) -> Array:
        logits = jax.vmap(model.logits)(s.obs)[:, s.place]  # [T, G, A]
        taken = jnp.take_along_axis(logits, jnp.maximum(s.action, 0)[:, None, None], 2)[..., 0]
        return jnp.where(s.tail[:, None], jnp.maximum(taken, -20.0), 0.0).sum(0)

    def episode(args: tuple[Array, Array, Array]) -> Array:
        obs, action, tail = args
        seats = _Seat(jnp.moveaxis(obs[:-1, jnp.array(watcher)], 1, 0), jnp.array(place), action.T, tail.T)
        return jax.vmap(seat)(seats)

    return jax.lax.map(episode, (episodes.obs, episodes.action, tail), batch_size=64)
