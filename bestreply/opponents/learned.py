"""Models of the others' logged_beliefs. Rules, learned models, mixtures and oracles are of one shape and can be exchanged.

A belief is a PyTree; what is believed about *who* the others are is its `posterior` [N-1, G], which the value may be told.
"""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from bestreply.config import ModelConfig
from bestreply.games.base import Game
from bestreply.models.networks import MLP
from bestreply.opponents.base import (
    MIN_PROB,
    OpponentModel,
    opponent_inputs,
    opponent_legal,
    sees_opponents,
)
from bestreply.types import ABSENT


class LearnedOpponents(OpponentModel):
    """pi_hat_j(a_j | o, g) for each other seat and goal, and a Bayes filter over goals within an episode.

    b'(g) is proportional to b(g) pi_hat_j(a_j | o, g), then a share `prior_mixing` of the prior flows back, so that no goal is ever ruled
    out for good. The prediction is sum_g b(g) pi_hat_j(. | o, g). With one goal it is the direct model pi_hat_j(a_j | o).
    """

    net: MLP
    prior: Float[Array, " G"]
    game: Game = eqx.field(static=True)
    prior_mixing: float = eqx.field(static=True, default=0.01)
    subgoal: MLP | None = None
    """What the state some steps on shows of a player's code, where codes are subgoals (`bestreply.opponents.subgoals`): for training alone."""

    @classmethod
    def create(
        cls,
        game: Game,
        config: ModelConfig,
        goals: int,
        *,
        key: jax.Array,
        prior_mixing: float = 0.01,
    ) -> "LearnedOpponents":
        """An untrained model with a uniform prior over `goals` goals."""
        inputs = opponent_inputs(game, jnp.zeros(game.obs_shape)).shape[1]
        net = MLP(
            inputs,
            (config.width,) * config.depth,
            goals * game.num_actions,
            key=key,
        )
        subgoal = None
        if config.subgoals:
            size, subgoal_key = (
                2 * math.prod(game.obs_shape),
                jax.random.fold_in(key, 1),
            )
            subgoal = MLP(
                size, (config.width,) * config.depth, goals, key=subgoal_key
            )
        prior = jnp.full(goals, 1 / goals)
        return cls(
            net=net,
            prior=prior,
            game=game,
            prior_mixing=prior_mixing,
            subgoal=subgoal,
        )

    @property
    def goals(self) -> int:
        return self.prior.shape[0]

    def logits(self, obs: Array) -> Float[Array, "others G A"]:
        """log pi_hat_j(a | o, g), normalised over the actions that can be legal."""
        views = opponent_inputs(self.game, obs)
        raw = jax.vmap(self.net)(views).reshape(
            len(views), self.goals, self.game.num_actions
        )
        return jax.nn.log_softmax(
            jnp.where(opponent_legal(self.game, obs)[:, None], raw, -1e9)
        )

    def own_logits(self, obs: Array) -> Float[Array, "G A"] | None:
        """log pi_hat(a | o, g) for whoever sees `obs` itself; None where the model was only taught to look at others."""
        if not sees_opponents(self.game):
            return None
        raw = self.net(jnp.reshape(obs, -1)).reshape(
            self.goals, self.game.num_actions
        )
        legal = self.game.legal_in(obs)
        return jax.nn.log_softmax(
            raw if legal is None else jnp.where(legal, raw, -1e9)
        )

    def init(self) -> Array:
        return jnp.broadcast_to(
            self.prior, (self.game.num_players - 1, self.goals)
        )

    def predict(
        self, belief: Array, obs: Array, legal: Array
    ) -> Float[Array, "others A"]:
        return self.expect(self.posterior(belief), obs)

    def expect(
        self, goals: Float[Array, "others G"], obs: Array
    ) -> Float[Array, "others A"]:
        """What others whose goals have the probabilities `goals` do at `obs`: sum_g goals(g) pi_hat_j(. | o, g)."""
        return jnp.einsum("jg,jga->ja", goals, jnp.exp(self.logits(obs)))

    def update(
        self, belief: Array, obs: Array, actions: Array, present: Array
    ) -> Array:
        others = actions[1:]
        seen = present[1:] & (others != ABSENT)
        taken = jnp.take_along_axis(
            self.logits(obs), jnp.maximum(others, 0)[:, None, None], 2
        )[..., 0]  # [N-1, G]
        after = jax.nn.softmax(
            jnp.log(jnp.maximum(belief, MIN_PROB)) + jnp.maximum(taken, -20.0)
        )
        after = (1 - self.prior_mixing) * after + self.prior_mixing * self.prior
        return jnp.where(seen[:, None], after, belief)

    def posterior(self, belief: Array) -> Float[Array, "others G"]:
        return belief


# -- what one's own observation tells about the others -----------------------------------------------------------------------------
