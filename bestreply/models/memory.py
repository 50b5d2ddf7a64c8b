"""What a latent holds beside the current observation: a GRU's state (`model.memory`).

    h_t = GRU(h_{t-1}, enc(o_t), a_{t-1}),    z_t = enc(o_t) + h_t

with the own observations and actions of an episode (Cho et al., 2014).
"""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float, Int, PRNGKeyArray

from bestreply.types import ABSENT, Array


class Memory(eqx.Module):
    """A GRU over features of own observations and own actions."""

    cell: eqx.nn.GRUCell
    actions: int = eqx.field(static=True)

    def __init__(self, latent: int, actions: int, *, key: PRNGKeyArray) -> None:
        self.cell = eqx.nn.GRUCell(latent + actions, latent, key=key)
        self.actions = actions

    def start(self) -> Float[Array, " H"]:
        """Return the state at the start of an episode."""
        return jnp.zeros(self.cell.hidden_size)

    def write(
        self,
        state: Float[Array, " H"],
        features: Float[Array, " H"],
        last: Int[Array, ""],
    ) -> Float[Array, " H"]:
        """Return the state after an observation.

        Args:
            state: the state before.
            features: of the observation.
            last: own action before it; ABSENT at the first step of an episode.
        """
        action = jax.nn.one_hot(last, self.actions)
        return self.cell(jnp.concatenate([features, action]), state)

    def write_all(
        self,
        features: Float[Array, "L H"],
        actions: Int[Array, " L"],
        valid: Bool[Array, " L"],
    ) -> tuple[Float[Array, " H"], Int[Array, ""]]:
        """Return the state after L steps from the start, and the last own action.

        Args:
            features: of the observations.
            actions: own actions at them.
            valid: steps that are real; the others are not written.
        """

        def step(
            carry: tuple[Array, Array], row: tuple[Array, Array, Array]
        ) -> tuple[tuple[Array, Array], None]:
            features, action, valid = row
            state, last = carry
            after = self.write(state, features, last)
            state = jnp.where(valid, after, state)
            return (state, jnp.where(valid, action, last)), None

        first = self.start(), jnp.int32(ABSENT)
        rows = features, actions.astype(jnp.int32), valid
        return jax.lax.scan(step, first, rows)[0]
