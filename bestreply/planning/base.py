"""The two values that every planner takes: the models, and the decision point."""

import dataclasses
from typing import Any, NamedTuple

import equinox as eqx
from jaxtyping import Bool, Shaped

from bestreply.config import PlannerConfig
from bestreply.models.world_model import PlanningModel
from bestreply.opponents.base import Belief, OpponentModel
from bestreply.types import Array


class Models(eqx.Module):
    """The models that a planner uses, and its settings."""

    world: PlanningModel
    opponents: OpponentModel
    gamma: float = eqx.field(static=True)
    """Discount of a step."""
    config: PlannerConfig = eqx.field(static=True)

    def with_settings(self, **settings: Any) -> "Models":
        """Return the same models with other planner settings.

        Args:
            settings: fields of `PlannerConfig`.
        """
        return dataclasses.replace(
            self, config=dataclasses.replace(self.config, **settings)
        )


class DecisionPoint(NamedTuple):
    """All that a planner knows about the situation; one example, ego first."""

    obs: Shaped[Array, "*obs"]  # own observation
    legal: Bool[Array, " A"]  # own legal actions, or candidates among them
    present: Bool[Array, " N"]  # seats that are in the game
    belief: Belief  # of `Models.opponents`
