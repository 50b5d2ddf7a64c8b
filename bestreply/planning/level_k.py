"""Level-k opponents: level 0 is the library, level k replies best to level k - 1.

After MBOM (Yu, Jiang, Zhang, Jiang, Lu: "Model-Based Opponent Modeling", 2022): replies
are computed in the learned world model, and Bayes' rule weights the levels by each
player's observed actions. A re-implementation: MBOM fine-tunes level 0 during play;
here level 0 is a library of all players of the data, and nothing is trained during
play.
"""

from typing import cast

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Shaped

from bestreply.games.base import Game
from bestreply.models.world_model import WorldModel
from bestreply.opponents.base import (
    Belief,
    OpponentModel,
    opponent_legal,
    opponent_views,
    present_seats,
    sees_opponents,
)
from bestreply.opponents.mixture import MixtureOpponents
from bestreply.planning.base import DecisionPoint, Models
from bestreply.planning.one_step import plan_one_step

REASONING_LEVELS = 2
"""Levels above the library: level k replies best to level k - 1."""
LEVEL_RATIO = 4
"""Prior probability of a level relative to the next higher one."""
TEMPERATURE = 0.05
"""Temperature of the replies, in standard deviations of the returns in the data."""


class ReplyingOpponents(OpponentModel):
    """Opponents that reply best, by one-step planning, to the opponents in `models`.

    Each draws its action from softmax(scores / temperature). The scores are computed
    from its own view, with our world model and value, and with the belief of an
    episode's start. Needs a game whose observation shows what the opponents see.
    """

    models: Models
    game: Game = eqx.field(static=True)

    def __check_init__(self) -> None:
        if not sees_opponents(self.game):
            raise ValueError(
                f"model.opponents=level_k in {self.game.name}: expected a game whose "
                "observation shows what opponents see, or types, recurrent or "
                "in_context"
            )

    def init(self) -> Belief:
        return ()

    def predict(
        self, belief: Belief, obs: Shaped[Array, "*obs"], legal: Array
    ) -> Float[Array, "others A"]:
        library = self.models.opponents
        start = library.init()
        world = cast(WorldModel, self.models.world)
        types = library.posterior(start)

        def policy(
            view: Shaped[Array, "*obs"], legal: Bool[Array, " A"]
        ) -> Float[Array, " A"]:
            present = present_seats(self.game, view)
            at = DecisionPoint(view, legal, present, start)
            plan = plan_one_step(self.models, at, jax.random.key(0))
            scale = world.units(world.encode(view), types)[1].mean()
            return jax.nn.softmax(plan.scores / (TEMPERATURE * scale))

        return jax.vmap(policy)(
            opponent_views(self.game, obs), opponent_legal(self.game, obs)
        )

    def posterior(self, belief: Belief) -> Float[Array, "others G"]:
        library = self.models.opponents
        return library.posterior(library.init())


def level_k_mixture(
    models: Models, prior_mixing: float, levels: int = REASONING_LEVELS
) -> MixtureOpponents:
    """Return a mixture of the library and the levels above it.

    Args:
        models: world model, planner settings, and the library as opponents.
        prior_mixing: fraction of the prior mixed into the belief at each step.
        levels: number of levels above the library.

    Returns:
        The mixture. Before any observation, each level is `LEVEL_RATIO` times as likely
        as the next higher one.
    """
    library, game = models.opponents, models.opponents.game
    levels_of: list[OpponentModel] = [library]
    for _ in range(levels):
        below = Models(models.world, levels_of[-1], models.gamma, models.config)
        levels_of.append(ReplyingOpponents(models=below, game=game))
    weights = jnp.asarray([float(LEVEL_RATIO) ** -k for k in range(levels + 1)])
    return MixtureOpponents(
        models=tuple(levels_of),
        weights=weights / weights.sum(),
        game=game,
        prior_mixing=prior_mixing,
    )
