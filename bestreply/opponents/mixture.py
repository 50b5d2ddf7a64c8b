"""Mixtures of opponent models, weighted by Bayes' rule."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Bool, Float, Int, Shaped

from bestreply.games.base import Game
from bestreply.opponents.base import Belief, OpponentModel
from bestreply.types import ABSENT, Array

MIN_PROB = 1e-6
"""Lower bound of a model's probability of an observed action."""


class MixtureOpponents(OpponentModel):
    """Several opponent models, weighted by Bayes' rule for each opponent.

    A fraction `prior_mixing` of the prior weights is mixed in at each step. The posterior
    over types is the weighted mean of the models' own. A belief holds the weights
    [N-1, M] and the belief of each model.
    """

    models: tuple[OpponentModel, ...]
    weights: Float[Array, " M"]
    """Prior weights."""
    game: Game = eqx.field(static=True)
    prior_mixing: float = eqx.field(static=True, default=0.01)

    @property
    def prior(self) -> Float[Array, " M"]:
        return jnp.asarray(self.weights) / jnp.sum(self.weights)

    @property
    def reads_own_actions(self) -> bool:
        return any(model.reads_own_actions for model in self.models)

    def init(self) -> Belief:
        shape = self.game.num_players - 1, len(self.models)
        weights = jnp.broadcast_to(self.prior, shape)
        return weights, tuple(m.init() for m in self.models)

    def renew(self, belief: Belief) -> Belief:
        each = zip(self.models, belief[1], strict=True)
        return self.init()[0], tuple(m.renew(b) for m, b in each)

    def predict(
        self,
        belief: Belief,
        obs: Shaped[Array, "*obs"],
        legal: Bool[Array, " A"],
    ) -> Float[Array, "others A"]:
        weights, beliefs = belief
        policies = self._policies(beliefs, obs, legal)
        return jnp.einsum("jm,jma->ja", weights, policies)

    def _policies(
        self,
        beliefs: tuple[Belief, ...],
        obs: Shaped[Array, "*obs"],
        legal: Bool[Array, " A"],
    ) -> Float[Array, "others M A"]:
        each = zip(self.models, beliefs, strict=True)
        return jnp.stack([m.predict(b, obs, legal) for m, b in each], 1)

    def update(
        self,
        belief: Belief,
        obs: Shaped[Array, "*obs"],
        actions: Int[Array, " N"],
        present: Bool[Array, " N"],
    ) -> Belief:
        weights, beliefs = belief
        legal = jnp.ones(self.game.num_actions, bool)
        policies = self._policies(beliefs, obs, legal)
        others = actions[1:]
        index = jnp.maximum(others, 0)[:, None, None]
        prob = jnp.take_along_axis(policies, index, 2)[..., 0]
        after = weights * jnp.maximum(prob, MIN_PROB)
        kept = (1 - self.prior_mixing) * after / after.sum(1, keepdims=True)
        after = kept + self.prior_mixing * self.prior
        acted = present[1:] & (others != ABSENT)
        each = zip(self.models, beliefs, strict=True)
        beliefs = tuple(m.update(b, obs, actions, present) for m, b in each)
        return jnp.where(acted[:, None], after, weights), beliefs

    def posterior(self, belief: Belief) -> Float[Array, "others G"]:
        weights, beliefs = belief
        each = zip(self.models, beliefs, strict=True)
        types = jnp.stack([m.posterior(b) for m, b in each], 1)
        return jnp.einsum("jm,jmg->jg", weights, types)
