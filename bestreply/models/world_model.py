"""The latent world model: encoder, dynamics of joint actions, and what it predicts.

It predicts the next observation, reward, continuation, legal actions and value.
"""

from typing import Any, cast

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int, PRNGKeyArray, Shaped

from bestreply.config import ModelConfig
from bestreply.games.base import Game
from bestreply.games.seats import (
    check_roles,
    marks_seats,
    own_actions,
    role_names,
    role_of_seat,
    seat_marks,
)
from bestreply.models.images import ImageDecoder, is_image
from bestreply.models.memory import Memory
from bestreply.models.networks import MLP, JointMLP, one_hot_actions
from bestreply.models.obs_nets import ObsNet, make_encoder, make_obs_net
from bestreply.models.units import (
    ObsUnits,
    RewardUnits,
    flat_obs,
    unit_obs,
    unit_rewards,
)
from bestreply.types import ABSENT, Array

NO_VALUE = -1e6
"""Value of a head whose player has no logged play yet, so that no planner follows it."""
Remembered = Any
"""State of a memory and the last own action; () without a memory."""


class WorldModel(eqx.Module):
    """Six small networks and a value, for one example; batch with `jax.vmap`.

    Opponent actions `others` are ego first, with ABSENT for a seat that has left.
    Networks read and predict observations and rewards in units measured from the data
    (`bestreply.models.units`). In a game whose seats differ, the last N entries of a
    latent tell the own seat; value heads and units of values and rewards are by role.
    """

    encoder: eqx.Module
    dynamics: JointMLP
    decoder: MLP | ImageDecoder
    reward_net: JointMLP
    continuation: JointMLP
    legal_net: MLP
    value_net: ObsNet
    memory: Memory | None
    value_mean: Float[Array, " U"]
    """Mean of the returns in the data: of each head or, with heads for actions, of each
    type; of each role in turn."""
    value_scale: Float[Array, " U"]
    """Their standard deviation."""
    obs_units: ObsUnits | None
    reward_units: RewardUnits
    binary: Bool[Array, " D"]  # entries of the flat observation that are 0/1
    game: Game = eqx.field(static=True)
    config: ModelConfig = eqx.field(static=True)
    heads: int = eqx.field(static=True)
    """Value heads of a role."""

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
            heads: value heads of a role, where `config.value_heads` is "player".
            key: for the initial weights.

        Raises:
            ValueError: the encoder does not fit the observations, or the game's seats
                differ and its observations do not tell the seat.
        """
        check_roles(game)
        self.game, self.config = game, config
        shape, latent = game.obs_shape, config.latent
        size, hidden = int(np.prod(shape)), (config.width,) * config.depth
        actions = game.num_players * game.num_actions
        keys = jax.random.split(key, 7)
        self.encoder = make_encoder(config, shape, key=keys[0])
        whole = latent + self.seats
        self.dynamics = JointMLP(whole, actions, hidden, latent, key=keys[1])
        if is_image(config.encoder, shape):
            self.decoder = ImageDecoder(whole, hidden, shape, key=keys[2])
        else:
            self.decoder = MLP(whole, hidden, size, key=keys[2])
        self.reward_net = JointMLP(whole, actions, hidden[:1], 1, key=keys[3])
        self.continuation = JointMLP(whole, actions, hidden[:1], 1, key=keys[4])
        self.legal_net = MLP(whole, hidden[:1], game.num_actions, key=keys[5])
        by_kind = {"single": 1, "player": heads, "action": game.num_actions}
        self.heads = by_kind[config.value_heads]
        roles, beliefs = len(role_names(game)), (game.num_players - 1) * goals
        outputs = roles * self.heads
        if self.values_latents:
            inputs = whole + beliefs
            self.value_net = MLP(inputs, hidden, outputs, key=keys[6])
        else:
            self.value_net = make_obs_net(
                config, shape, hidden, outputs, extra=beliefs, key=keys[6]
            )
        units = goals if config.value_heads == "action" else self.heads
        self.value_mean = jnp.zeros(roles * units)
        self.value_scale = jnp.ones(roles * units)
        self.memory = None
        if config.memory == "gru":
            key = jax.random.fold_in(key, 7)
            self.memory = Memory(latent, game.num_actions, key=key)
        self.obs_units, self.reward_units = unit_obs(game), unit_rewards(game)
        self.binary = jnp.asarray(game.binary.reshape(-1))

    @property
    def num_actions(self) -> int:
        return self.game.num_actions

    @property
    def obs_shape(self) -> tuple[int, ...]:
        return self.game.obs_shape

    @property
    def seats(self) -> int:
        """Entries of a latent that tell the own seat: N, or 0 where seats have one role."""
        return 0 if self.game.homogeneous else self.game.num_players

    @property
    def values_latents(self) -> bool:
        """Whether the value is V(z); V(o) otherwise."""
        if self.config.value_of == "auto":
            images = is_image(self.config.encoder, self.obs_shape)
            return images or self.config.memory != "none"
        return self.config.value_of == "z"

    def encode(self, obs: Shaped[Array, "*obs"]) -> Float[Array, " Z"]:
        """Return the latent of an observation: z_t = enc(o_t).

        Args:
            obs: own observation, of any type; with a memory, an episode's first one.
        """
        return self.observe(self.remembered(), obs)[1]

    def _features(self, obs: Shaped[Array, "*obs"]) -> Float[Array, " H"]:
        return cast(Any, self.encoder)(flat_obs(self.obs_units, obs))

    def remembered(self) -> Remembered:
        """Return what the model remembers at the start of an episode."""
        if self.memory is None:
            return ()
        return self.memory.start(), jnp.int32(ABSENT)

    def observe(
        self, before: Remembered, obs: Shaped[Array, "*obs"]
    ) -> tuple[Remembered, Float[Array, " Z"]]:
        """Return the memory's state after an observation, and the latent.

        Args:
            before: the memory's state before, and the own action since then.
            obs: own observation.

        Returns:
            The state, to be completed by the own action that follows (`acted`).
        """
        z, after = self._features(obs), before
        if self.memory is not None:
            state = self.memory.write(before[0], z, before[1])
            z, after = z + state, (state, before[1])
        if self.seats:
            seat = jnp.asarray(self.game.seat_in(obs))
            z = jnp.concatenate([z, jax.nn.one_hot(seat, self.seats)])
        return after, z

    def acted(self, memory: Remembered, action: Int[Array, ""]) -> Remembered:
        """Return the memory after an own action.

        Args:
            memory: of `observe`.
            action: own action at that observation.
        """
        if self.memory is None:
            return ()
        return memory[0], jnp.asarray(action).astype(jnp.int32)

    def recall(
        self,
        obs: Shaped[Array, "L *obs"],
        actions: Int[Array, " L"],
        valid: Bool[Array, " L"],
    ) -> Remembered:
        """Return the memory after L steps, from the start.

        Args:
            obs: own observations.
            actions: own actions at them.
            valid: steps that are real.
        """
        if self.memory is None:
            return ()
        features = jax.vmap(self._features)(obs)
        return self.memory.write_all(features, actions, valid)

    def seat(self, z: Float[Array, " Z"]) -> Int[Array, ""]:
        """Return the own seat that a latent tells; 0 where seats have one role.

        Args:
            z: latent.
        """
        if not self.seats:
            return jnp.int32(0)
        return jnp.argmax(z[-self.seats :]).astype(jnp.int32)

    def role(self, z: Float[Array, " Z"]) -> Int[Array, ""]:
        """Return the index of the own role that a latent tells.

        Args:
            z: latent.
        """
        return jnp.asarray(role_of_seat(self.game))[self.seat(z)]

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
        change = self.dynamics(z, joint)
        return (
            z + jnp.pad(change, (0, self.seats)) if self.seats else z + change
        )

    def decode_raw(self, z: Float[Array, " Z"]) -> Float[Array, " D"]:
        """Return the decoder's output: logits of 0/1 entries, the others in their units.

        Args:
            z: latent.

        Returns:
            The flat observation; logits only under the Bernoulli likelihood.
        """
        return self.decoder(z)

    def decode(self, z: Float[Array, " Z"]) -> Shaped[Array, "*obs"]:
        """Return the predicted observation, o_hat = dec(z), in units of the game.

        Args:
            z: latent.

        Returns:
            The observation; probabilities of 0/1 entries under the Bernoulli likelihood.
        """
        raw = self.decode_raw(z)
        if self.obs_units is not None:
            raw = self.obs_units.restored(raw)
        if self.config.likelihood == "bernoulli":
            raw = jnp.where(self.binary, jax.nn.sigmoid(raw), raw)
        obs = raw.reshape(self.obs_shape)
        if self.seats and marks_seats(self.game):
            shape = (*self.obs_shape[:-1], self.obs_shape[-1] - self.seats)
            marks = seat_marks(shape, self.seats, np.dtype(np.float32))
            marks = jnp.asarray(marks)[self.seat(z)]
            obs = obs.at[..., -self.seats :].set(marks)
        return obs

    def imagine(self, z: Float[Array, " Z"]) -> Shaped[Array, "*obs"]:
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
        mean, scale = self.reward_unit(z)
        return mean + scale * self.reward_net(z, joint)[0]

    def reward_unit(
        self, z: Float[Array, " Z"]
    ) -> tuple[Float[Array, ""], Float[Array, ""]]:
        """Return the zero point and the size of the unit of the own role's rewards.

        Args:
            z: latent.
        """
        units = jax.lax.stop_gradient(self.reward_units)
        role = self.role(z)
        return units.mean[role], units.scale[role]

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
            A mask with at least one action, and none that the own seat does not have.
        """
        logits = self.legal(z)
        if self.seats:
            has = jnp.asarray(own_actions(self.game))[self.seat(z)]
            logits = jnp.where(has, logits, -jnp.inf)
        likeliest = jnp.arange(self.num_actions) == jnp.argmax(logits)
        return (logits > 0) | likeliest

    def value(
        self,
        z: Float[Array, " Z"],
        obs: Shaped[Array, "*obs"],
        belief: Float[Array, "others G"],
    ) -> Float[Array, " K"]:
        """Return V(z) or V(o) given the belief about the opponents' types.

        The heads are those of `config.value_heads`: the single value of the
        specification; one for each player that made the data; or one for each own
        action, Q(o, a), of a planner that then chooses the best. The network predicts
        in units of the returns of the head (mean 0, deviation 1), so that small stakes
        are fitted as well as large ones.

        Args:
            z: latent; it is valued where `values_latents`, and tells the own role.
            obs: observation; valued otherwise.
            belief: posterior over the opponents' types.

        Returns:
            The value of each head.
        """
        x = z if self.values_latents else flat_obs(self.obs_units, obs)
        mean, scale = self.units(z, belief)
        values = self.value_net(jnp.concatenate([x, belief.reshape(-1)]))
        return mean + scale * self._of_role(values, z)

    def _of_role(
        self, numbers: Float[Array, " RK"], z: Float[Array, " Z"]
    ) -> Float[Array, " K"]:
        """Return the part of the own role of numbers by role."""
        if not self.seats:
            return numbers
        roles = len(role_names(self.game))
        return numbers.reshape(roles, -1)[self.role(z)]

    def units(
        self, z: Float[Array, " Z"], belief: Float[Array, "others G"]
    ) -> tuple[Float[Array, "*K"], Float[Array, "*K"]]:
        """Return mean and standard deviation in which values are expressed.

        Args:
            z: latent; it tells the own role.
            belief: posterior over the opponents' types.

        Returns:
            One number for each head; with heads for actions scalars, their mean over
            the believed types.
        """
        mean, scale = jax.lax.stop_gradient((self.value_mean, self.value_scale))
        mean, scale = self._of_role(mean, z), self._of_role(scale, z)
        if self.config.value_heads != "action":
            return mean, scale
        types = len(mean)  # without opponents all types count the same
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
        zeros = jnp.zeros(self.obs_shape)
        obs = zeros if self.values_latents else self.decode(z)
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
