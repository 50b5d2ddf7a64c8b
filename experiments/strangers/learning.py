"""Opponent models whose last layer is learned in play, by Bayes' rule."""

from typing import Any, NamedTuple, cast

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float, Int, Shaped

from bestreply.games.base import Game
from bestreply.models.networks import MLP, linear
from bestreply.opponents.base import (
    OpponentModel,
    opponent_inputs,
    opponent_legal,
)
from bestreply.opponents.changepoint import ChangepointOpponents
from bestreply.opponents.learned import LearnedOpponents
from bestreply.types import ABSENT, Array

MIN_PROB = 1e-4
"""Lower bound of a predicted probability, before its logarithm is taken."""


class LastLayer(NamedTuple):
    """Belief over types, and the last layer; J opponents, F features, A actions."""

    types: Any  # of `ChangepointOpponents`
    weights: Float[Array, "J F A"]
    precision: Float[Array, "J F A"]


class LearnsInPlay(OpponentModel):
    """Known types, and a last layer that corrects their mixture from every action.

        pi_hat(a | o) = softmax_a(log sum_g b(g) pi_g(a | o) + W h(o)),   W ~ N(0, 1 / precision)

    h are the last hidden features of the opponent model. After each action the mean of W
    makes one Newton step with a diagonal Hessian, and the precision grows by it (the
    Laplace approximation of Bayes' rule; Spiegelhalter and Lauritzen, 1990). W is kept
    from episode to episode, as the counts of types are.
    """

    base: ChangepointOpponents
    precision: float = eqx.field(static=True, default=1.0)
    """Of the prior of each weight."""

    @classmethod
    def of(
        cls, learned: OpponentModel, memory: float, precision: float
    ) -> "LearnsInPlay":
        """Return a model of a run's opponent model.

        Args:
            learned: the model over types.
            memory: as `planner.memory`.
            precision: of the prior of each weight.
        """
        assert isinstance(learned, LearnedOpponents)
        return cls(ChangepointOpponents(learned, memory=memory), precision)

    @property
    def game(self) -> Game:  # type: ignore[override]
        return self.base.game

    def init(self) -> LastLayer:
        others = self.game.num_players - 1
        net = cast(MLP, self.base.model.net)
        shape = others, net.layers[-1].in_features, self.game.num_actions
        return LastLayer(
            self.base.init(),
            jnp.zeros(shape),
            jnp.full(shape, self.precision),
        )

    def renew(self, belief: LastLayer) -> LastLayer:
        return belief._replace(types=self.base.renew(belief.types))

    def _features(self, obs: Shaped[Array, "*obs"]) -> Float[Array, "J F"]:
        model = self.base.model
        x, net = (
            opponent_inputs(model.game, obs, model.obs_units),
            cast(MLP, model.net),
        )
        for layer, norm in zip(net.layers[:-1], net.norms, strict=True):
            x = jax.nn.silu(jax.vmap(norm)(linear(layer, x)))
        return x / jnp.sqrt(x.shape[-1])

    def predict(
        self,
        belief: LastLayer,
        obs: Shaped[Array, "*obs"],
        legal: Bool[Array, " A"],
    ) -> Float[Array, "J A"]:
        known = self.base.predict(belief.types, obs, legal)
        logits = jnp.log(jnp.maximum(known, MIN_PROB))
        logits += jnp.einsum("jf,jfa->ja", self._features(obs), belief.weights)
        logits = jnp.where(opponent_legal(self.game, obs), logits, -1e9)
        return jax.nn.softmax(logits)

    def update(
        self,
        belief: LastLayer,
        obs: Shaped[Array, "*obs"],
        actions: Int[Array, " N"],
        present: Bool[Array, " N"],
    ) -> LastLayer:
        h = self._features(obs)[..., None]
        probs = self.predict(belief, obs, present)[:, None]
        others = actions[1:]
        acted = (present[1:] & (others != ABSENT))[:, None, None]
        taken = jax.nn.one_hot(jnp.maximum(others, 0), probs.shape[-1])
        precision = belief.precision + acted * h**2 * probs * (1 - probs)
        step = acted * h * (taken[:, None] - probs) / precision
        return LastLayer(
            self.base.update(belief.types, obs, actions, present),
            belief.weights + step,
            precision,
        )

    def posterior(self, belief: LastLayer) -> Float[Array, "J G"]:
        return self.base.posterior(belief.types)
