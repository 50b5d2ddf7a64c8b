"""Opponent models that are given the opponents' true types or policies."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Float

from bestreply.games.base import Game
from bestreply.opponents.base import (
    OpponentModel,
)
from bestreply.opponents.learned import LearnedOpponents
from bestreply.opponents.rules import RuleOpponents
from bestreply.types import Array


class OracleOpponents(OpponentModel):
    """A learned model that is told the truth: whoever plays, its goals are `truth` [N-1] and the belief never moves."""

    model: LearnedOpponents
    truth: Array

    @property
    def game(self) -> Game:  # type: ignore[override]
        return self.model.game

    def init(self) -> Array:
        return jax.nn.one_hot(self.truth, self.model.goals)

    def predict(
        self, belief: Array, obs: Array, legal: Array
    ) -> Float[Array, "others A"]:
        return self.model.expect(belief, obs)

    def posterior(self, belief: Array) -> Float[Array, "others G"]:
        return belief


class OracleSwitching(OpponentModel):
    """A learned model that is told the truth about others that change their mind: `before` [N-1] until step `at`, `after` from it on.

    A belief counts the steps.
    """

    model: LearnedOpponents
    before: Array
    after: Array
    at: Array | int  # [] int32

    @property
    def game(self) -> Game:  # type: ignore[override]
        return self.model.game

    def init(self) -> Array:
        return jnp.int32(0)

    def predict(
        self, belief: Array, obs: Array, legal: Array
    ) -> Float[Array, "others A"]:
        return self.model.expect(self.posterior(belief), obs)

    def update(
        self, belief: Array, obs: Array, actions: Array, present: Array
    ) -> Array:
        return belief + 1

    def posterior(self, belief: Array) -> Float[Array, "others G"]:
        return jax.nn.one_hot(
            jnp.where(belief >= self.at, self.after, self.before),
            self.model.goals,
        )


class TruePolicies(OpponentModel):
    """The others' true policies; who they are is told, or believed as the agent believes it."""

    rules: RuleOpponents
    types: OpponentModel  # gives the belief that the value is told
    game: Game = eqx.field(static=True)

    def init(self) -> Any:
        return self.types.init()

    def predict(self, belief: Any, obs: Array, legal: Array) -> Array:
        return self.rules.predict(self.rules.init(), obs, legal)

    def update(
        self, belief: Any, obs: Array, actions: Array, present: Array
    ) -> Any:
        return self.types.update(belief, obs, actions, present)

    def posterior(self, belief: Any) -> Array:
        return self.types.posterior(belief)
