"""The latent world model: encoder, joint-action dynamics, decoder, reward, continuation, legal actions, value."""

from typing import Any, Protocol, runtime_checkable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from bestreply.config import ModelConfig
from bestreply.games.base import Game
from bestreply.models.networks import MLP, JointMLP, one_hot_actions


@runtime_checkable
class PlanningModel(Protocol):
    """What a planner asks of a world: `WorldModel` learned it, `TrueModel` knows it. Latents `z` are any PyTree."""

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
    value_mean: Float[
        Array, " U"
    ]  # of the returns in the data, for each head, or (heads for actions) for each goal or type
    value_scale: Float[Array, " U"]  # their standard deviation
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
        key: jax.Array,
    ) -> None:
        """`goals`: columns of the belief that the value is told; `heads`: players with a value each, where the values are theirs."""
        size, hidden, latent = (
            int(np.prod(game.obs_shape)),
            (config.width,) * config.depth,
            config.latent,
        )
        actions = game.num_players * game.num_actions
        keys = jax.random.split(key, 7)
        value_inputs = (latent if config.value_of == "z" else size) + (
            game.num_players - 1
        ) * goals
        self.encoder = MLP(size, hidden, latent, key=keys[0])
        self.dynamics = JointMLP(latent, actions, hidden, latent, key=keys[1])
        self.decoder = MLP(latent, hidden, size, key=keys[2])
        self.reward_net = JointMLP(latent, actions, hidden[:1], 1, key=keys[3])
        self.continuation = JointMLP(
            latent, actions, hidden[:1], 1, key=keys[4]
        )
        self.legal_net = MLP(latent, hidden[:1], game.num_actions, key=keys[5])
        heads = {"single": 1, "player": heads, "action": game.num_actions}[
            config.value_heads
        ]
        self.value_net = MLP(value_inputs, hidden, heads, key=keys[6])
        units = goals if config.value_heads == "action" else heads
        self.value_mean, self.value_scale = jnp.zeros(units), jnp.ones(units)
        self.binary = jnp.asarray(game.binary.reshape(-1))
        self.num_actions, self.obs_shape, self.config = (
            game.num_actions,
            game.obs_shape,
            config,
        )

    def encode(self, obs: Float[Array, "*obs"]) -> Float[Array, " Z"]:
        """z_t = enc(o_t)."""
        return self.encoder(obs.reshape(-1))

    def next(
        self, z: Float[Array, " Z"], action: Array, others: Array
    ) -> Float[Array, " Z"]:
        """z_{t+1} = f(z_t, a_i, a_j): the change is learned."""
        return z + self.dynamics(
            z, one_hot_actions(action, others, self.num_actions)
        )

    def decode_raw(self, z: Float[Array, " Z"]) -> Float[Array, " D"]:
        """The decoder's output before any squashing: logits for 0/1 entries under the Bernoulli likelihood, values elsewhere."""
        return self.decoder(z)

    def decode(self, z: Float[Array, " Z"]) -> Float[Array, "*obs"]:
        """o_hat = dec(z); probabilities for 0/1 entries under the Bernoulli likelihood."""
        raw = self.decode_raw(z)
        if self.config.likelihood == "bernoulli":
            raw = jnp.where(self.binary, jax.nn.sigmoid(raw), raw)
        return raw.reshape(self.obs_shape)

    def imagine(self, z: Float[Array, " Z"]) -> Float[Array, "*obs"]:
        """The decoded observation as the game would show it: 0/1 entries rounded. Several steps ahead, errors then do not add up."""
        obs = self.decode(z)
        return jnp.where(
            self.binary.reshape(self.obs_shape),
            (obs > 0.5).astype(obs.dtype),
            obs,
        )

    def reward(
        self, z: Float[Array, " Z"], action: Array, others: Array
    ) -> Float[Array, ""]:
        """r_hat = r_phi(z, a_i, a_j)."""
        return self.reward_net(
            z, one_hot_actions(action, others, self.num_actions)
        )[0]

    def continues(
        self, z: Float[Array, " Z"], action: Array, others: Array
    ) -> Float[Array, ""]:
        """Logit of "the step does not terminate this seat"."""
        return self.continuation(
            z, one_hot_actions(action, others, self.num_actions)
        )[0]

    def legal(self, z: Float[Array, " Z"]) -> Float[Array, " A"]:
        """Logits of each action being legal."""
        return self.legal_net(z)

    def allowed(self, z: Float[Array, " Z"]) -> Bool[Array, " A"]:
        """The actions predicted to be legal, never none."""
        logits = self.legal(z)
        return (logits > 0) | (
            jnp.arange(self.num_actions) == jnp.argmax(logits)
        )

    def value(
        self, z: Float[Array, " Z"], obs: Float[Array, "*obs"], belief: Array
    ) -> Float[Array, " K"]:
        """V(z) or V(o), by `config.value_of`, conditioned on the belief about the opponents [N-1, G].

        One value for each head, by `config.value_heads`: the single value of the specification; one for each player that made the
        data; or one for each own action, Q(o, a), of a planner that goes on to choose the best. The network gives it in units of
        the returns it is about (mean 0, deviation 1), so that small stakes are fitted as well as large ones.
        """
        x = z if self.config.value_of == "z" else obs.reshape(-1)
        mean, scale = self.units(belief)
        return mean + scale * self.value_net(
            jnp.concatenate([x, belief.reshape(-1)])
        )

    def units(self, belief: Array) -> tuple[Array, Array]:
        """Mean and deviation that values count in, [K] each; with heads for actions [], by who the others are believed to be."""
        mean, scale = jax.lax.stop_gradient((self.value_mean, self.value_scale))
        if self.config.value_heads == "action":
            share = belief.mean(0)
            return share @ mean, share @ scale
        return mean, scale

    def values_of(
        self, z: Float[Array, " Z"], belief: Array
    ) -> Float[Array, " K"]:
        """`value` of a latent alone: V(o) is asked at o_hat = dec(z). Heads of actions that are predicted illegal are -inf."""
        obs: Any = (
            jnp.zeros(self.obs_shape)
            if self.config.value_of == "z"
            else self.decode(z)
        )
        values = self.value(z, obs, belief)
        return (
            jnp.where(self.allowed(z), values, -jnp.inf)
            if self.config.value_heads == "action"
            else values
        )
