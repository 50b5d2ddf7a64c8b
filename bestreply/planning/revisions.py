"""Values of observations met earlier in an episode, revised in play.

A value that errs can hold an agent in a loop: it waits for a player that waits for it,
because its value says that something is about to happen. Real-time dynamic programming
(Barto, Bradtke and Singh, 1995; Korf, 1990) gives each observation that is met the value
of the plan made there:

    V(o) <- max over a_i of E_{a_j ~ pi_hat_j}[ r + gamma V(o') ]

Here the difference between the right side and V(o) is kept, where it is below 0, and is
added to V wherever a later plan of the episode predicts the same observation. The value
of a loop then falls by gamma in each round, until something else is worth more.

A loop that pays is left alone (`pays`): values of what was not met are not revised, so
that one that errs upwards would draw the agent away from what earns most.

Observations are compared by a hash of 32 bits (`bestreply.planning.levels`).
"""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int32, UInt32

PLACES = 32
"""Observations of an episode that are kept, the latest ones."""


def pays(
    reward: Float[Array, ""], value: Float[Array, ""], gamma: float
) -> Bool[Array, ""]:
    """Return whether a step earns about what the value promises for each step.

    Where every step earns r the value is V = r / (1 - gamma), which promises
    (1 - gamma) V. A step pays that falls short of it by at most half of its size.

    Args:
        reward: expected reward of the step.
        value: V(o) before it.
        gamma: discount.
    """
    promised = (1 - gamma) * value
    return reward >= promised - jnp.abs(promised) / 2


class Revisions(NamedTuple):
    """Observations of an episode, and what their values change by."""

    obs: UInt32[Array, " K"]
    """Hashes."""
    change: Float[Array, " K"]
    """At most 0."""
    written: Int32[Array, ""]
    """Number of observations that were written."""

    @classmethod
    def none(cls, steps: int) -> "Revisions":
        """Return no revisions.

        Args:
            steps: largest number of steps of an episode.
        """
        places = min(PLACES, steps)
        hashes = jnp.zeros(places, jnp.uint32)
        return cls(hashes, jnp.zeros(places), jnp.int32(0))

    def change_at(self, obs: UInt32[Array, ""]) -> Float[Array, ""]:
        """Return what the value of an observation changes by.

        Args:
            obs: hash of the own observation, also of a predicted one.

        Returns:
            At most 0; 0 for an observation that was not met.
        """
        return jnp.where(self._same(obs), self.change, 0.0).min()

    def _same(self, obs: UInt32[Array, ""]) -> Bool[Array, " K"]:
        met = jnp.arange(len(self.change)) < self.written
        return met & (self.obs == obs)

    def revised(
        self, obs: UInt32[Array, ""], change: Float[Array, ""]
    ) -> "Revisions":
        """Return the revisions with another change of the value of an observation.

        Args:
            obs: hash of the own observation.
            change: value of the plan made at it, less the value before any change; where it is
                above 0, 0 is kept.

        Returns:
            The revisions; a new observation takes the place of the oldest.
        """
        same = self._same(obs)
        known = same.any()
        place = jnp.where(known, same.argmax(), self.written % len(same))
        return Revisions(
            self.obs.at[place].set(obs),
            self.change.at[place].set(jnp.minimum(change, 0.0)),
            self.written + ~known,
        )
