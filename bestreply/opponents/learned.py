"""The learned opponent model: a policy for each type, and a Bayes filter over types."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float, Int, PRNGKeyArray, Shaped

from bestreply.config import ModelConfig
from bestreply.games.base import Game
from bestreply.games.seats import own_actions
from bestreply.models.obs_nets import ObsNet, make_obs_net
from bestreply.models.units import ObsUnits, flat_obs, unit_obs
from bestreply.opponents.base import (
    MIN_PROB,
    OpponentModel,
    opponent_inputs,
    opponent_legal,
    opponent_net,
    sees_opponents,
)
from bestreply.types import ABSENT, Array

MIN_LOG_PROB = -20.0
"""Lower bound of the log-likelihood of one action."""


class LearnedOpponents(OpponentModel):
    """pi_hat_j(a_j | o, g) for each opponent and type, and a filter over types.

    b'(g) is proportional to b(g) pi_hat_j(a_j | o, g). Then a fraction `prior_mixing`
    of the prior is mixed in, so that no type is ruled out permanently. The prediction is
    sum_g b(g) pi_hat_j(. | o, g). With one type it is the direct model pi_hat_j(a_j | o).
    """

    net: ObsNet
    prior: Float[Array, " G"]
    game: Game = eqx.field(static=True)
    prior_mixing: float = eqx.field(static=True, default=0.01)
    subgoal: ObsNet | None = None
    """q(code | o_t, o_{t+h}), where codes are subgoals; for training alone
    (`bestreply.opponents.subgoals`)."""
    obs_units: ObsUnits | None = None

    @classmethod
    def create(
        cls,
        game: Game,
        config: ModelConfig,
        goals: int,
        *,
        key: PRNGKeyArray,
        prior_mixing: float = 0.01,
    ) -> "LearnedOpponents":
        """Return an untrained model with a uniform prior over types.

        Args:
            game: gives the shapes.
            config: sizes of the networks.
            goals: number of types, G.
            key: for the initial weights.
            prior_mixing: fraction of the prior mixed into the belief at each step.

        Returns:
            The model.
        """
        hidden = (config.width,) * config.depth
        outputs, subgoal = goals * game.num_actions, None
        if config.subgoals:
            subgoal_key = jax.random.fold_in(key, 1)
            subgoal = make_obs_net(
                config,
                game.obs_shape,
                hidden,
                goals,
                count=2,
                key=subgoal_key,
            )
        return cls(
            net=opponent_net(game, config, hidden, outputs, key=key),
            prior=jnp.full(goals, 1 / goals),
            game=game,
            prior_mixing=prior_mixing,
            subgoal=subgoal,
            obs_units=unit_obs(game),
        )

    @property
    def goals(self) -> int:
        return self.prior.shape[0]

    def logits(self, obs: Shaped[Array, "*obs"]) -> Float[Array, "others G A"]:
        """Return log pi_hat_j(a | o, g), normalised over the legal actions.

        Args:
            obs: own observation.

        Returns:
            Log-probabilities.
        """
        views = opponent_inputs(self.game, obs, self.obs_units)
        raw = jax.vmap(self.net)(views).reshape(
            len(views), self.goals, self.game.num_actions
        )
        legal = opponent_legal(self.game, obs)[:, None]
        return jax.nn.log_softmax(jnp.where(legal, raw, -1e9))

    def features(self, obs: Shaped[Array, "*obs"]) -> Float[Array, "others F"]:
        """Return the last hidden layer for each opponent, divided by the root of its size.

        Args:
            obs: own observation.
        """
        views = opponent_inputs(self.game, obs, self.obs_units)
        hidden = jax.vmap(self.net.hidden)(views)
        return hidden / math.sqrt(self.net.hidden_size)

    def own_logits(
        self, obs: Shaped[Array, "*obs"]
    ) -> Float[Array, "G A"] | None:
        """Return log pi_hat(a | o, g) of the player that observes `obs` itself.

        Args:
            obs: the player's observation.

        Returns:
            None where the game does not show what opponents see: the model is then
            trained from the view of other players alone.
        """
        if not sees_opponents(self.game):
            return None
        raw = self.net(flat_obs(self.obs_units, obs)).reshape(
            self.goals, self.game.num_actions
        )
        legal = self.game.legal_in(obs)
        if legal is not None:
            raw = jnp.where(legal, raw, -1e9)
        if len(set(self.game.seat_actions)) > 1:
            seat = jnp.asarray(self.game.seat_in(obs))
            raw = jnp.where(
                jnp.asarray(own_actions(self.game))[seat], raw, -1e9
            )
        return jax.nn.log_softmax(raw)

    def init(self) -> Float[Array, "others G"]:
        shape = self.game.num_players - 1, self.goals
        return jnp.broadcast_to(self.prior, shape)

    def predict(
        self,
        belief: Float[Array, "others G"],
        obs: Shaped[Array, "*obs"],
        legal: Bool[Array, " A"],
    ) -> Float[Array, "others A"]:
        return self.expected_policy(self.posterior(belief), obs)

    def expected_policy(
        self, types: Float[Array, "others G"], obs: Shaped[Array, "*obs"]
    ) -> Float[Array, "others A"]:
        """Return the expected policy, sum_g types(g) pi_hat_j(. | o, g).

        Args:
            types: probabilities of each opponent's types.
            obs: own observation.
        """
        return jnp.einsum("jg,jga->ja", types, jnp.exp(self.logits(obs)))

    def update(
        self,
        belief: Float[Array, "others G"],
        obs: Shaped[Array, "*obs"],
        actions: Int[Array, " N"],
        present: Bool[Array, " N"],
    ) -> Float[Array, "others G"]:
        others = actions[1:]
        acted = present[1:] & (others != ABSENT)
        index = jnp.maximum(others, 0)[:, None, None]
        log_prob = jnp.take_along_axis(self.logits(obs), index, 2)[..., 0]
        after = jax.nn.softmax(
            jnp.log(jnp.maximum(belief, MIN_PROB))
            + jnp.maximum(log_prob, MIN_LOG_PROB)
        )
        after = (1 - self.prior_mixing) * after + self.prior_mixing * self.prior
        return jnp.where(acted[:, None], after, belief)

    def posterior(
        self, belief: Float[Array, "others G"]
    ) -> Float[Array, "others G"]:
        return belief
