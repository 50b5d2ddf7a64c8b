"""One-step planning.

a_i* = argmax over legal a_i of E_{a_j ~ pi_hat_j}[ r(o, a_i, a_j) + gamma V(o') ]
"""

from jaxtyping import PRNGKeyArray

from bestreply.opponents.joint_actions import Draws
from bestreply.planning.base import DecisionPoint, Models
from bestreply.planning.batching import outcome_count, plan_in_batches
from bestreply.planning.expansion import expand, make_plan
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
    z = models.latent(at)
    return make_plan(expand(models, at, z, key, all_actions=True), at)
