"""Checks of the plans of others' planners: sentences in place of XLA's errors.

Shapes and types are known before a program runs; NaN is looked for where a plan is made
outside of one (`Agent.plan`).
"""

import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from bestreply.opponents.base import OpponentModel
from bestreply.opponents.contract import check_array
from bestreply.types import Plan


def check_plan(
    name: str, plan: object, num_actions: int, num_players: int
) -> None:
    """Refuse the result of a planner that is no plan.

    Args:
        name: name of the planner.
        plan: what it returned; arrays, or their shapes while a program is traced.
        num_actions: A.
        num_players: N.

    Raises:
        ValueError: no `Plan`, or one with other shapes or types.
    """
    if not isinstance(plan, Plan):
        raise ValueError(
            f"planner={name!r}: expected a Plan (bestreply.types.Plan); it returns an "
            f"object of type {type(plan).__name__}"
        )
    shapes = {
        "scores": (num_actions,),
        "reward": (num_actions,),
        "value": (num_actions,),
        "action": (),
        "others": (num_players - 1, num_actions),
    }
    for field, shape in shapes.items():
        kind = "whole number" if field == "action" else "floating-point"
        whole = jnp.integer if field == "action" else jnp.floating
        check_array(
            f"planner={name!r}: {field}",
            getattr(plan, field),
            shape,
            whole,
            kind,
        )


def check_numbers(plan: Plan, planner: str, opponents: OpponentModel) -> None:
    """Refuse a plan with NaN.

    Args:
        plan: the plan.
        planner: name of the planner.
        opponents: the opponent model, for the error.

    Raises:
        ValueError: a prediction or a score is NaN.
    """
    if isinstance(plan.scores, Tracer):
        return
    if np.isnan(np.asarray(plan.others)).any():
        raise ValueError(
            f"opponents={type(opponents).__name__}: predict returns NaN: expected "
            "probabilities"
        )
    if np.isnan(np.asarray(plan.scores)).any():
        raise ValueError(
            f"planner={planner!r}: scores={np.asarray(plan.scores)}: expected numbers, "
            "-inf for illegal actions"
        )
