"""An encoder for foraging that reads where things are relative to each other."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, PRNGKeyArray

from bestreply.models.networks import MLP
from bestreply.types import Array

NEAR = 2
"""Offsets up to this many rows and columns have a joint one-hot vector."""


class Relative(eqx.Module):
    """An MLP of an observation and of the offsets between both agents and the food.

    Whether an agent is beside a food is then one input, wherever they are. The
    observation is that of jumanji's vector observer, one-hot: `model.encoder =
    "experiments.foraging.networks:Relative"`.
    """

    mlp: MLP

    def __init__(
        self,
        shape: tuple[int, ...],
        hidden: tuple[int, ...],
        outputs: int,
        *,
        key: PRNGKeyArray,
    ) -> None:
        """Initialise the network.

        Args:
            shape: of an observation.
            hidden: units of each hidden layer.
            outputs: size of the latent.
            key: for the initial weights.
        """
        inputs = jax.eval_shape(self._features, jnp.zeros(shape)).shape[0]
        self.mlp = MLP(inputs, hidden, outputs, key=key)

    def __call__(self, obs: Float[Array, " D"]) -> Float[Array, " outputs"]:
        return self.mlp(self._features(obs))

    @staticmethod
    def _features(obs: Float[Array, " D"]) -> Float[Array, " F"]:
        things = jnp.reshape(obs, (-1, 3, obs.shape[0] // 15))
        values = jnp.arange(things.shape[-1]) - 1
        rows = jnp.round(things @ values).astype(jnp.int32)  # [F + 2, 3]
        food, agents = rows[:-2], rows[-2:]
        left = (food[:, 2] > 0).astype(jnp.float32)
        offsets = agents[:, None, :2] - food[:, :2]  # [2, F, 2]
        to_food = _one_hot_offsets(offsets) * left[:, None]
        apart = _one_hot_offsets(agents[0, :2] - agents[1, :2])
        return jnp.concatenate([obs, to_food.reshape(-1), apart])


def _one_hot_offsets(offset: Array) -> Float[Array, "*batch F"]:
    """Return row, column and, of near things, both together as one-hot vectors."""
    span = np.arange(-6, 7)
    row, column = offset[..., :1], offset[..., 1:]
    near = np.arange(-NEAR, NEAR + 1)
    both = (row == near)[..., :, None] & (column == near)[..., None, :]
    parts = [row == span, column == span, both.reshape(*both.shape[:-2], -1)]
    return jnp.concatenate(parts, -1).astype(jnp.float32)
