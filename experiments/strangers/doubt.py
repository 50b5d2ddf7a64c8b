"""An opponent model that trusts its belief as far as the belief has predicted play.

Restricted Nash responses (Johanson, Zinkevich and Bowling, "Computing Robust
Counter-Strategies", 2008) reply to a mixture of what is believed and of anything at all.
Here "anything" is a fixed policy, and its weight follows Bayes' rule: it falls as long as
the believed policy predicts the observed actions better.
"""

from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Shaped

from bestreply.games.base import Game
from bestreply.opponents.base import Belief, OpponentModel, opponent_legal
from bestreply.players.base import uniform
from bestreply.types import ABSENT

MIN_PROB = 1e-6
"""Lower bound of the probability of an observed action."""


class Doubt(NamedTuple):
    """A belief, and the weight of anything at all for each opponent."""

    inner: Belief
    weight: Float[Array, " others"]


class DoubtfulOpponents(OpponentModel):
    """The predictions of another model, mixed with those of a fixed policy."""

    learned: OpponentModel
    game: Game = eqx.field(static=True)
    anything: str = eqx.field(static=True, default="uniform")
    """"uniform": any legal action; "population": the prior's mean policy."""
    prior: float = eqx.field(static=True, default=0.1)
    """Weight of anything at all before the first step."""
    mixing: float = eqx.field(static=True, default=0.02)
    """Fraction of the prior weight that is mixed in at each step."""

    def __check_init__(self) -> None:
        if self.anything not in ("uniform", "population"):
            raise ValueError(
                f"anything={self.anything!r}: expected 'uniform' or 'population'"
            )

    def init(self) -> Doubt:
        weight = jnp.full(self.game.num_players - 1, self.prior)
        return Doubt(self.learned.init(), weight)

    def renew(self, belief: Doubt) -> Doubt:
        return Doubt(self.learned.renew(belief.inner), self.init().weight)

    def _policies(
        self,
        belief: Doubt,
        obs: Shaped[Array, "*obs"],
        legal: Bool[Array, " A"],
    ) -> tuple[Float[Array, "others A"], Float[Array, "others A"]]:
        """Return the believed policy and that of anything at all."""
        believed = self.learned.predict(belief.inner, obs, legal)
        if self.anything == "uniform":
            return believed, uniform(opponent_legal(self.game, obs))
        first = self.learned.init()
        return believed, self.learned.predict(first, obs, legal)

    def predict(
        self,
        belief: Doubt,
        obs: Shaped[Array, "*obs"],
        legal: Bool[Array, " A"],
    ) -> Float[Array, "others A"]:
        believed, anything = self._policies(belief, obs, legal)
        weight = belief.weight[:, None]
        return (1 - weight) * believed + weight * anything

    def update(
        self,
        belief: Doubt,
        obs: Shaped[Array, "*obs"],
        actions: Int[Array, " N"],
        present: Bool[Array, " N"],
    ) -> Doubt:
        legal = jnp.ones(self.game.num_actions, bool)
        taken = jnp.maximum(actions[1:], 0)[:, None]
        believed, anything = (
            jnp.take_along_axis(policy, taken, 1)[:, 0] + MIN_PROB
            for policy in self._policies(belief, obs, legal)
        )
        doubted = belief.weight * anything
        weight = doubted / (doubted + (1 - belief.weight) * believed)
        weight = (1 - self.mixing) * weight + self.mixing * self.prior
        acted = present[1:] & (actions[1:] != ABSENT)
        inner = self.learned.update(belief.inner, obs, actions, present)
        return Doubt(inner, jnp.where(acted, weight, belief.weight))

    def posterior(self, belief: Doubt) -> Float[Array, "others G"]:
        """Return the types of the belief, mixed with the prior by the weight.

        Args:
            belief: what the model remembers.
        """
        weight = belief.weight[:, None]
        first = self.learned.posterior(self.learned.init())
        types = self.learned.posterior(belief.inner)
        return (1 - weight) * types + weight * first
