"""An opponent model that a number switches off, so that one program serves with and without."""

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float, Int, Shaped

from bestreply.games.base import Game
from bestreply.opponents.base import Belief, OpponentModel, UniformOpponents
from bestreply.types import Array


class UniformOrModel(OpponentModel):
    """Another model's predictions, or uniform ones where `uniform` is set."""

    model: OpponentModel
    otherwise: UniformOpponents
    uniform: Bool[Array, ""]

    @property
    def game(self) -> Game:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.model.game

    @property
    def reads_own_actions(self) -> bool:
        return self.model.reads_own_actions

    def init(self) -> Belief:
        return self.model.init()

    def predict(
        self,
        belief: Belief,
        obs: Shaped[Array, "*obs"],
        legal: Bool[Array, " A"],
    ) -> Float[Array, "others A"]:
        return jax.lax.cond(
            self.uniform,
            lambda: self.otherwise.predict((), obs, legal),
            lambda: self.model.predict(belief, obs, legal),
        )

    def update(
        self,
        belief: Belief,
        obs: Shaped[Array, "*obs"],
        actions: Int[Array, " N"],
        present: Bool[Array, " N"],
    ) -> Belief:
        return jax.lax.cond(
            self.uniform,
            lambda: belief,
            lambda: self.model.update(belief, obs, actions, present),
        )

    def renew(self, belief: Belief) -> Belief:
        return self.model.renew(belief)

    def posterior(self, belief: Belief) -> Float[Array, "others G"]:
        uniform = self.otherwise.posterior(())
        return jnp.where(self.uniform, uniform, self.model.posterior(belief))

    @property
    def knows_replies(self) -> bool:
        return self.model.knows_replies

    def reply_value(
        self, belief: Belief, obs: Shaped[Array, "*obs"]
    ) -> Float[Array, ""]:
        uniform = self.otherwise.reply_value((), obs)
        return jnp.where(
            self.uniform, uniform, self.model.reply_value(belief, obs)
        )
