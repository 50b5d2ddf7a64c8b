"""The latent world model: encoder, joint-action dynamics, decoder, reward, continuation, legal actions, value."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from bestreply.config import ModelConfig
from bestreply.games.base import Game
from bestreply.model.nets import MLP, JointMLP, one_hot_actions


class WorldModel(eqx.Module):
    """Six small networks and a value, for one example; batch with `jax.vmap`.

    Verbs: `encode`, `next`, `decode`, `reward`, `continues`, `legal`, `value`. Latents are [Z], actions of the others [N-1] ego
    first with ABSENT for a seat that has left.
    """

    encoder: MLP
    dynamics: JointMLP
    decoder: MLP
    reward_net: JointMLP
    continuation: JointMLP
    legal_net: MLP
    value_net: MLP
    value_mean: Float[Array, " K"]  # of the returns in the data, for each head
    value_scale: Float[Array, " K"]  # their standard deviation
    binary: Bool[Array, " D"]  # entries of the flat observation that are 0/1
    num_actions: int = eqx.field(static=True)
    obs_shape: tuple[int, ...] = eqx.field(static=True)
    config: ModelConfig = eqx.field(static=True)

    def __init__(self, game: Game, config: ModelConfig, *, goals: int, heads: int, key: jax.Array) -> None:
        """`goals`: columns of the belief that the value is told; `heads`: values side by side (see `value`)."""
        size, hidden, latent = int(np.prod(game.obs_shape)), (config.width,) * config.depth, config.latent
        actions = game.num_players * game.num_actions
        keys = jax.random.split(key, 7)
        value_inputs = (latent if config.value_of == "z" else size) + (
            game.num_players - 1
        ) * goals * config.value_belief
        self.encoder = MLP(size, hidden, latent, key=keys[0])
        self.dynamics = JointMLP(latent, actions, hidden, latent, key=keys[1])
        self.decoder = MLP(latent, hidden, size, key=keys[2])
        self.reward_net = JointMLP(latent, actions, hidden[:1], 1, key=keys[3])
        self.continuation = JointMLP(latent, actions, hidden[:1], 1, key=keys[4])
        self.legal_net = MLP(latent, hidden[:1], game.num_actions, key=keys[5])
        self.value_net = MLP(value_inputs, hidden, heads, key=keys[6])
        self.value_mean, self.value_scale = jnp.zeros(heads), jnp.ones(heads)
        self.binary = jnp.asarray(game.binary.reshape(-1))
        self.num_actions, self.obs_shape, self.config = game.num_actions, game.obs_shape, config

    def encode(self, obs: Float[Array, "*obs"]) -> Float[Array, " Z"]:
        """z_t = enc(o_t)."""
        return self.encoder(obs.reshape(-1))

    def next(self, z: Float[Array, " Z"], action: Array, others: Array) -> Float[Array, " Z"]:
        """z_{t+1} = f(z_t, a_i, a_j): the change is learned."""
        return z + self.dynamics(z, one_hot_actions(action, others, self.num_actions))

    def decode_raw(self, z: Float[Array, " Z"]) -> Float[Array, " D"]:
        """The decoder's output before any squashing: logits for 0/1 entries under the Bernoulli likelihood, values elsewhere."""
        return self.decoder(z)

    def decode(self, z: Float[Array, " Z"]) -> Float[Array, "*obs"]:
        """o_hat = dec(z); probabilities for 0/1 entries under the Bernoulli likelihood."""
        raw = self.decode_raw(z)
        if self.config.likelihood == "bernoulli":
            raw = jnp.where(self.binary, jax.nn.sigmoid(raw), raw)
        return raw.reshape(self.obs_shape)

    def reward(self, z: Float[Array, " Z"], action: Array, others: Array) -> Float[Array, ""]:
        """r_hat = r_phi(z, a_i, a_j)."""
        return self.reward_net(z, one_hot_actions(action, others, self.num_actions))[0]

    def continues(self, z: Float[Array, " Z"], action: Array, others: Array) -> Float[Array, ""]:
        """Logit of "the step does not terminate this seat"."""
        return self.continuation(z, one_hot_actions(action, others, self.num_actions))[0]

    def legal(self, z: Float[Array, " Z"]) -> Float[Array, " A"]:
        """Logits of each action being legal."""
        return self.legal_net(z)

    def value(self, z: Float[Array, " Z"], obs: Float[Array, "*obs"], belief: Array) -> Float[Array, " K"]:
        """V(z) or V(o), by `config.value_of`, told what is believed about the others [N-1, G] if `config.value_belief`.

        One value for each head: the single value of the specification, or one for each player that made the data. The network
        gives it in units of that head's returns (mean 0, deviation 1), so that small stakes are fitted as well as large ones.
        """
        x = z if self.config.value_of == "z" else obs.reshape(-1)
        if self.config.value_belief:
            x = jnp.concatenate([x, belief.reshape(-1)])
        return jax.lax.stop_gradient(self.value_mean) + jax.lax.stop_gradient(
            self.value_scale
        ) * self.value_net(x)

    def values_of(self, z: Float[Array, " Z"], belief: Array) -> Float[Array, " K"]:
        """`value` of a latent alone: V(o) is asked at o_hat = dec(z)."""
        obs: Any = jnp.zeros(self.obs_shape) if self.config.value_of == "z" else self.decode(z)
        return self.value(z, obs, belief)
