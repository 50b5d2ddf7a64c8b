"""Expectimax to a small depth, over own actions and predicted opponent actions.

    V_0(z, b) = V(z, b)
    V_d(z, b) = max over legal a_i of
                E_{a_j ~ pi_hat_j(. | o, b)} [ r + gamma c V_{d-1}(z', b') ]

with c the probability that the game continues and b' the belief after a_j: the planner
accounts for what the next actions reveal. Branches whose reach probability (of opponent
actions and continuation) is below `config.prune_below` are not expanded; there V_{d-1}
is V_0.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from bestreply.models.base import Latent
from bestreply.opponents.base import Belief
from bestreply.opponents.joint_actions import Draws, draws_from, joint_count
from bestreply.planning.base import DecisionPoint, Models
from bestreply.planning.batching import outcome_count, plan_in_batches
from bestreply.planning.expansion import (
    evaluate_branches,
    expand,
    likely_branches,
    make_plan,
    observe_latent,
)
from bestreply.planning.revisions import Revisions
from bestreply.types import Plan

DEEPER_SAMPLES = 4
"""Joint opponent actions sampled above `planner.joint_limit` at each step after the
first."""


class TreeDraws(NamedTuple):
    """The random numbers of a tree, in place of the key they come from."""

    here: Draws | None
    """Those of the first step; None where all joint actions are listed."""
    deeper: Any
    """`TreeDraws` [M] of the steps after each joint action; () after the last step."""


def tree_draws(models: Models, key: PRNGKeyArray, depth: int) -> TreeDraws:
    """Return the random numbers that `expectimax` takes from a key.

    Own actions share them, so they are drawn once for each joint action.

    Args:
        models: the models, and the settings of the planner.
        key: the key.
        depth: steps of the tree.

    Returns:
        The numbers; `expectimax` given them returns what it returns given the key.
    """
    game = models.opponents.game
    sizes = game.num_actions, game.num_players - 1, models.config
    draw_key, key = jax.random.split(key)
    here = draws_from(draw_key, *sizes)
    if depth == 1:
        return TreeDraws(here, ())
    later = models.with_settings(samples=DEEPER_SAMPLES)
    keys = jax.random.split(key, joint_count(*sizes))
    deeper = jax.vmap(lambda key: tree_draws(later, key, depth - 1))(keys)
    return TreeDraws(here, deeper)


def expectimax(
    models: Models,
    at: DecisionPoint,
    key: PRNGKeyArray | TreeDraws,
    own: Bool[Array, " A"] | None = None,
) -> Plan:
    """Score every candidate action over `config.depth` steps; depth 1 is `one_step`.

    Between steps the predicted observation is rounded as the game shows it and encoded
    again, so that small errors do not accumulate. Predicted legal actions and the
    probability of continuation are respected.

    Args:
        models: the models, and the settings of the planner.
        at: the decision point.
        key: for drawing joint opponent actions, where they are too many to enumerate:
            `config.samples` at the first step, `DEEPER_SAMPLES` at each later one; or
            the random numbers of these draws.
        own: own actions that are looked ahead from; the others are scored by one step.
            None: every legal action.

    Returns:
        The plan.
    """

    def plan(
        models: Models, at: DecisionPoint, draws: TreeDraws, own: Array | None
    ) -> Plan:
        z, reach = models.latent(at), jnp.float32(1)
        return _plan(models, at, z, reach, draws, models.config.depth, own)

    draws = key
    if not isinstance(key, TreeDraws):
        draws = tree_draws(models, key, models.config.depth)
    count = outcome_count(models, at)
    return plan_in_batches(plan, count, models, at, draws, own)


def _plan(
    models: Models,
    at: DecisionPoint,
    z: Latent,
    reach: Float[Array, ""],
    draws: TreeDraws,
    depth: int,
    own: Bool[Array, " A"] | None = None,
) -> Plan:
    """Plan `depth` steps from latent `z` of `at`, which has probability `reach`."""
    branches = expand(models, at, z, draws.here)
    if depth == 1:
        return make_plan(branches, at)

    def deeper_value(
        models: Models,
        z: Latent,
        belief: Belief,
        of_branch: tuple[Array, TreeDraws, Array],
        of_root: tuple[Bool[Array, " N"], Revisions | None],
    ) -> Float[Array, ""]:
        at, z = observe_latent(models, z, belief, *of_root)
        reach, draws, counts = of_branch
        at = at._replace(legal=at.legal & counts)  # else nothing is evaluated
        return _plan(models, at, z, reach, draws, depth - 1).scores.max()

    expanded = at.legal if own is None else at.legal & own
    needed, reached = likely_branches(models, branches, expanded, reach)
    deeper_draws = jax.tree.map(  # those of a joint action, for each own action
        lambda x: jnp.broadcast_to(x, (len(reached), *x.shape)), draws.deeper
    )
    deeper = evaluate_branches(
        deeper_value,
        models.with_settings(samples=DEEPER_SAMPLES),
        branches,
        z,
        needed,
        (reached, deeper_draws, needed),
        (at.present, at.revisions),
    )
    next_value = jnp.where(needed, deeper, branches.next_value)
    return make_plan(branches._replace(next_value=next_value), at)
