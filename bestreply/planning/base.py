"""The two values that every planner takes: the models, and the decision point."""

import dataclasses
from typing import Any, NamedTuple

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Bool, Shaped

from bestreply.config import PlannerConfig
from bestreply.models.anchors import Anchors
from bestreply.models.base import Latent, PlanningModel
from bestreply.models.joint_values import JointValues
from bestreply.opponents.base import Belief, OpponentModel
from bestreply.planning.levels import Levels
from bestreply.planning.revisions import Revisions
from bestreply.types import Array, Plan


class Models(eqx.Module):
    """The models that a planner uses, and its settings."""

    world: PlanningModel
    opponents: OpponentModel
    gamma: float = eqx.field(static=True)
    """Discount of a step."""
    config: PlannerConfig = eqx.field(static=True)
    anchors: Anchors | None = None
    """Policies that the agent stays close to; None: scores alone decide."""
    levels: Levels | None = None
    """Which observations are the same, where values are revised in play."""
    joint_values: JointValues | None = None
    """Values of joint actions, which the planner one_step follows where they say so; other
    planners, and with the true game, their V(o, b). None: it follows the world model."""

    def latent(self, at: "DecisionPoint") -> Latent:
        """Return the latent of a decision point.

        Args:
            at: the decision point.
        """
        return self.world.encode(at.obs) if at.z is None else at.z

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
    z: Latent | None = None  # of `obs` and all before it; None: of `obs` alone
    revisions: Revisions | None = None  # of values, in this episode; None: none


def anchored(models: Models, at: DecisionPoint, plan: Plan) -> Plan:
    """Return a plan whose scores hold the agent close to a player of its data.

    Args:
        models: the models; without anchors the plan is unchanged.
        at: the decision point.
        plan: the plan of a planner.
    """
    if models.anchors is None:
        return plan
    posterior = models.opponents.posterior(at.belief)
    bonus = models.anchors.bonus(at.obs, at.legal, posterior)
    bonus = jnp.where(at.legal, bonus, 0.0)
    scores = plan.scores + bonus
    action = jnp.argmax(scores).astype(jnp.int32)
    return dataclasses.replace(plan, scores=scores, action=action, anchor=bonus)
