"""Opponent models that are given the opponents' true types or policies."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float, Int, Shaped

from bestreply.games.base import Game
from bestreply.opponents.base import Belief, OpponentModel
from bestreply.opponents.learned import LearnedOpponents
from bestreply.opponents.rules import RuleOpponents
from bestreply.types import Array


class OracleOpponents(OpponentModel):
    """A learned model that is given the true types; its belief is constant."""

    model: LearnedOpponents
    truth: Int[Array, " others"]

    @property
    def game(self) -> Game:  # type: ignore[override]
        return self.model.game

    def init(self) -> Float[Array, "others G"]:
        return jax.nn.one_hot(self.truth, self.model.goals)

    def predict(
        self,
        belief: Float[Array, "others G"],
        obs: Shaped[Array, "*obs"],
        legal: Bool[Array, " A"],
    ) -> Float[Array, "others A"]:
        return self.model.expected_policy(belief, obs)

    def posterior(
        self, belief: Float[Array, "others G"]
    ) -> Float[Array, "others G"]:
        return belief


class OracleSwitching(OpponentModel):
    """A learned model that is given the true types of opponents that switch once.

    The types are `before` until step `at`, and `after` from it on. The belief is the
    number of steps so far.
    """

    model: LearnedOpponents
    before: Int[Array, " others"]
    after: Int[Array, " others"]
    at: Int[Array, ""] | int

    @property
    def game(self) -> Game:  # type: ignore[override]
        return self.model.game

    def init(self) -> Int[Array, ""]:
        return jnp.int32(0)

    def predict(
        self,
        belief: Int[Array, ""],
        obs: Shaped[Array, "*obs"],
        legal: Bool[Array, " A"],
    ) -> Float[Array, "others A"]:
        return self.model.expected_policy(self.posterior(belief), obs)

    def update(
        self,
        belief: Int[Array, ""],
        obs: Shaped[Array, "*obs"],
        actions: Int[Array, " N"],
        present: Bool[Array, " N"],
    ) -> Int[Array, ""]:
        return belief + 1

    def posterior(self, belief: Int[Array, ""]) -> Float[Array, "others G"]:
        types = jnp.where(belief >= self.at, self.after, self.before)
        return jax.nn.one_hot(types, self.model.goals)


class TruePolicies(OpponentModel):
    """The opponents' true policies; their types are believed as by `types`."""

    rules: RuleOpponents
    types: OpponentModel
    """Gives the belief that the value is conditioned on."""
    game: Game = eqx.field(static=True)

    @property
    def reads_own_actions(self) -> bool:
        return self.types.reads_own_actions

    def init(self) -> Belief:
        return self.types.init()

    def predict(
        self,
        belief: Belief,
        obs: Shaped[Array, "*obs"],
        legal: Bool[Array, " A"],
    ) -> Float[Array, "others A"]:
        return self.rules.predict(self.rules.init(), obs, legal)

    def update(
        self,
        belief: Belief,
        obs: Shaped[Array, "*obs"],
        actions: Int[Array, " N"],
        present: Bool[Array, " N"],
    ) -> Belief:
        return self.types.update(belief, obs, actions, present)

    def posterior(self, belief: Belief) -> Float[Array, "others G"]:
        return self.types.posterior(belief)

    @property
    def knows_replies(self) -> bool:
        return self.types.knows_replies

    def reply_value(
        self, belief: Belief, obs: Shaped[Array, "*obs"]
    ) -> Float[Array, ""]:
        return self.types.reply_value(belief, obs)
