"""A value averaged over the symmetries of a game.

Errors of the value network differ between the symmetric views of a position, the true
value does not.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from bestreply.config import ModelConfig
from bestreply.games.base import Game
from bestreply.games.symmetries import transform_obs
from bestreply.models.base import PlanningModel
from bestreply.models.world_model import WorldModel
from bestreply.types import Array


class SymmetryEnsemble(eqx.Module):
    """A `WorldModel` with values averaged over `views` symmetries of the game."""

    learned: WorldModel
    game: Game = eqx.field(static=True)
    views: int = eqx.field(static=True)

    @property
    def num_actions(self) -> int:
        return self.learned.num_actions

    @property
    def config(self) -> ModelConfig:
        return self.learned.config

    def encode(self, obs: Shaped[Array, "*obs"]) -> Float[Array, " Z"]:
        return self.learned.encode(obs)

    def next(
        self,
        z: Float[Array, " Z"],
        action: Int[Array, ""],
        others: Int[Array, " others"],
    ) -> Float[Array, " Z"]:
        return self.learned.next(z, action, others)

    def imagine(self, z: Float[Array, " Z"]) -> Shaped[Array, "*obs"]:
        return self.learned.imagine(z)

    def reward(
        self,
        z: Float[Array, " Z"],
        action: Int[Array, ""],
        others: Int[Array, " others"],
    ) -> Float[Array, ""]:
        return self.learned.reward(z, action, others)

    def continues(
        self,
        z: Float[Array, " Z"],
        action: Int[Array, ""],
        others: Int[Array, " others"],
    ) -> Float[Array, ""]:
        return self.learned.continues(z, action, others)

    def allowed(self, z: Float[Array, " Z"]) -> Bool[Array, " A"]:
        return self.learned.allowed(z)

    def value(
        self,
        z: Float[Array, " Z"],
        obs: Shaped[Array, "*obs"],
        belief: Float[Array, "others G"],
    ) -> Float[Array, " K"]:
        """Return the mean of the network's value over the views of `obs`.

        Args:
            z: unused; each view is encoded.
            obs: an observation.
            belief: posterior over the opponents' types.

        Returns:
            The value of each head; heads of actions are in the order of the game.
        """
        symmetries = self.game.symmetries()
        assert symmetries is not None
        count = len(symmetries.action)
        views = np.linspace(0, count, min(self.views, count), endpoint=False)

        def value_of_view(symmetry: Int[Array, ""]) -> Float[Array, " K"]:
            view = transform_obs(symmetries, symmetry, obs)
            permuted = belief[jnp.asarray(symmetries.others)[symmetry]]
            z = self.learned.encode(view)
            heads = self.learned.value(z, view, permuted)
            if self.config.value_heads != "action":
                return heads
            return heads[jnp.asarray(symmetries.action)[symmetry]]

        return jax.vmap(value_of_view)(jnp.asarray(views.astype(int))).mean(0)

    def values_of(
        self, z: Float[Array, " Z"], belief: Float[Array, "others G"]
    ) -> Float[Array, " K"]:
        values = self.value(z, self.learned.decode(z), belief)
        return self.learned.mask_heads(z, values)


def averaged_over_symmetries(
    world: WorldModel, game: Game, views: int
) -> PlanningModel:
    """Return `world` with values averaged over symmetries, where the game has any.

    A model with memory is returned as it is: its latents are of one view.

    Args:
        world: the learned model.
        game: its game.
        views: number of symmetries; 1 returns `world` itself.

    Returns:
        A model with the same latents and predictions.
    """
    if views == 1 or game.symmetries() is None or world.memory is not None:
        return world
    return SymmetryEnsemble(world, game, views)
