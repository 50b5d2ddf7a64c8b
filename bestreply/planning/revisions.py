"""Values of observations met earlier in an episode, revised in play.

A value that errs can hold an agent in a loop: it waits for a player that waits for it,
because its value says that something is about to happen. Real-time dynamic programming
(Barto, Bradtke and Singh, 1995; Korf, 1990) gives each observation that is met the value
of the plan made there:

    V(o) <- max over a_i of E_{a_j ~ pi_hat_j}[ r + gamma V(o') ]

Here the difference between the right side and V(o) is kept, where it is below 0, and is
added to V wherever a later plan of the episode predicts the same observation. The value
of a loop then falls by gamma in each round, until something else is worth more.
"""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int32, Shaped

from bestreply.models.units import flat_obs

PLACES = 32
"""Observations of an episode that are kept, the latest ones."""
MAX_ENTRIES = 2048
"""Largest size of an observation; values of larger ones are not revised."""
SAME = 0.01
"""Squared distance, in the units of the networks, below which two observations are the
same."""


class Revisions(NamedTuple):
    """Observations of an episode, and what their values change by."""

    obs: Float[Array, "K D"]
    """In the units of the networks."""
    change: Float[Array, " K"]
    """At most 0."""
    written: Int32[Array, ""]
    """Number of observations that were written."""

    @classmethod
    def none(cls, steps: int, entries: int) -> "Revisions":
        """Return no revisions.

        Args:
            steps: largest number of steps of an episode.
            entries: size of an observation.
        """
        places = min(PLACES, steps)
        return cls(
            jnp.zeros((places, entries)), jnp.zeros(places), jnp.int32(0)
        )

    def change_at(
        self, world: Any, obs: Shaped[Array, "*obs"]
    ) -> Float[Array, ""]:
        """Return what the value of an observation changes by.

        Args:
            world: model that gives the units of observations.
            obs: own observation, also a predicted one.

        Returns:
            At most 0; 0 for an observation that was not met.
        """
        return self._same(_entries(world, obs)) @ self.change

    def _same(self, entries: Float[Array, " D"]) -> Bool[Array, " K"]:
        products = self.obs @ entries
        distance = (self.obs**2).sum(1) - 2 * products + entries @ entries
        met = jnp.arange(len(self.change)) < self.written
        return met & (distance < SAME)

    def revised(
        self, world: Any, obs: Shaped[Array, "*obs"], change: Float[Array, ""]
    ) -> "Revisions":
        """Return the revisions with another change of the value of an observation.

        Args:
            world: model that gives the units of observations.
            obs: own observation.
            change: value of the plan made at it, less the value before any change; where it is
                above 0, 0 is kept.

        Returns:
            The revisions; a new observation takes the place of the oldest.
        """
        entries = _entries(world, obs)
        same = self._same(entries)
        known = same.any()
        place = jnp.where(known, same.argmax(), self.written % len(same))
        return Revisions(
            self.obs.at[place].set(entries),
            self.change.at[place].set(jnp.minimum(change, 0.0)),
            self.written + ~known,
        )


def _entries(world: Any, obs: Shaped[Array, "*obs"]) -> Float[Array, " D"]:
    while hasattr(world, "learned"):
        world = world.learned
    game = getattr(world, "game", None)
    if game is not None and np.issubdtype(game.obs_dtype, np.integer):
        obs = jnp.round(obs)  # a predicted one is between integers
    return flat_obs(getattr(world, "obs_units", None), obs)
