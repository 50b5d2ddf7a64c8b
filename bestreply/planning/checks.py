"""Checks of what decisions are made from, and of the plans of others' planners.

They give sentences in place of XLA's errors. Shapes and types are known before a program
runs; NaN is looked for where a plan is made outside of one (`Agent.plan`).
"""

import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Float32, Int32
from numpy.typing import ArrayLike

from bestreply.opponents.base import OpponentModel
from bestreply.opponents.contract import check_array
from bestreply.types import ABSENT, Plan
from bestreply.utils.checks import shown


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


def as_numbers(name: str, values: ArrayLike) -> Float32[np.ndarray, "..."]:
    """Return an observation as an array of float32.

    Args:
        name: its name, for the error.
        values: an array or nested lists of numbers.

    Raises:
        ValueError: they are no numbers, of no one shape, or finite and too large for
            float32.
    """
    try:
        with np.errstate(over="ignore"):  # named below, as it was given
            numbers = np.asarray(values, np.float32)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(
            f"{name}={shown(values)}: expected an array of numbers"
        ) from None
    for index in np.argwhere(np.isinf(numbers)):
        at = tuple(int(i) for i in index)
        if (given := np.asarray(values)[at]) != numbers[at]:
            raise ValueError(
                f"{name}[{at}]={given}: expected a number that float32 holds, up to "
                "3.4e38"
            )
    return numbers


def as_actions(
    name: str,
    actions: ArrayLike,
    shape: tuple[int, ...],
    num_actions: int,
    least: int = ABSENT,
) -> Int32[np.ndarray, "..."]:
    """Return indices of actions, checked.

    Args:
        name: their name, for the error.
        actions: whole numbers from `least`.
        shape: the shape they should have.
        num_actions: A; the largest index is A - 1.
        least: the smallest index; ABSENT stands for a seat that has left.

    Raises:
        ValueError: they have another shape or type, or one is no action.
    """
    try:
        given = np.asarray(actions)
    except ValueError:  # lists of different lengths
        given = np.array(None)
    kind = given.dtype.kind
    if kind in "biuf":
        check_shape(name, given, shape)
    whole = kind in "iu" or (kind == "f" and not given.size)
    if not whole or ((given < least) | (given >= num_actions)).any():
        left = f" ({ABSENT}: it has left)" if least == ABSENT else ""
        raise ValueError(
            f"{name}={shown(actions)}: expected whole numbers, {least} to "
            f"{num_actions - 1}{left}"
        )
    return given.astype(np.int32)


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
