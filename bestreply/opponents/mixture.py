"""Mixtures of opponent models, weighted by Bayes' rule."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from bestreply.games.base import Game
from bestreply.opponents.base import (
    OpponentModel,
)
from bestreply.types import ABSENT


class MixtureOpponents(OpponentModel):
    """Several models side by side, weighed by Bayes' rule for each other player: rules, learned models or further mixtures.

    `weights` [M] are the prior; a share `prior_mixing` of it flows back at each step. The posterior is that of the models' own, averaged.
    """

    models: tuple[OpponentModel, ...]
    weights: Float[Array, " M"]
    game: Game = eqx.field(static=True)
    prior_mixing: float = eqx.field(static=True, default=0.01)

    @property
    def prior(self) -> Float[Array, " M"]:
        return jnp.asarray(self.weights) / jnp.sum(self.weights)

    def init(self) -> Any:
        return jnp.broadcast_to(
            self.prior, (self.game.num_players - 1, len(self.models))
        ), tuple(m.init() for m in self.models)

    def renew(self, belief: Any) -> Any:
        inner = tuple(
            m.renew(b) for m, b in zip(self.models, belief[1], strict=True)
        )
        return self.init()[0], inner

    def predict(
        self, belief: Any, obs: Array, legal: Array
    ) -> Float[Array, "others A"]:
        weights, inner = belief
        each = jnp.stack(
            [
                m.predict(b, obs, legal)
                for m, b in zip(self.models, inner, strict=True)
            ],
            1,
        )  # [N-1, M, A]
        return jnp.einsum("jm,jma->ja", weights, each)

    def update(
        self, belief: Any, obs: Array, actions: Array, present: Array
    ) -> Any:
        weights, inner = belief
        legal = jnp.ones(self.game.num_actions, bool)
        each = jnp.stack(
            [
                m.predict(b, obs, legal)
                for m, b in zip(self.models, inner, strict=True)
            ],
            1,
        )
        others = actions[1:]
        taken = jnp.take_along_axis(
            each, jnp.maximum(others, 0)[:, None, None], 2
        )[..., 0]
        after = weights * jnp.maximum(taken, 1e-6)
        after = (1 - self.prior_mixing) * after / after.sum(
            1, keepdims=True
        ) + self.prior_mixing * self.prior
        seen = present[1:] & (others != ABSENT)
        inner = tuple(
            m.update(b, obs, actions, present)
            for m, b in zip(self.models, inner, strict=True)
        )
        return jnp.where(seen[:, None], after, weights), inner

    def posterior(self, belief: Any) -> Float[Array, "others G"]:
        weights, inner = belief
        each = jnp.stack(
            [m.posterior(b) for m, b in zip(self.models, inner, strict=True)], 1
        )
        return jnp.einsum("jm,jmg->jg", weights, each)
