"""The game itself as planning model, to separate model error from other losses."""

import dataclasses
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import logit
from jaxtyping import Bool, Float, Int, PyTree, Shaped

from bestreply.config import ModelConfig
from bestreply.games.base import Game, Outcomes
from bestreply.games.matrix import MatrixGame
from bestreply.types import Array, TimeStep

CERTAIN = 30.0
"""A logit whose probability is 1 in float32."""
UNLIMITED = 10_000
"""Rounds that no plan reaches."""


def shows_state(game: Game) -> bool:
    """Return whether an observation determines the state of a game.

    Args:
        game: the game.

    Returns:
        True where `Game.state_in` is defined.
    """
    obs = jax.ShapeDtypeStruct(game.obs_shape, jnp.float32)
    return jax.eval_shape(game.state_in, obs) is not None


class TrueModel(eqx.Module):
    """A planning model whose latent is the state of the game; only V is learned.

    For games whose observations show the full state (`Game.state_in`) and whose steps
    are deterministic, but for a drawn end. Raises ValueError for games of which they do
    not show it, or that draw and do not state their `outcomes`.
    """

    learned: Any  # gives the value: a `WorldModel` or `SymmetryEnsemble`
    game: Game = eqx.field(static=True)
    limit_ends: bool = eqx.field(static=True, default=True)
    """Whether the step limit ends the return, as in training (`train.at_limit`)."""

    def __check_init__(self) -> None:
        if not shows_state(self.game):
            raise ValueError(
                f"planner.world=true in {self.game.name}: expected a game whose "
                "observations show its state (`state_in`), such as stag_hunt, or a matrix "
                "game that is the same for all seats"
            )
        obs = jnp.zeros(self.game.obs_shape)
        others = jnp.zeros(self.game.num_players - 1, jnp.int32)
        jax.eval_shape(  # refuses chance that the game does not state
            lambda obs: self.reward(self.encode(obs), jnp.int32(0), others), obs
        )

    @property
    def num_actions(self) -> int:
        return self.game.num_actions

    @property
    def config(self) -> ModelConfig:
        return self.learned.config

    @property
    def obs_shape(self) -> tuple[int, ...]:
        return self.game.obs_shape

    @property
    def binary(self) -> np.ndarray:
        return self.game.binary.reshape(-1)

    def encode(self, obs: Shaped[Array, "*obs"]) -> PyTree:
        return self.game.state_in(obs)

    def imagine(self, z: PyTree) -> Shaped[Array, "*obs"]:
        return jnp.asarray(self._look(z).obs[0])

    decode = imagine

    def _look(self, z: PyTree) -> TimeStep:
        return self.game.look(z, jnp.zeros(self.game.num_players))

    @property
    def _rules(self) -> Game:
        """The game, without a step limit that neither counts nor is observed.

        At a limit the game would stand still, with a return that goes on.
        """
        game = self.game
        if self.limit_ends or not isinstance(game, MatrixGame):
            return game
        return dataclasses.replace(game, max_steps=game.rounds or UNLIMITED)

    def _outcomes(
        self, z: PyTree, action: Int[Array, ""], others: Int[Array, " others"]
    ) -> tuple[Outcomes, Bool[Array, " K"]]:
        """Return what can follow a joint action, and whether the return goes on there."""
        own = jnp.reshape(action, (1,))
        joint = jnp.concatenate([own, jnp.maximum(others, 0)])
        found = self._rules.outcomes(z, joint)
        shown = found.shown
        ends = shown.terminated[:, 0] | (shown.truncated & self.limit_ends)
        return found, ~ends

    def next(
        self, z: PyTree, action: Int[Array, ""], others: Int[Array, " others"]
    ) -> PyTree:
        found, goes_on = self._outcomes(z, action, others)
        likeliest = jnp.argmax(found.probability * goes_on)
        return jax.tree.map(lambda x: x[likeliest], found.state)

    def reward(
        self, z: PyTree, action: Int[Array, ""], others: Int[Array, " others"]
    ) -> Float[Array, ""]:
        found = self._outcomes(z, action, others)[0]
        return found.probability @ found.shown.reward[:, 0]

    def continues(
        self, z: PyTree, action: Int[Array, ""], others: Int[Array, " others"]
    ) -> Float[Array, ""]:
        found, goes_on = self._outcomes(z, action, others)
        probability = (found.probability * goes_on).sum()
        return jnp.clip(logit(probability), -CERTAIN, CERTAIN)

    def allowed(self, z: PyTree) -> Bool[Array, " A"]:
        return self._look(z).legal[0]

    def legal(self, z: PyTree) -> Float[Array, " A"]:
        return jnp.where(self.allowed(z), CERTAIN, -CERTAIN)

    def value(
        self,
        z: PyTree,
        obs: Shaped[Array, "*obs"],
        belief: Float[Array, "others G"],
    ) -> Float[Array, " K"]:
        return self.learned.value(self.learned.encode(obs), obs, belief)

    def values_of(
        self, z: PyTree, belief: Float[Array, "others G"]
    ) -> Float[Array, " K"]:
        values = self.value(z, self.imagine(z), belief)
        if self.learned.config.value_heads != "action":
            return values
        return jnp.where(self.allowed(z), values, -jnp.inf)
