"""The eleven partners of CooperativeReaching: rules that go to a corner, or to the other player.

The rules are those of POSGGym's heuristic players, with one more, H10, as in the
published comparison.
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int32, PRNGKeyArray

from bestreply.players.base import ScriptedPlayer, draw, uniform
from bestreply.types import ABSENT, Array
from experiments.reaching.game import DOWN, LEFT, NOTHING, RIGHT, UP

CORNERS = np.array([[0, 0], [0, 1], [1, 1], [1, 0]])
"""Row and column of the corners, in units of the last one; in the order of
`Reaching.goals`."""
ALL, HIGH, LOW = (1, 1, 1, 1), (1, 0, 1, 0), (0, 1, 0, 1)


class Target(NamedTuple):
    """How a rule chooses a corner."""

    corners: tuple[int, ...]
    distance: int
    """1: the closest, -1: the furthest, 0: any."""
    to_other: bool = False
    """Whether distances are those of the other player; then the corner is chosen
    anew at each step, else it is kept."""


TARGETS = {
    1: Target(ALL, 1),
    2: Target(ALL, -1),
    3: Target(HIGH, 1),
    4: Target(HIGH, -1),
    5: Target(LOW, 1),
    6: Target(LOW, -1),
    7: Target(ALL, 0),
    8: Target(ALL, 1, to_other=True),
    9: Target(HIGH, 1, to_other=True),
    10: Target(LOW, 1, to_other=True),
}
"""The rules H1 to H10; H11 goes to the other player's cell."""
NUMBERS = range(1, 12)


class Rule(ScriptedPlayer):
    """The rule H1 to H11 of a number: one step towards its target.

    A move is uniform over the one or two that reduce a difference of rows or columns.
    On its target it does nothing. Corners of equal distance are equally likely. With
    `ties` 0 to 3 they are ordered instead: first the one whose index, XOR `ties`, is
    smallest. Where two or four corners tie, `ties` drawn uniformly for an episode
    makes them equally likely too.
    """

    number: int = eqx.field(static=True)
    ties: int = eqx.field(static=True, default=ABSENT)
    name: str = eqx.field(static=True, default="rule")
    version: int = eqx.field(static=True, default=1)

    def __check_init__(self) -> None:
        if self.number not in NUMBERS:
            raise ValueError(f"number={self.number}: expected 1 to 11")
        if self.ties not in range(ABSENT, 4):
            raise ValueError(f"ties={self.ties}: expected 0 to 3, or {ABSENT}")

    @property
    def keeps(self) -> bool:
        """Whether it keeps the corner chosen at its first observation."""
        target = TARGETS.get(self.number)
        return target is not None and not target.to_other

    def start(self) -> Int32[Array, ""]:
        """Return the index of the kept corner; ABSENT before it is chosen."""
        return jnp.int32(ABSENT)

    def see(
        self,
        carry: Int32[Array, ""],
        obs: Float[Array, "n n 2"],
        others: Int32[Array, " 1"],
        key: PRNGKeyArray,
    ) -> Int32[Array, ""]:
        if not self.keeps:
            return carry
        weights = self._corners(obs)
        if self.ties == ABSENT:
            chosen = draw(key, weights)
        else:
            chosen = jnp.argmax(weights).astype(jnp.int32)
        return jnp.where(carry == ABSENT, chosen, carry)

    def policy(
        self,
        carry: Int32[Array, ""],
        obs: Float[Array, "n n 2"],
        legal: Bool[Array, " 5"],
    ) -> Float[Array, " 5"]:
        own, other = _places(obs)
        if self.number not in TARGETS:
            return _toward(own, other)
        weights = self._corners(obs)
        if self.keeps:
            kept = jax.nn.one_hot(carry, len(CORNERS))
            weights = jnp.where(carry == ABSENT, weights, kept)
        corners = jnp.asarray(CORNERS) * (len(obs) - 1)
        return weights @ jax.vmap(_toward, (None, 0))(own, corners)

    def _corners(self, obs: Float[Array, "n n 2"]) -> Float[Array, " 4"]:
        """Return the probability of each corner."""
        corners, distance, to_other = TARGETS[self.number]
        own, other = _places(obs)
        away = jnp.asarray(CORNERS) * (len(obs) - 1) - jnp.where(
            to_other, other, own
        )
        far = distance * jnp.abs(away).sum(1)
        far = jnp.where(jnp.asarray(corners) > 0, far, 4 * len(obs))
        tied = far == far.min()
        if self.ties == ABSENT:
            return uniform(tied)
        order = jnp.where(tied, np.arange(4) ^ self.ties, 4)
        return jax.nn.one_hot(jnp.argmin(order), 4)


def _places(
    obs: Float[Array, "n n 2"],
) -> tuple[Int32[Array, " 2"], Int32[Array, " 2"]]:
    """Return row and column of the player itself, and of the other one."""
    size = len(obs)
    cells = jnp.argmax(jnp.reshape(obs, (-1, 2)), axis=0)
    places = jnp.stack([cells // size, cells % size], axis=1)
    return places[0], places[1]


def _toward(
    own: Int32[Array, " 2"], target: Int32[Array, " 2"]
) -> Float[Array, " 5"]:
    """Return the probabilities of the moves that reduce a difference."""
    down, right = target - own
    helps = jnp.zeros(5, bool)
    for action, closer in (
        (UP, down < 0),
        (DOWN, down > 0),
        (LEFT, right < 0),
        (RIGHT, right > 0),
        (NOTHING, (down == 0) & (right == 0)),
    ):
        helps = helps.at[action].set(closer)
    return uniform(helps)
