"""Implicit Q-learning (Kostrikov, Nair and Levine, "Offline reinforcement learning with implicit Q-learning", 2022): values and a
policy from logged play alone, with no model of the game or of the others, and no action tried that the data does not hold.

    V: expectile regression towards the lesser of two slow Q of the logged action                      (eq. 5)
    Q: r + gamma (1 - done) V(o')                                                                      (eq. 6)
    pi: log pi(a_i | o) weighted by exp(temperature (Q - V)), the advantage in its own deviations      (eq. 7)
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array

from bestreply.baselines.behaviour_cloning import log_loss
from bestreply.baselines.policy import ActorCritic
from bestreply.config import RunConfig
from bestreply.games.base import Game
from bestreply.models.networks import MLP
from bestreply.replay.moa_buffer import BufferState, draw_index, gather
from bestreply.training.state import optimiser, trainable
from bestreply.training.updates import follow, turned
from bestreply.types import Episodes, Transition

GREEDY = True
EXPECTILE = 0.8
"""Expectile of the value: 0.5 is the mean over the data's actions, near 1 their best."""
TEMPERATURE = 3.0
"""Weight of an advantage, in standard deviations of the advantages, in the exponent of a policy weight."""
LARGEST = 100.0
"""Weight of a logged action at most."""


class Nets(eqx.Module):
    policy: ActorCritic  # its critic is V
    q: tuple[MLP, MLP]


class Learnt(eqx.Module):
    """What training changes."""

    nets: Nets
    slow: tuple[MLP, MLP]
    optimiser: Any
    updates: Array  # [] int32, gradient steps made

    @property
    def net(self) -> ActorCritic:
        return self.nets.policy


def start(config: RunConfig, game: Game, key: Array) -> Learnt:
    policy_key, *q_keys = jax.random.split(key, 3)
    hidden, seen = (
        (config.model.width,) * config.model.depth,
        jnp.zeros(game.obs_shape).size,
    )
    one, two = (MLP(seen, hidden, game.num_actions, key=k) for k in q_keys)
    nets = Nets(
        ActorCritic.create(game, config.model, recurrent=False, key=policy_key),
        (one, two),
    )
    transform = optimiser(config.train, config.train.updates)
    return Learnt(
        nets,
        jax.tree.map(jnp.copy, nets.q),
        transform.init(trainable(nets)),
        jnp.int32(0),
    )


def step(
    config: RunConfig,
    game: Game,
    buffer: BufferState,
    train_state: Learnt,
    key: Array,
) -> tuple[Learnt, dict[str, Array]]:
    """One gradient step on steps of all seats, each under a random symmetry of the game."""
    draw_key, turn_key = jax.random.split(key)
    batch = gather(
        buffer, draw_index(buffer, draw_key, config.train.value_batch)
    )
    batch, _ = turned(config, game, batch, None, turn_key)

    def loss(nets: Nets) -> tuple[Array, dict[str, Array]]:
        parts = losses(config, nets, train_state.slow, batch)
        return sum(parts.values(), jnp.float32(0)), parts

    (_, parts), gradient = eqx.filter_value_and_grad(loss, has_aux=True)(
        train_state.nets
    )
    transform = optimiser(config.train, config.train.updates)
    change, state = transform.update(
        gradient, train_state.optimiser, trainable(train_state.nets)
    )
    nets = eqx.apply_updates(train_state.nets, change)
    train_state = Learnt(
        nets,
        follow(config, train_state.slow, nets.q),
        state,
        train_state.updates + 1,
    )
    return train_state, {
        f"policy/{name}": value for name, value in parts.items()
    }


def losses(
    config: RunConfig, nets: Nets, slow: tuple[MLP, MLP], batch: Transition
) -> dict[str, Array]:
    """The three losses over steps [B, ...]; none moves what another fits."""
    seen, after = (
        x.reshape(len(batch.action), -1) for x in (batch.obs, batch.next_obs)
    )

    def of(q: MLP) -> Array:
        return jnp.take_along_axis(jax.vmap(q)(seen), batch.action[:, None], 1)[
            :, 0
        ]

    critic = jax.vmap(nets.policy.critic)
    value, q_slow = critic(seen)[:, 0], jnp.minimum(*map(of, slow))
    ends = batch.terminated | (
        batch.truncated & (config.train.at_limit == "zero")
    )
    y = batch.reward + config.train.gamma * ~ends * jax.lax.stop_gradient(
        critic(after)[:, 0]
    )
    above = jax.lax.stop_gradient(q_slow) - value
    advantage = jax.lax.stop_gradient(above)
    weight = jnp.exp(TEMPERATURE * advantage / (advantage.std() + 1e-6))
    return {
        "value": (
            jnp.where(above > 0, EXPECTILE, 1 - EXPECTILE) * above**2
        ).mean(),
        "q": sum(
            (optax.l2_loss(of(q), y).mean() for q in nets.q), jnp.float32(0)
        ),
        "policy": (
            jnp.minimum(weight, LARGEST) * log_loss(nets.policy, batch)
        ).mean(),
    }


def held_out(train_state: Learnt, episodes: Episodes) -> dict[str, float]:
    """Nothing that would tell how good it is: see its scores."""
    return {}
