"""Values of observations met earlier in an episode, revised in play.

A value that errs can hold an agent in a loop: it waits for a player that waits for it,
because its value says that something is about to happen. Real-time dynamic programming
(Barto, Bradtke and Singh, 1995; Korf, 1990) gives each observation that is met the value
of the plan made there:

    V(o) <- max over a_i of E_{a_j ~ pi_hat_j}[ r + gamma V(o') ]

Here the difference between the right side and V(o) is kept, where it is below 0, and is
added to V wherever a later plan of the episode predicts the same observation. The value
of a loop then falls by gamma in each round, until something else is worth more.

Observations of whole numbers are compared, entry by entry (by a hash of 32 bits).
Predictions of other numbers are never quite equal.
"""

import math
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int32, Shaped, UInt32

from bestreply.games.base import Game

PLACES = 32
"""Observations of an episode that are kept, the latest ones."""
MAX_ENTRIES = 2048
"""Largest size of an observation; values of larger ones are not revised."""


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

    def change_at(self, obs: Shaped[Array, "*obs"]) -> Float[Array, ""]:
        """Return what the value of an observation changes by.

        Args:
            obs: own observation, also a predicted one: it is rounded.

        Returns:
            At most 0; 0 for an observation that was not met.
        """
        return jnp.where(self._same(hashed(obs)), self.change, 0.0).min()

    def _same(self, number: UInt32[Array, ""]) -> Bool[Array, " K"]:
        met = jnp.arange(len(self.change)) < self.written
        return met & (self.obs == number)

    def revised(
        self, obs: Shaped[Array, "*obs"], change: Float[Array, ""]
    ) -> "Revisions":
        """Return the revisions with another change of the value of an observation.

        Args:
            obs: own observation.
            change: value of the plan made at it, less the value before any change; where it is
                above 0, 0 is kept.

        Returns:
            The revisions; a new observation takes the place of the oldest.
        """
        number = hashed(obs)
        same = self._same(number)
        known = same.any()
        place = jnp.where(known, same.argmax(), self.written % len(same))
        return Revisions(
            self.obs.at[place].set(number),
            self.change.at[place].set(jnp.minimum(change, 0.0)),
            self.written + ~known,
        )


def can_revise(game: Game) -> bool:
    """Return whether a game has observations of whole numbers, not too many.

    Args:
        game: the game.
    """
    kind = np.dtype(game.obs_dtype).kind
    whole = kind in "biu" or bool(np.all(game.binary))
    return whole and math.prod(game.obs_shape) <= MAX_ENTRIES


def hashed(obs: Shaped[Array, "*obs"]) -> UInt32[Array, ""]:
    """Return a number of 32 bits; that of equal observations is equal.

    Args:
        obs: an observation; its entries are rounded.
    """
    entries = jnp.round(obs.astype(jnp.float32)).reshape(-1)
    entries = entries.astype(jnp.int32).astype(jnp.uint32)
    rng = np.random.default_rng(0)
    weights = rng.integers(0, 2**32, entries.size, np.uint32) | np.uint32(1)
    return (entries * weights).sum(dtype=jnp.uint32)
