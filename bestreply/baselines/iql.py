"""Implicit Q-learning: values and a policy from logged play, without a model.

Kostrikov, Nair and Levine, "Offline reinforcement learning with implicit Q-learning",
2022. No action outside the data is evaluated:

    V: expectile regression towards the lesser of two target Q of the logged action  (eq. 5)
    Q: r + gamma (1 - done) V(o')                                                    (eq. 6)
    pi: log pi(a_i | o) weighted by exp(temperature (Q - V)), the advantage divided
        by its standard deviation                                                    (eq. 7)
"""

from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int32, Key, PyTree

from bestreply.baselines.behaviour_cloning import log_loss
from bestreply.baselines.policy import ActorCritic, OfflineMethod
from bestreply.config import RunConfig
from bestreply.games.base import Game
from bestreply.games.seats import role_of_seat
from bestreply.models.obs_nets import ObsNet, make_obs_net
from bestreply.models.units import RewardUnits, flat_obs, unit_rewards
from bestreply.replay.moa_buffer import BufferState, draw_index, gather
from bestreply.training.augmentation import augmented
from bestreply.training.joint_values import expectile_loss
from bestreply.training.phases import Metrics
from bestreply.training.state import apply_gradient, optimiser, trainable
from bestreply.training.world_updates import follow
from bestreply.types import Transition

TEMPERATURE = 3.0
"""Weight of an advantage, in standard deviations of the advantages, in the exponent of a
policy weight."""
MAX_POLICY_WEIGHT = 100.0
"""Largest weight of a logged action in the policy's loss."""


class IQLNetworks(eqx.Module):
    """The networks that gradient steps change."""

    policy: ActorCritic  # its critic is V
    q: tuple[ObsNet, ObsNet]


class IQLState(eqx.Module):
    """The state that training changes."""

    networks: IQLNetworks
    target_q: tuple[ObsNet, ObsNet]
    optimiser: PyTree
    updates: Int32[Array, ""]  # gradient steps made
    reward_units: RewardUnits  # rewards are divided by their size, by role

    @property
    def net(self) -> ActorCritic:
        """The policy."""
        return self.networks.policy


class ImplicitQLearning(OfflineMethod):
    """Fits Q, V and a policy to the logged steps of all seats."""

    greedy = True

    def init(
        self, config: RunConfig, game: Game, key: Key[Array, ""]
    ) -> IQLState:
        policy_key, *q_keys = jax.random.split(key, 3)
        hidden = (config.model.width,) * config.model.depth
        shape = game.obs_shape
        first, second = (
            make_obs_net(config.model, shape, hidden, game.num_actions, key=k)
            for k in q_keys
        )
        policy = ActorCritic.create(
            game, config.model, recurrent=False, key=policy_key
        )
        networks = IQLNetworks(policy, (first, second))
        transform = optimiser(config.train, config.train.updates)
        return IQLState(
            networks,
            jax.tree.map(jnp.copy, networks.q),
            transform.init(trainable(networks)),
            jnp.int32(0),
            unit_rewards(game),
        )

    def step(
        self,
        config: RunConfig,
        game: Game,
        buffer: BufferState,
        train_state: IQLState,
        key: Key[Array, ""],
    ) -> tuple[IQLState, Metrics]:
        draw_key, symmetry_key = jax.random.split(key)
        index = draw_index(buffer, draw_key, config.train.value_batch)
        batch, _ = augmented(
            config, game, gather(buffer, index), None, symmetry_key
        )
        role = jnp.asarray(role_of_seat(game))[batch.seat]
        reward = batch.reward / train_state.reward_units.scale[role]
        batch = eqx.tree_at(lambda b: b.reward, batch, reward)

        def loss(networks: IQLNetworks) -> tuple[Array, Metrics]:
            each = losses(config, networks, train_state.target_q, batch)
            return sum(each.values(), jnp.float32(0)), each

        (_, each), gradient = eqx.filter_value_and_grad(loss, has_aux=True)(
            train_state.networks
        )
        networks, state = apply_gradient(
            optimiser(config.train, config.train.updates),
            train_state.optimiser,
            train_state.networks,
            gradient,
        )
        target_q = follow(config, train_state.target_q, networks.q)
        train_state = IQLState(
            networks,
            target_q,
            state,
            train_state.updates + 1,
            train_state.reward_units,
        )
        return train_state, {
            f"policy/{name}": value for name, value in each.items()
        }


def losses(
    config: RunConfig,
    networks: IQLNetworks,
    target_q: tuple[ObsNet, ObsNet],
    batch: Transition,
) -> dict[str, Float[Array, ""]]:
    """Return the three losses; the gradient of each reaches only its own networks.

    Args:
        config: its `train.gamma` and `train.at_limit` are read.
        networks: policy, V and two Q.
        target_q: the target networks of Q.
        batch: logged steps [B, ...], with rewards in their units.

    Returns:
        The losses of V ("value"), of both Q ("q") and of the policy ("policy").
    """
    flat = jax.vmap(partial(flat_obs, networks.policy.obs_units))
    obs, next_obs = flat(batch.obs), flat(batch.next_obs)

    def of_logged_action(q: ObsNet) -> Float[Array, " B"]:
        values = jax.vmap(q)(obs)
        return jnp.take_along_axis(values, batch.action[:, None], 1)[:, 0]

    critic = jax.vmap(networks.policy.critic)
    value = critic(obs)[:, 0]
    target = jnp.minimum(*map(of_logged_action, target_q))
    limit_ends = config.train.at_limit == "zero"
    ends = batch.terminated | (batch.truncated & limit_ends)
    next_value = jax.lax.stop_gradient(critic(next_obs)[:, 0])
    y = batch.reward + config.train.gamma * ~ends * next_value
    above = jax.lax.stop_gradient(target) - value
    advantage = jax.lax.stop_gradient(above)
    weight = jnp.exp(TEMPERATURE * advantage / (advantage.std() + 1e-6))
    weight = jnp.minimum(weight, MAX_POLICY_WEIGHT)
    first, second = (
        optax.l2_loss(of_logged_action(q), y).mean() for q in networks.q
    )
    return {
        "value": expectile_loss(above),
        "q": first + second,
        "policy": (weight * log_loss(networks.policy, batch)).mean(),
    }
