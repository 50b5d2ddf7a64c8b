"""Checks of what decisions are made from, and of the plans of others' planners.

They give sentences in place of XLA's errors. Shapes and types are known before a program
runs; NaN is looked for where a plan is made outside of one (`Agent.plan`).
"""

import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from bestreply.opponents.base import OpponentModel
from bestreply.opponents.contract import check_array
from bestreply.types import Plan


def check_shape(name: str, array: np.ndarray, shape: tuple[int, ...]) -> None:
    """Refuse an array of another shape.

    Args:
        name: its name, for the error.
        array: the array.
        shape: the shape it should have.

    Raises:
        ValueError: it has another.
    """
    if array.shape != shape:
        raise ValueError(f"{name} has shape {array.shape}: expected {shape}")


def check_decision(obs: np.ndarray, legal: np.ndarray) -> None:
    """Refuse an observation or a mask from which nothing can be decided.

    Args:
        obs: [..., *obs_shape].
        legal: [..., A].

    Raises:
        ValueError: a mask that is not bool or has no legal action, NaN or infinity.
    """
    if legal.dtype != bool:
        raise ValueError(
            f"legal is of type {legal.dtype}: expected bool, True = legal"
        )
    if not np.isfinite(obs).all():
        raise ValueError("obs has NaN or infinity: expected finite numbers")
    if not legal.any(-1).all():
        raise ValueError("legal excludes every action: expected at least one")


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
