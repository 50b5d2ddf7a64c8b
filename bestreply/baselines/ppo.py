"""Proximal policy optimisation (Schulman et al., 2017): a best reply by trial and error in the game itself, without a model.

It plays a seat, all in turn, among players drawn as in the data, for as many environment steps as the data has; advantages are
generalised advantage estimates (Schulman et al., 2016). Recurrent, it can find out by play who the others are.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

from bestreply.baselines.policy import ActorCritic, PolicyPlayer
from bestreply.config import RunConfig
from bestreply.games.base import Game
from bestreply.simulation.lineup import seat_players
from bestreply.simulation.loop import play
from bestreply.training.phases import Write
from bestreply.training.state import trainable
from bestreply.types import ABSENT, Array, Episodes, ego_order
from bestreply.utils.console import meter

GREEDY = True
EPISODES = 64
"""Games between two rounds of learning."""
EPOCHS = 4
"""Passes over the games of a round."""
MINIBATCHES = 4
"""Gradient steps in an epoch."""
LEARNING_RATE = 1e-3
"""Initial learning rate of Adam; it decays linearly to 0 with the budget."""
CLIP_RATIO = 0.2
"""Largest deviation of a probability ratio from 1 in the surrogate."""
ENTROPY_WEIGHT = 0.01
"""Initial weight of the entropy bonus; it decays linearly to 0 with the budget."""
GAE_LAMBDA = 0.95
"""lambda of the generalised advantage estimates."""
STREAM = 1_500_450_271
"""Tells the play it learns from apart from all other play of the same seed."""


class PPOState(eqx.Module):
    """What training changes."""

    net: ActorCritic
    optimiser: Any
    unit: Array  # [] float32, what the critic's values count in: about the deviation of returns
    env_steps: Array  # [] int32, played so far
    updates: Array  # [] int32, batches of play learned from


def start(
    config: RunConfig, game: Game, key: Array, *, recurrent: bool
) -> PPOState:
    net = ActorCritic.create(game, config.model, recurrent=recurrent, key=key)
    state = _optimiser().init(trainable(net))
    return PPOState(net, state, jnp.float32(0), jnp.int32(0), jnp.int32(0))


def _optimiser() -> optax.GradientTransformation:
    """Adam; the rate, which falls to nothing with the budget, is multiplied in where it is used."""
    return optax.chain(
        optax.clip_by_global_norm(0.5), optax.adam(LEARNING_RATE, eps=1e-5)
    )


def fit(
    config: RunConfig,
    game: Game,
    budget: int,
    train_state: PPOState,
    save: Callable[[PPOState], None],
    write: Write,
) -> PPOState:
    """Plays and learns until `budget` environment steps are played."""
    from bestreply.simulation.lineup import drawn_players

    drawn = drawn_players(config)
    every = max(config.train.checkpoint_every // 10, 1)
    with meter(
        "train: policy", budget - int(train_state.env_steps), "steps"
    ) as progress:
        while int(train_state.env_steps) < budget:
            played, steps = _play(config, game, drawn, train_state)
            left = jnp.float32(max(1 - int(train_state.env_steps) / budget, 0))
            train_state, metrics = _learn(
                config, train_state, played, left, jnp.int32(steps)
            )
            measured = {name: float(x) for name, x in metrics.items()}
            write(
                "policy",
                int(train_state.updates),
                measured,
                int(train_state.env_steps),
            )
            if (
                int(train_state.updates) % every == 0
                or int(train_state.env_steps) >= budget
            ):
                save(train_state)
            progress.advance(steps)
    return train_state


class Batch(NamedTuple):
    """Play of the train_state's own seat: E episodes of T steps."""

    obs: Array  # [E, T+1, *obs_shape]
    legal: Array  # [E, T+1, A]
    before: Array  # [E, T+1, N] int32, the joint action of the step before, ego first
    action: Array  # [E, T] int32, ABSENT where it did not act
    prob: Array  # [E, T]
    reward: Array  # [E, T]
    ends: Array  # [E, T] bool, no value counts after this step


def _play(
    config: RunConfig, game: Game, drawn: str, train_state: PPOState
) -> tuple[Batch, int]:
    player = PolicyPlayer(net=train_state.net, game=game, name="ppo")
    seats = [player, *[drawn] * (game.num_players - 1)]
    seed = int(
        np.random.default_rng(
            [config.seed, STREAM, int(train_state.updates)]
        ).integers(2**31)
    )
    lineup = seat_players(game, seats, EPISODES, seed, rotate=True)
    episodes = play(game, lineup, seed, chunk=EPISODES).episodes
    own = (
        np.arange(len(episodes.length)) % game.num_players
    )  # where `rotate` seats the first player
    return own_play(episodes, own, config.train.at_limit == "zero"), int(
        episodes.length.sum()
    )


def own_play(episodes: Episodes, seat: np.ndarray, limit_ends: bool) -> Batch:
    """What the player of `seat` [E] saw, did and got."""

    def mine(x: Array) -> Array:  # [E, T, N, ...] -> [E, T, ...]
        return np.asarray(x)[np.arange(len(seat)), :, seat]

    action = np.asarray(episodes.action)
    ego = ego_order(action.shape[2])[seat]  # [E, N]
    joint = np.take_along_axis(action, ego[:, None], 2)
    before = np.concatenate([np.full_like(joint[:, :1], ABSENT), joint], 1)
    ends = mine(episodes.terminated) | (
        np.asarray(episodes.truncated) & limit_ends
    )
    own = map(
        mine,
        (
            episodes.obs,
            episodes.legal,
            episodes.action,
            episodes.prob,
            episodes.reward,
        ),
    )
    obs, legal, acted, prob, reward = own
    return Batch(
        obs, legal, before, acted, np.nan_to_num(prob, nan=1.0), reward, ends
    )


@partial(jax.jit, static_argnames=("config",))
def _learn(
    config: RunConfig,
    train_state: PPOState,
    batch: Batch,
    left: Array,
    steps: Array,
) -> tuple[PPOState, dict[str, Array]]:
    """Some epochs over one batch of play; `left` is the share of the budget that is still to be played."""
    values = (
        jax.vmap(train_state.net.along)(batch.obs, batch.legal, batch.before)[1]
        * train_state.unit
    )
    acted = batch.action != ABSENT
    advantage = gae(batch, values, config.train.gamma, GAE_LAMBDA)
    returns = advantage + values[:, :-1]
    deviation = jnp.sqrt(
        jnp.where(acted, returns**2, 0).sum() / jnp.maximum(acted.sum(), 1)
    )
    unit = jnp.where(
        train_state.unit == 0,
        deviation,
        0.95 * train_state.unit + 0.05 * deviation,
    )
    unit = jnp.maximum(unit, 1e-2)

    def update(carry: Any, rows: Array) -> Any:
        net, state = carry
        part, adv, y = jax.tree.map(
            lambda x: x[rows], (batch, advantage, returns / unit)
        )
        (_, parts), gradient = eqx.filter_value_and_grad(loss, has_aux=True)(
            net, part, adv, y, left
        )
        change, state = _optimiser().update(gradient, state, trainable(net))
        return (
            eqx.apply_updates(net, jax.tree.map(lambda x: left * x, change)),
            state,
        ), parts

    count = len(batch.action)
    key = jax.random.fold_in(jax.random.key(config.seed), train_state.updates)
    orders = jax.vmap(lambda k: jax.random.permutation(k, count))(
        jax.random.split(key, EPOCHS)
    )
    size = max(count // MINIBATCHES, 1)
    rows = orders[:, : count // size * size].reshape(-1, size)
    (net, state), parts = jax.lax.scan(
        update, (train_state.net, train_state.optimiser), rows
    )
    metrics = {f"policy/{name}": value.mean() for name, value in parts.items()}
    metrics["policy/return"] = jnp.where(acted, batch.reward, 0).sum(1).mean()
    return PPOState(
        net, state, unit, train_state.env_steps + steps, train_state.updates + 1
    ), metrics


def gae(batch: Batch, values: Array, gamma: float, lam: float) -> Array:
    """[E, T]: generalised advantage estimates from values [E, T+1]; 0 at steps that were not acted."""
    acted = batch.action != ABSENT
    discount = gamma * ~batch.ends
    delta = jnp.where(
        acted, batch.reward + discount * values[:, 1:] - values[:, :-1], 0
    )

    def back(after: Array, at: Any) -> Any:
        delta, discount = at
        advantage = delta + lam * discount * after
        return advantage, advantage

    last = jnp.zeros(len(delta))
    return jax.lax.scan(
        back, last, (delta.T, jnp.where(acted, discount, 0).T), reverse=True
    )[1].T


def loss(
    net: ActorCritic, batch: Batch, advantage: Array, y: Array, left: Array
) -> tuple[Array, dict[str, Array]]:
    """Clipped surrogate (eq. 7), the critic's squared error and the entropy bonus over episodes [E, T]; `y` in the critic's units."""
    acted = batch.action != ABSENT

    def mean(x: Array) -> Array:
        return jnp.where(acted, x, 0).sum() / jnp.maximum(acted.sum(), 1)

    logs, values = jax.vmap(net.along)(batch.obs, batch.legal, batch.before)
    logs, values = logs[:, :-1], values[:, :-1]
    chosen = jnp.take_along_axis(
        logs, jnp.maximum(batch.action, 0)[..., None], 2
    )[..., 0]
    ratio = jnp.exp(chosen - jnp.log(jnp.maximum(batch.prob, 1e-8)))
    middle = mean(advantage)
    advantage = (advantage - middle) / (
        jnp.sqrt(mean((advantage - middle) ** 2)) + 1e-8
    )
    clipped = jnp.clip(ratio, 1 - CLIP_RATIO, 1 + CLIP_RATIO)
    policy = -mean(jnp.minimum(ratio * advantage, clipped * advantage))
    value = mean((values - y) ** 2)
    entropy = mean(-(jnp.exp(logs) * jnp.maximum(logs, -30)).sum(2))
    total = policy + 0.5 * value - left * ENTROPY_WEIGHT * entropy
    return total, {"surrogate": policy, "value": value, "entropy": entropy}
