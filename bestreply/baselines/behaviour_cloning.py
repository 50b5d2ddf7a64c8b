"""Behaviour cloning (Pomerleau, 1989): the policy of whoever made the data, all of them alike."""

from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from bestreply.baselines.policy import ActorCritic
from bestreply.config import RunConfig
from bestreply.games.base import Game
from bestreply.replay.moa_buffer import (
    BufferState,
    all_indices,
    draw_index,
    fill,
    gather,
)
from bestreply.training.state import optimiser, trainable
from bestreply.training.updates import turned
from bestreply.types import ABSENT, Episodes, Transition

GREEDY = False


class Clone(eqx.Module):
    """What training changes. The critic is not used."""

    net: ActorCritic
    optimiser: Any
    updates: Array  # [] int32, gradient steps made


def start(config: RunConfig, game: Game, key: Array) -> Clone:
    net = ActorCritic.create(game, config.model, recurrent=False, key=key)
    transform = optimiser(config.train, config.train.updates)
    return Clone(net, transform.init(trainable(net)), jnp.int32(0))


def log_loss(net: ActorCritic, batch: Transition) -> Array:
    """[B]: -log pi(a_i | o) of logged steps [B, ...]."""
    nobody = jnp.full(batch.present.shape[-1], ABSENT)
    logs = jax.vmap(lambda o, m: net(net.start(), o, m, nobody)[1])(
        batch.obs, batch.legal
    )
    return -jnp.take_along_axis(logs, batch.action[:, None], 1)[:, 0]


def step(
    config: RunConfig,
    game: Game,
    buffer: BufferState,
    train_state: Clone,
    key: Array,
) -> tuple[Clone, dict[str, Array]]:
    """One gradient step on steps of all seats, each under a random symmetry of the game."""
    draw_key, turn_key = jax.random.split(key)
    batch = gather(buffer, draw_index(buffer, draw_key, config.train.batch))
    batch, _ = turned(config, game, batch, None, turn_key)
    loss, gradient = eqx.filter_value_and_grad(
        lambda net: log_loss(net, batch).mean()
    )(train_state.net)
    transform = optimiser(config.train, config.train.updates)
    change, state = transform.update(
        gradient, train_state.optimiser, trainable(train_state.net)
    )
    train_state = Clone(
        eqx.apply_updates(train_state.net, change),
        state,
        train_state.updates + 1,
    )
    return train_state, {"policy/log_loss": loss}


def held_out(train_state: Clone, episodes: Episodes) -> dict[str, float]:
    """The log-loss of steps that were not trained on."""
    buffer, index = fill(episodes), all_indices(episodes)
    each = jax.jit(partial(log_loss, train_state.net))(gather(buffer, index))
    return {"policy": float(np.mean(each))}
