"""One-step planning.

a_i* = argmax over legal a_i of E_{a_j ~ pi_hat_j}[ r(o, a_i, a_j) + gamma V(o') ]

Where trials found it better, what the mean is taken of is a value of joint actions that was
learned as a whole, Q(o, b, a_i, a_j) (`bestreply.models.joint_values`).
"""

import dataclasses

import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from bestreply.models.joint_values import JointValues
from bestreply.models.true_model import TrueModel
from bestreply.opponents.joint_actions import Draws
from bestreply.planning.base import DecisionPoint, Models
from bestreply.planning.batching import outcome_count, plan_in_batches
from bestreply.planning.expansion import Branches, expand, make_plan
from bestreply.types import Plan


def one_step(
    models: Models, at: DecisionPoint, key: PRNGKeyArray | Draws
) -> Plan:
    """Score every candidate action by one step of the world model.

    The belief is updated inside the plan: V(o') is conditioned on the belief after
    each joint action. With several value heads (one for each player that made the
    data), the next value is their maximum: generalised policy improvement (Barreto et
    al., 2017).

    Under `vmap` on a CPU, a large batch is planned a few observations at a time: twice
    as fast as all at once, because intermediate arrays stay in the processor's cache.

    Args:
        models: the models, and the settings of the planner.
        at: the decision point.
        key: for drawing joint opponent actions, where they are too many to enumerate; or
            the random numbers of these draws.

    Returns:
        The plan; also illegal candidates have a reward and a value part.
    """
    return plan_in_batches(
        plan_one_step, outcome_count(models, at), models, at, key
    )


def plan_one_step(
    models: Models, at: DecisionPoint, key: PRNGKeyArray | Draws
) -> Plan:
    """Return the plan of `one_step` without splitting batches.

    Args:
        models: the models, and the settings of the planner.
        at: the decision point.
        key: for drawing joint opponent actions, or the random numbers of these draws.

    Returns:
        The plan.
    """
    z, values = models.latent(at), models.joint_values
    if values is None or isinstance(models.world, TrueModel):
        return make_plan(expand(models, at, z, key, all_actions=True), at)
    modelled = dataclasses.replace(models, joint_values=None)
    branches = expand(modelled, at, z, key, all_actions=True)
    posterior = models.opponents.posterior(at.belief)
    return plan_by_values(values, at, posterior, branches)


def plan_by_values(
    values: JointValues,
    at: DecisionPoint,
    posterior: Float[Array, "J G"],
    branches: Branches,
) -> Plan:
    """Return a plan by values of joint actions, where they are used; else `make_plan`.

    Args:
        values: the values of joint actions.
        at: the decision point.
        posterior: belief about the opponents' types.
        branches: its expansion by the world model, whose expected rewards are kept; the
            rest of a value counts as the next value.
    """
    plan = make_plan(branches, at)
    whole = values.expected(at.obs, posterior, branches.joint, branches.weights)
    used = values.uses(at.obs, posterior)
    value = jnp.where(used, whole - plan.reward, plan.value)
    scores = jnp.where(used & at.legal, whole, plan.scores)
    action = jnp.argmax(scores).astype(jnp.int32)
    return dataclasses.replace(plan, scores=scores, value=value, action=action)
