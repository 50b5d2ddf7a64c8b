"""The real game in place of the learned world model, to find out what is lost to the model and what to the rest."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from bestreply.games.base import Game

CERTAIN = 30.0
"""A logit that leaves no doubt."""


class TrueModel(eqx.Module):
    """A `WorldModel` whose latent is the state of the game itself; only the value is learned.

    For games that observations show in full (`Game.state_in`) and whose steps hold no chance. ValueError for others.
    """

    learned: Any  # the `WorldModel` whose value counts
    game: Game = eqx.field(static=True)
    limit_ends: bool = eqx.field(
        static=True, default=True
    )  # the step limit ends what counts, as in training (`at_limit`)

    def __check_init__(self) -> None:
        if (
            jax.eval_shape(self.game.state_in, jnp.zeros(self.game.obs_shape))
            is None
        ):
            raise ValueError(
                f"{self.game.name} does not show its state to the players; expected: a game with `state_in`, such as stag_hunt"
            )

    @property
    def num_actions(self) -> int:
        return self.game.num_actions

    @property
    def obs_shape(self) -> tuple[int, ...]:
        return self.game.obs_shape

    def encode(self, obs: Float[Array, "*obs"]) -> Any:
        return self.game.state_in(obs)

    def imagine(self, z: Any) -> Float[Array, "*obs"]:
        return jnp.asarray(
            self.game.look(z, jnp.zeros(self.game.num_players)).obs[0]
        )

    decode = imagine

    def _step(self, z: Any, action: Array, others: Array) -> Any:
        joint = jnp.concatenate(
            [jnp.reshape(action, (1,)), jnp.maximum(others, 0)]
        )
        return self.game.step(z, joint, jax.random.key(0))

    def next(self, z: Any, action: Array, others: Array) -> Any:
        return self._step(z, action, others)[0]

    def reward(self, z: Any, action: Array, others: Array) -> Float[Array, ""]:
        return self._step(z, action, others)[1].reward[0]

    def continues(
        self, z: Any, action: Array, others: Array
    ) -> Float[Array, ""]:
        """A logit, as the learned model's."""
        after = self._step(z, action, others)[1]
        ends = after.terminated[0] | (after.truncated & self.limit_ends)
        return jnp.where(ends, -CERTAIN, CERTAIN)

    def allowed(self, z: Any) -> Bool[Array, " A"]:
        return self.game.look(z, jnp.zeros(self.game.num_players)).legal[0]

    def legal(self, z: Any) -> Float[Array, " A"]:
        """Logits, as the learned model's."""
        return jnp.where(self.allowed(z), CERTAIN, -CERTAIN)

    def value(
        self, z: Any, obs: Float[Array, "*obs"], belief: Array
    ) -> Float[Array, " K"]:
        """The learned value of an observation."""
        return self.learned.value(self.learned.encode(obs), obs, belief)

    def values_of(self, z: Any, belief: Array) -> Float[Array, " K"]:
        values = self.value(z, self.imagine(z), belief)
        action_heads = self.learned.config.value_heads == "action"
        return (
            jnp.where(self.allowed(z), values, -jnp.inf)
            if action_heads
            else values
        )

    @property
    def binary(self) -> np.ndarray:
        return self.game.binary.reshape(-1)
