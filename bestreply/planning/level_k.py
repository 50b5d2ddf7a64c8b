"""Others that reason about others: level 0 are the players of the data, level k replies best to players of level k - 1.

After MBOM (Yu, Jiang, Zhang, Jiang, Lu: "Model-Based Opponent Modeling", 2022): replies are imagined in the learned world model, and Bayes'
rule weighs the levels by what each player is seen to do. A re-implementation: theirs fine-tunes level 0 while playing; here level 0 is a
library of all players of the data, and nothing is trained at play.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from bestreply.config import PlannerConfig
from bestreply.games.base import Game
from bestreply.models.world_model import WorldModel
from bestreply.opponents.base import (
    OpponentModel,
    opponent_legal,
    opponent_views,
    sees_opponents,
)
from bestreply.opponents.mixture import MixtureOpponents
from bestreply.planning.one_step import score_one_step

REASONING_LEVELS = 2
"""Levels of players above the library: level k replies best to level k - 1."""
RARER = 4
"""A further level is so many times as rare as the one below, before anything is seen."""
TEMPERATURE = 0.05
"""Of replies, in deviations of the returns in the data."""


class Repliers(OpponentModel):
    """Each other player draws its action from softmax(scores / temperature), the scores being those of one step of planning from its own
    view, with our world model and value, among players `below`, of whom it knows no more than before the first move.

    Needs a game whose observation tells what the others see.
    """

    below: OpponentModel
    world: WorldModel
    game: Game = eqx.field(static=True)
    config: PlannerConfig = eqx.field(static=True)
    gamma: float = eqx.field(static=True)

    def __check_init__(self) -> None:
        if not sees_opponents(self.game):
            raise ValueError(
                f"model.opponents=level_k in {self.game.name}: expected a game whose observation shows what opponents see, or "
                "types, recurrent or in_context"
            )

    def init(self) -> Any:
        return ()

    def predict(
        self, belief: Any, obs: Array, legal: Array
    ) -> Float[Array, "others A"]:
        start = self.below.init()
        scale = self.world.units(self.below.posterior(start))[1].mean()

        def one(view: Array, legal: Array) -> Array:
            told = self.game.present_in(view)
            present = (
                jnp.ones(self.game.num_players, bool)
                if told is None
                else jnp.asarray(told)
            )
            seen = start, view, legal, present, jax.random.key(0)
            plan = score_one_step(
                self.world,
                self.below,
                *seen,
                gamma=self.gamma,
                config=self.config,
            )
            return jax.nn.softmax(plan.scores / (TEMPERATURE * scale))

        return jax.vmap(one)(
            opponent_views(self.game, obs), opponent_legal(self.game, obs)
        )

    def posterior(self, belief: Any) -> Float[Array, "others G"]:
        return self.below.posterior(self.below.init())


def reason(
    library: OpponentModel,
    world: WorldModel,
    game: Game,
    config: PlannerConfig,
    gamma: float,
    prior_mixing: float,
    levels: int = REASONING_LEVELS,
) -> MixtureOpponents:
    """The players of `library` and `levels` levels of players above them, weighed by Bayes' rule for each other player."""
    models: list[OpponentModel] = [library]
    for _ in range(levels):
        models.append(
            Repliers(
                below=models[-1],
                world=world,
                game=game,
                config=config,
                gamma=gamma,
            )
        )
    weights = jnp.asarray([float(RARER) ** -k for k in range(levels + 1)])
    return MixtureOpponents(
        models=tuple(models),
        weights=weights / weights.sum(),
        game=game,
        prior_mixing=prior_mixing,
    )
