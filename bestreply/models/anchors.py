"""The players of the data as anchors: policies that a best reply stays close to.

Where the world model cannot tell good actions from bad ones, the agent should do what the
best player of its data does. Scores then gain ``lambda log pi_k(a | o)``, pi_k being that
player's policy: regularised search (Jacob et al., Modeling Strong and Human-Like Gameplay
with KL-Regularized Search, 2022).
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int32, PRNGKeyArray, Shaped

from bestreply.config import ModelConfig
from bestreply.games.base import Game
from bestreply.games.seats import role_in, role_names
from bestreply.models.obs_nets import ObsNet, make_obs_net
from bestreply.models.units import ObsUnits, flat_obs, unit_obs
from bestreply.models.world_model import NO_VALUE

SURE = 0.8
"""Mean probability of one type from which on all opponents are taken to be of it."""
MIN_LOG_PROB = -7.0
"""Smallest log pi(a | o): no action is excluded by an anchor."""


def over_heads(
    values: Float[Array, " K"], weights: Float[Array, " K"] | None
) -> Float[Array, ""]:
    """Return the next value of the values of all heads.

    Args:
        values: one for each player.
        weights: of `Anchors.head_weights`; None, or all 0: the maximum.
    """
    best = values.max()
    if weights is None:
        return best
    return jnp.where(weights.any(), weights @ values, best)


class Anchors(eqx.Module):
    """Policies of the K players of the data in each role, and what they earn there."""

    net: ObsNet
    obs_units: ObsUnits | None
    returns: Float[Array, "R K G"]
    """Mean return of each player in each role, against opponents of each type."""
    returns_among: Float[Array, "R K G"]
    """The same where all opponents are of the type."""
    weight: Float[Array, "R G1"]
    """lambda of each role, in units of the game's rewards, where all opponents are of one
    of the G types, and last where they are not or it is not sure; 0: scores alone decide."""
    sampled: Bool[Array, "R G1"]
    """Whether the agent draws its action, in proportion to pi_k exp(score / lambda);
    else it takes the likeliest."""
    averaged: Bool[Array, "R G1"]
    """Whether the next value is the mean over the players' value heads, not their
    maximum: where heads err, the maximum tends to be of one that overestimates."""
    game: Game = eqx.field(static=True)
    players: int = eqx.field(static=True)

    @classmethod
    def create(
        cls,
        game: Game,
        config: ModelConfig,
        types: int,
        players: int,
        *,
        key: PRNGKeyArray,
    ) -> "Anchors":
        """Return untrained policies, without weight.

        Args:
            game: the game.
            config: sizes and forms of the networks.
            types: types of an opponent, G.
            players: players of the data, K.
            key: for the initial weights.
        """
        roles = len(role_names(game))
        net = make_obs_net(
            config,
            game.obs_shape,
            (config.width,) * config.depth,
            roles * players * game.num_actions,
            key=key,
        )
        return cls(
            net=net,
            obs_units=unit_obs(game),
            returns=jnp.zeros((roles, players, types)),
            returns_among=jnp.zeros((roles, players, types)),
            weight=jnp.zeros((roles, types + 1)),
            sampled=jnp.zeros((roles, types + 1), bool),
            averaged=jnp.zeros((roles, types + 1), bool),
            game=game,
            players=players,
        )

    def log_probs(
        self, obs: Shaped[Array, "*obs"], legal: Bool[Array, " A"]
    ) -> Float[Array, "K A"]:
        """Return log pi_k(a | o) of each player in the role of the observation.

        Args:
            obs: own observation.
            legal: own legal actions.

        Returns:
            The logarithms; -inf at illegal actions.
        """
        logits = self.net(flat_obs(self.obs_units, obs))
        shape = (-1, self.players, self.game.num_actions)
        logits = logits.reshape(shape)[role_in(self.game, obs)]
        return jax.nn.log_softmax(jnp.where(legal, logits, -jnp.inf))

    def best(
        self, obs: Shaped[Array, "*obs"], posterior: Float[Array, "J G"]
    ) -> Int32[Array, ""]:
        """Return the player that earns most against the opponents as they are believed.

        Where they are not all of one type, the effects of their types on a return are
        taken to add up.

        Args:
            obs: own observation.
            posterior: belief about the J opponents' types.
        """
        role, at = role_in(self.game, obs), company(posterior)
        expected = added_up(self.returns[role], posterior)
        among = self.returns_among[role]
        one_type = at < among.shape[1]
        of_type = among[:, jnp.minimum(at, among.shape[1] - 1)]
        best = jnp.argmax(jnp.where(one_type, of_type, expected))
        return best.astype(jnp.int32)

    def bonus(
        self,
        obs: Shaped[Array, "*obs"],
        legal: Bool[Array, " A"],
        posterior: Float[Array, "J G"],
    ) -> Float[Array, " A"]:
        """Return lambda log pi_k(a | o) of the best player k.

        Args:
            obs: own observation.
            legal: own legal actions.
            posterior: belief about the opponents' types.

        Returns:
            What is added to scores: at least lambda times `MIN_LOG_PROB`.
        """
        log_probs = self.log_probs(obs, legal)[self.best(obs, posterior)]
        weight = self.weight[role_in(self.game, obs), company(posterior)]
        return weight * jnp.maximum(log_probs, MIN_LOG_PROB)

    def head_weights(
        self, obs: Shaped[Array, "*obs"], posterior: Float[Array, "J G"]
    ) -> Float[Array, " K"]:
        """Return the weight of each value head in the next value.

        Args:
            obs: own observation.
            posterior: belief about the J opponents' types.

        Returns:
            Equal weights of the players with logged play in the role; zeros where the
            next value is the maximum over heads.
        """
        role = role_in(self.game, obs)
        plays = self.returns[role].max(1) > NO_VALUE
        averaged = self.averaged[role, company(posterior)]
        return averaged * plays / jnp.maximum(plays.sum(), 1)

    def policy(
        self,
        obs: Shaped[Array, "*obs"],
        scores: Float[Array, " A"],
        posterior: Float[Array, "J G"],
    ) -> Float[Array, " A"]:
        """Return the distribution that the agent draws its action from.

        Args:
            obs: own observation.
            scores: scores with `bonus`; -inf at illegal actions.
            posterior: belief about the opponents' types.
        """
        at = role_in(self.game, obs), company(posterior)
        weight = jnp.maximum(self.weight[at], 1e-9)
        likeliest = jax.nn.one_hot(jnp.argmax(scores), len(scores))
        drawn = self.sampled[at] & (self.weight[at] > 0)
        return jnp.where(drawn, jax.nn.softmax(scores / weight), likeliest)


def added_up(
    returns: Float[Array, "K G"], posterior: Float[Array, "J G"]
) -> Float[Array, " K"]:
    """Return expected returns of players, the effects of their opponents' types added up.

    Args:
        returns: mean return of each player against opponents of each type.
        posterior: belief about the J opponents' types.
    """
    mean = returns.mean(1)
    return mean + (posterior @ (returns - mean[:, None]).T).sum(0)


def company(posterior: Float[Array, "J G"]) -> Int32[Array, ""]:
    """Return the type that all opponents are believed to be of, or G.

    Args:
        posterior: belief about the J opponents' types.
    """
    opponents, types = posterior.shape
    if not opponents:
        return jnp.int32(types)
    mean = posterior.mean(0)
    sure = mean.max() >= SURE
    return jnp.where(sure, jnp.argmax(mean), types).astype(jnp.int32)


def with_all_returns(
    returns: Float[np.ndarray, "R K G"], known: Bool[np.ndarray, "R K G"]
) -> Float[np.ndarray, "R K G"]:
    """Return a table of returns in which no entry is missing.

    Args:
        returns: mean returns.
        known: the entries that there is play for.

    Returns:
        The table; a missing entry is the mean of the player in the role, or `NO_VALUE`
        where it has no play in the role.
    """
    count = known.sum(-1, keepdims=True)
    mean = np.where(known, returns, 0).sum(-1, keepdims=True)
    mean = np.where(count > 0, mean / np.maximum(count, 1), NO_VALUE)
    return np.where(known, returns, mean)
