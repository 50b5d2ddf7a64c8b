"""The latent world model: encoder, dynamics of joint actions, and what it predicts.

It predicts the next observation, reward, continuation, legal actions and value.
"""

from typing import Any, Protocol, cast, runtime_checkable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int, PRNGKeyArray, PyTree

from bestreply.config import ModelConfig
from bestreply.games.base import Game
from bestreply.models.networks import (
    MLP,
    JointMLP,
    make_encoder,
    one_hot_actions,
)
from bestreply.types import Array

Latent = PyTree
"""The state of a planning model: the array [Z] of `WorldModel`, the game's own state of
`TrueModel`."""


@runtime_checkable
class PlanningModel(Protocol):
    """What a planner requires of a world model; see `WorldModel` for the methods."""

    @property
    def num_actions(self) -> int: ...

    def encode(self, obs: Any) -> Any: ...
    def next(self, z: Any, action: Any, others: Any) -> Any: ...
    def imagine(self, z: Any) -> Any: ...
    def reward(self, z: Any, action: Any, others: Any) -> Any: ...
    def continues(self, z: Any, action: Any, others: Any) -> Any: ...
    def allowed(self, z: Any) -> Any: ...
    def value(self, z: Any, obs: Any, belief: Any) -> Any: ...
    def values_of(self, z: Any, belief: Any) -> Any: ...


class WorldModel(eqx.Module):
    """Six small networks and a value, for one example; batch with `jax.vmap`.

    Opponent actions `others` are ego first, with ABSENT for a seat that has left.
    """

    encoder: eqx.Module
    dynamics: JointMLP
    decoder: MLP
    reward_net: JointMLP
    continuation: JointMLP
    legal_net: MLP
    value_net: MLP
    value_mean: Float[Array, " U"]
    """Mean of the returns in the data: of each head or, with heads for actions, of each
    type."""
    value_scale: Float[Array, " U"]
    """Their standard deviation."""
    binary: Bool[Array, " D"]  # entries of the flat observation that are 0/1
    num_actions: int = eqx.field(static=True)
    obs_shape: tuple[int, ...] = eqx.field(static=True)
    config: ModelConfig = eqx.field(static=True)

    def __init__(
        self,
        game: Game,
        config: ModelConfig,
        *,
        goals: int,
        heads: int,
        key: PRNGKeyArray,
    ) -> None:
        """Initialise the networks.

        Args:
            game: gives the shapes.
            config: sizes and forms of the networks.
            goals: columns of the belief that the value is conditioned on, G.
            heads: value heads, where `config.value_heads` is "player".
            key: for the initial weights.
        """
        size, latent = int(np.prod(game.obs_shape)), config.latent
        hidden = (config.width,) * config.depth
        actions = game.num_players * game.num_actions
        keys = jax.random.split(key, 7)
        self.encoder = make_encoder(
            config.encoder, game.obs_shape, hidden, latent, key=keys[0]
        )
        self.dynamics = JointMLP(latent, actions, hidden, latent, key=keys[1])
        self.decoder = MLP(latent, hidden, size, key=keys[2])
        self.reward_net = JointMLP(latent, actions, hidden[:1], 1, key=keys[3])
        self.continuation = JointMLP(
            latent, actions, hidden[:1], 1, key=keys[4]
        )
        self.legal_net = MLP(latent, hidden[:1], game.num_actions, key=keys[5])
        by_kind = {"single": 1, "player": heads, "action": game.num_actions}
        heads = by_kind[config.value_heads]
        value_inputs = latent if config.value_of == "z" else size
        value_inputs += (game.num_players - 1) * goals
        self.value_net = MLP(value_inputs, hidden, heads, key=keys[6])
        units = goals if config.value_heads == "action" else heads
        self.value_mean, self.value_scale = jnp.zeros(units), jnp.ones(units)
        self.binary = jnp.asarray(game.binary.reshape(-1))
        self.num_actions = game.num_actions
        self.obs_shape = game.obs_shape
        self.config = config

    def encode(self, obs: Float[Array, "*obs"]) -> Float[Array, " Z"]:
        """Return the latent of an observation: z_t = enc(o_t).

        Args:
            obs: own observation.
        """
        return cast(Any, self.encoder)(obs.reshape(-1))

    def next(
        self,
        z: Float[Array, " Z"],
        action: Int[Array, ""],
        others: Int[Array, " others"],
    ) -> Float[Array, " Z"]:
        """Return the next latent, z_{t+1} = z_t + f(z_t, a_i, a_j).

        Args:
            z: latent.
            action: own action, a_i.
            others: opponent actions, a_j.

        Returns:
            The latent one step later.
        """
        joint = one_hot_actions(action, others, self.num_actions)
        return z + self.dynamics(z, joint)

    def decode_raw(self, z: Float[Array, " Z"]) -> Float[Array, " D"]:
        """Return the decoder's output: logits of 0/1 entries, values of the others.

        Args:
            z: latent.

        Returns:
            The flat observation; logits only under the Bernoulli likelihood.
        """
        return self.decoder(z)

    def decode(self, z: Float[Array, " Z"]) -> Float[Array, "*obs"]:
        """Return the predicted observation, o_hat = dec(z).

        Args:
            z: latent.

        Returns:
            The observation; probabilities of 0/1 entries under the Bernoulli likelihood.
        """
        raw = self.decode_raw(z)
        if self.config.likelihood == "bernoulli":
            raw = jnp.where(self.binary, jax.nn.sigmoid(raw), raw)
        return raw.reshape(self.obs_shape)

    def imagine(self, z: Float[Array, " Z"]) -> Float[Array, "*obs"]:
        """Return the predicted observation with 0/1 entries rounded, as a game shows it.

        Rounding keeps errors from accumulating over several steps.

        Args:
            z: latent.

        Returns:
            The rounded observation.
        """
        obs = self.decode(z)
        rounded = (obs > 0.5).astype(obs.dtype)
        return jnp.where(self.binary.reshape(self.obs_shape), rounded, obs)

    def reward(
        self,
        z: Float[Array, " Z"],
        action: Int[Array, ""],
        others: Int[Array, " others"],
    ) -> Float[Array, ""]:
        """Return the predicted reward, r_hat(z, a_i, a_j).

        Args:
            z: latent.
            action: own action, a_i.
            others: opponent actions, a_j.

        Returns:
            The expected reward of the step, in units of the game.
        """
        joint = one_hot_actions(action, others, self.num_actions)
        return self.reward_net(z, joint)[0]

    def continues(
        self,
        z: Float[Array, " Z"],
        action: Int[Array, ""],
        others: Int[Array, " others"],
    ) -> Float[Array, ""]:
        """Return the logit of "the step does not terminate the own seat".

        Args:
            z: latent.
            action: own action.
            others: opponent actions.

        Returns:
            A logit.
        """
        joint = one_hot_actions(action, others, self.num_actions)
        return self.continuation(z, joint)[0]

    def legal(self, z: Float[Array, " Z"]) -> Float[Array, " A"]:
        """Return the logit of each own action being legal.

        Args:
            z: latent.
        """
        return self.legal_net(z)

    def allowed(self, z: Float[Array, " Z"]) -> Bool[Array, " A"]:
        """Return the own actions predicted to be legal; at least the likeliest one.

        Args:
            z: latent.

        Returns:
            A mask with at least one action.
        """
        logits = self.legal(z)
        likeliest = jnp.arange(self.num_actions) == jnp.argmax(logits)
        return (logits > 0) | likeliest

    def value(
        self,
        z: Float[Array, " Z"],
        obs: Float[Array, "*obs"],
        belief: Float[Array, "others G"],
    ) -> Float[Array, " K"]:
        """Return V(z) or V(o) given the belief about the opponents' types.

        The heads are those of `config.value_heads`: the single value of the
        specification; one for each player that made the data; or one for each own
        action, Q(o, a), of a planner that then chooses the best. The network predicts
        in units of the returns of the head (mean 0, deviation 1), so that small stakes
        are fitted as well as large ones.

        Args:
            z: latent; used where `config.value_of` is "z".
            obs: observation; used otherwise.
            belief: posterior over the opponents' types.

        Returns:
            The value of each head.
        """
        x = z if self.config.value_of == "z" else obs.reshape(-1)
        mean, scale = self.units(belief)
        inputs = jnp.concatenate([x, belief.reshape(-1)])
        return mean + scale * self.value_net(inputs)

    def units(
        self, belief: Float[Array, "others G"]
    ) -> tuple[Float[Array, "*K"], Float[Array, "*K"]]:
        """Return mean and standard deviation in which values are expressed.

        Args:
            belief: posterior over the opponents' types.

        Returns:
            One number for each head; with heads for actions scalars, their mean over
            the believed types.
        """
        mean, scale = jax.lax.stop_gradient((self.value_mean, self.value_scale))
        if self.config.value_heads != "action":
            return mean, scale
        types = len(mean)  # without opponents all types count alike
        share = belief.mean(0) if len(belief) else jnp.full(types, 1 / types)
        return share @ mean, share @ scale

    def values_of(
        self, z: Float[Array, " Z"], belief: Float[Array, "others G"]
    ) -> Float[Array, " K"]:
        """Return `value` of a predicted latent: V(z), or V(o) at o_hat = dec(z).

        Args:
            z: latent.
            belief: posterior over the opponents' types.

        Returns:
            The value of each head; -inf for actions that are predicted illegal.
        """
        uses_latent = self.config.value_of == "z"
        obs = jnp.zeros(self.obs_shape) if uses_latent else self.decode(z)
        return self.mask_heads(z, self.value(z, obs, belief))

    def mask_heads(
        self, z: Float[Array, " Z"], values: Float[Array, " K"]
    ) -> Float[Array, " K"]:
        """Return `values` with -inf at heads of actions that are predicted illegal.

        Args:
            z: latent.
            values: the value of each head.

        Returns:
            The values; unchanged unless heads are of actions.
        """
        if self.config.value_heads != "action":
            return values
        return jnp.where(self.allowed(z), values, -jnp.inf)
