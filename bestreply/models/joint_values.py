"""Values of joint actions, learned from logged play without a model of the game.

Q(o, b, a_i, a_j) is the return of own action a_i beside the others' actions a_j at
observation o and belief b. The best reply by it is that of a joint-action learner (Claus
and Boutilier, The Dynamics of Reinforcement Learning in Cooperative Multiagent Systems,
1998):

    a_i* = argmax over legal a_i of E_{a_j ~ pi_hat_j}[ Q(o, b, a_i, a_j) ]

The mean over what can follow is learned in Q itself, and not the value of a predicted mean
observation, which is wrong where chance decides. Later own actions are good ones that
anybody took in the data there, whoever it was (`bestreply.training.joint_values`), so that
a plan can be put together from those of several poor players.
"""

import dataclasses
import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, Shaped

from bestreply.config import ModelConfig
from bestreply.games.base import Game
from bestreply.games.seats import role_in, role_names
from bestreply.models.anchors import company
from bestreply.models.images import CNN
from bestreply.models.networks import Encoder, JointMLP
from bestreply.models.obs_nets import ObsNet, make_features, make_obs_net
from bestreply.models.units import ObsUnits, Units, flat_obs, unit_obs


class ReturnUnits(Units):
    """Units of returns, one for each role."""


class JointValues(eqx.Module):
    """Values of observations, of own actions and of joint actions, by role."""

    value_net: ObsNet
    """V(o, b): the return of the best actions of the data."""
    own_net: ObsNet
    """Q(o, b, a_i), twice, from which V is learned."""
    joint_net: JointMLP
    """Q(o, b, a_i, a_j) for all own actions."""
    features: CNN | Encoder | None
    """In front of `joint_net`."""
    obs_units: ObsUnits | None
    returns: ReturnUnits
    used: Bool[Array, "R G1"]
    """Whether plans follow these values, by role and company (`Anchors.weight`)."""
    game: Game = eqx.field(static=True)

    @classmethod
    def create(
        cls, game: Game, config: ModelConfig, types: int, *, key: PRNGKeyArray
    ) -> "JointValues":
        """Return untrained values that no plan follows.

        Args:
            game: the game.
            config: sizes and forms of the networks.
            types: types of an opponent, G.
            key: for the initial weights.
        """
        roles, actions = len(role_names(game)), game.num_actions
        rivals = game.num_players - 1
        shape, hidden = game.obs_shape, (config.width,) * config.depth
        value_key, own_key, joint_key, features_key = jax.random.split(key, 4)

        def net(outputs: int, key: PRNGKeyArray) -> ObsNet:
            beliefs = rivals * types
            return make_obs_net(
                config, shape, hidden, outputs, extra=beliefs, key=key
            )

        features = make_features(config, shape, key=features_key)
        inputs = math.prod(shape) if features is None else features.outputs
        return cls(
            value_net=net(roles, value_key),
            own_net=net(roles * 2 * actions, own_key),
            joint_net=JointMLP(
                inputs + rivals * types,
                rivals * actions,
                hidden,
                roles * actions,
                key=joint_key,
            ),
            features=features,
            obs_units=unit_obs(game),
            returns=ReturnUnits(jnp.zeros(roles), jnp.ones(roles)),
            used=jnp.zeros((roles, types + 1), bool),
            game=game,
        )

    def value(
        self, obs: Shaped[Array, "*obs"], posterior: Float[Array, "J G"]
    ) -> Float[Array, ""]:
        """Return V(o, b), in units of the game's rewards.

        Args:
            obs: own observation.
            posterior: belief about the opponents' types.
        """
        role = role_in(self.game, obs)
        value = self.value_net(self._inputs(obs, posterior))[role]
        return self.returns.mean[role] + self.returns.scale[role] * value

    def own(
        self, obs: Shaped[Array, "*obs"], posterior: Float[Array, "J G"]
    ) -> Float[Array, "2 A"]:
        """Return both Q(o, b, a_i) of each own action, in units of returns.

        Args:
            obs: own observation.
            posterior: belief about the opponents' types.
        """
        values = self.own_net(self._inputs(obs, posterior))
        shape = -1, 2, self.game.num_actions
        return values.reshape(shape)[role_in(self.game, obs)]

    def joint(
        self,
        obs: Shaped[Array, "*obs"],
        posterior: Float[Array, "J G"],
        others: Int[Array, "M J"],
    ) -> Float[Array, "M A"]:
        """Return Q(o, b, a_i, a_j) of each own action, in units of returns.

        Args:
            obs: own observation.
            posterior: belief about the opponents' types.
            others: M joint actions of the others; ABSENT for a seat that has left.
        """
        x = flat_obs(self.obs_units, obs)
        if self.features is not None:
            x = self.features(x)
        x = jnp.concatenate([x, posterior.reshape(-1)])
        actions = jax.nn.one_hot(others, self.game.num_actions)
        actions = actions.reshape(len(others), -1)
        values = jax.vmap(self.joint_net, (None, 0))(x, actions)
        shape = len(others), -1, self.game.num_actions
        return values.reshape(shape)[:, role_in(self.game, obs)]

    def expected(
        self,
        obs: Shaped[Array, "*obs"],
        posterior: Float[Array, "J G"],
        others: Int[Array, "M J"],
        weights: Float[Array, " M"],
    ) -> Float[Array, " A"]:
        """Return E[ Q(o, b, a_i, a_j) ] of each own action, in units of the game's rewards.

        Args:
            obs: own observation.
            posterior: belief about the opponents' types.
            others: joint actions of the others.
            weights: their probabilities.
        """
        role = role_in(self.game, obs)
        values = weights @ self.joint(obs, posterior, others)
        return self.returns.mean[role] + self.returns.scale[role] * values

    def uses(
        self, obs: Shaped[Array, "*obs"], posterior: Float[Array, "J G"]
    ) -> Bool[Array, ""]:
        """Return whether a plan at an observation follows these values.

        Args:
            obs: own observation.
            posterior: belief about the opponents' types.
        """
        return self.used[role_in(self.game, obs), company(posterior)]

    def if_used(self) -> "JointValues | None":
        """Return these values; None where no plan follows them, which is quicker."""
        known = not isinstance(self.used, Tracer)
        return None if known and not np.any(self.used) else self

    def with_used(self, used: Any) -> "JointValues":
        """Return the values with another `used`.

        Args:
            used: as the field; its shape may be broadcast.
        """
        used = jnp.broadcast_to(jnp.asarray(used, bool), self.used.shape)
        return dataclasses.replace(self, used=used)

    def _inputs(
        self, obs: Shaped[Array, "*obs"], posterior: Float[Array, "J G"]
    ) -> Float[Array, " inputs"]:
        flat = flat_obs(self.obs_units, obs)
        return jnp.concatenate([flat, posterior.reshape(-1)])
