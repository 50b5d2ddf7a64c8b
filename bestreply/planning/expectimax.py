"""Expectimax to a small depth, over own actions and predicted opponent actions.

    V_0(z, b) = V(z, b)
    V_d(z, b) = max over legal a_i of
                E_{a_j ~ pi_hat_j(. | o, b)} [ r + gamma c V_{d-1}(z', b') ]

with c the probability that the game continues and b' the belief after a_j: the planner
accounts for what the next actions reveal. Branches whose reach probability (of opponent
actions and continuation) is below `config.prune_below` are not expanded; there V_{d-1}
is V_0.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from bestreply.models.base import Latent
from bestreply.opponents.base import Belief
from bestreply.planning.base import DecisionPoint, Models
from bestreply.planning.batching import outcome_count, plan_in_batches
from bestreply.planning.expansion import (
    evaluate_branches,
    expand,
    likely_branches,
    make_plan,
    observe_latent,
)
from bestreply.types import Plan

DEEPER_SAMPLES = 4
"""Joint opponent actions sampled above `planner.joint_limit` at each step after the
first."""


def expectimax(models: Models, at: DecisionPoint, key: PRNGKeyArray) -> Plan:
    """Score every candidate action over `config.depth` steps; depth 1 is `one_step`.

    Between steps the predicted observation is rounded as the game shows it and encoded
    again, so that small errors do not accumulate. Predicted legal actions and the
    probability of continuation are respected.

    Args:
        models: the models, and the settings of the planner.
        at: the decision point.
        key: for drawing joint opponent actions, where they are too many to enumerate:
            `config.samples` at the first step, `DEEPER_SAMPLES` at each later one.

    Returns:
        The plan.
    """

    def plan(models: Models, at: DecisionPoint, key: PRNGKeyArray) -> Plan:
        z, reach = models.latent(at), jnp.float32(1)
        return _plan(models, at, z, reach, key, models.config.depth)

    return plan_in_batches(plan, outcome_count(models, at), models, at, key)


def _plan(
    models: Models,
    at: DecisionPoint,
    z: Latent,
    reach: Float[Array, ""],
    key: PRNGKeyArray,
    depth: int,
) -> Plan:
    """Plan `depth` steps from latent `z` of `at`, which has probability `reach`."""
    draw_key, key = jax.random.split(key)
    branches = expand(models, at, z, draw_key)
    if depth == 1:
        return make_plan(branches, at)

    def deeper_value(
        models: Models,
        z: Latent,
        belief: Belief,
        reach_and_key: tuple[Array, PRNGKeyArray],
        present: Bool[Array, " N"],
    ) -> Float[Array, ""]:
        at, z = observe_latent(models, z, belief, present)
        return _plan(models, at, z, *reach_and_key, depth - 1).scores.max()

    needed, reached = likely_branches(models, branches, at.legal, reach)
    keys = jax.random.split(key, len(branches.weights))  # one for each draw
    deeper = evaluate_branches(
        deeper_value,
        models.with_settings(samples=DEEPER_SAMPLES),
        branches,
        z,
        needed,
        (reached, jnp.broadcast_to(keys, reached.shape)),
        at.present,
    )
    next_value = jnp.where(needed, deeper, branches.next_value)
    return make_plan(branches._replace(next_value=next_value), at)
