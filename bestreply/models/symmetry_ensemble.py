"""A value that is the mean over the symmetries of a game: its network's slips differ from view to view, what is true does not."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from bestreply.games.base import Game
from bestreply.games.symmetries import transform_obs
from bestreply.models.world_model import PlanningModel, WorldModel


class SymmetryEnsemble(eqx.Module):
    """A `WorldModel` whose values are averaged over `views` of the game's symmetries: turned boards, renamed others."""

    learned: WorldModel
    game: Game = eqx.field(static=True)
    views: int = eqx.field(static=True)

    @property
    def num_actions(self) -> int:
        return self.learned.num_actions

    @property
    def config(self) -> Any:
        return self.learned.config

    def encode(self, obs: Float[Array, "*obs"]) -> Float[Array, " Z"]:
        return self.learned.encode(obs)

    def next(self, z: Any, action: Array, others: Array) -> Float[Array, " Z"]:
        return self.learned.next(z, action, others)

    def imagine(self, z: Any) -> Float[Array, "*obs"]:
        return self.learned.imagine(z)

    def reward(self, z: Any, action: Array, others: Array) -> Float[Array, ""]:
        return self.learned.reward(z, action, others)

    def continues(
        self, z: Any, action: Array, others: Array
    ) -> Float[Array, ""]:
        return self.learned.continues(z, action, others)

    def allowed(self, z: Any) -> Bool[Array, " A"]:
        return self.learned.allowed(z)

    def value(
        self, z: Any, obs: Float[Array, "*obs"], belief: Array
    ) -> Float[Array, " K"]:
        """The mean of what the network says of each view; heads of actions are turned back. `z` is not looked at."""
        symmetries = self.game.symmetries()
        assert symmetries is not None
        count = len(symmetries.action)
        which = jnp.asarray(
            np.linspace(
                0, count, min(self.views, count), endpoint=False
            ).astype(int)
        )

        def view(which: Array) -> Array:
            seen, logged_beliefs = (
                transform_obs(symmetries, which, obs),
                belief[jnp.asarray(symmetries.others)[which]],
            )
            heads = self.learned.value(
                self.learned.encode(seen), seen, logged_beliefs
            )
            action = jnp.asarray(symmetries.action)[which]
            return (
                heads[action] if self.config.value_heads == "action" else heads
            )

        return jax.vmap(view)(which).mean(0)

    def values_of(self, z: Any, belief: Array) -> Float[Array, " K"]:
        """`value` of a latent alone, asked at what it shows."""
        values = self.value(z, self.learned.decode(z), belief)
        return (
            jnp.where(self.allowed(z), values, -jnp.inf)
            if self.config.value_heads == "action"
            else values
        )


def seen_from(views: int, world: WorldModel, game: Game) -> PlanningModel:
    """`world`, its values averaged over `views` symmetries of `game`, where it declares any."""
    return (
        world
        if views == 1 or game.symmetries() is None
        else SymmetryEnsemble(world, game, views)
    )
