"""Several steps of look-ahead: expectimax over own actions and the others' predicted ones, to a small depth.

    V_0(z, b) = V(z, b),    V_d(z, b) = max over legal a_i of E_{a_j ~ pi_hat_j(. | o, b)} [ r + gamma c V_{d-1}(z', b') ]

with c the chance to go on and b' the belief after a_j: the planner accounts for what the next actions will tell it. What is unlikely
to come about is not looked into: where the others' moves and the chances to go on, from now to z', come to less than
`config.prune_below`, V_{d-1} is V_0.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from bestreply.config import PlannerConfig
from bestreply.models.world_model import PlanningModel
from bestreply.opponents.base import OpponentModel
from bestreply.opponents.joint_actions import joint_count
from bestreply.planning.expansion import arrive, branch, go_into, likely
from bestreply.planning.one_step import make_plan, planned_in_chunks
from bestreply.types import Plan

DEEPER_SAMPLES = 4
"""Joint opponent actions sampled above `planner.joint_limit` at each step after the first."""


def look_ahead(
    world: PlanningModel,
    opponents: OpponentModel,
    belief: Any,
    obs: Array,
    legal: Array,
    present: Array,
    key: Array,
    *,
    gamma: float,
    config: PlannerConfig,
) -> Plan:
    """Scores every candidate action over `config.depth` steps; depth 1 is `one_step`. Same arguments, same plan.

    Between steps the predicted observation is read as the world shows it (0/1 entries rounded) and encoded again, so that small
    errors do not add up; predicted masks and the chance to go on are respected. Where the others' joint actions are too many to
    enumerate, `config.samples` are drawn at the first step and `DEEPER_SAMPLES` at each later one.
    """

    def score(world: Any, opponents: Any, *seen: Any) -> Plan:
        belief, obs, legal, present, key = seen
        here = belief, world.encode(obs), obs, legal, present
        return _plan(
            world,
            opponents,
            *here,
            jnp.float32(1),
            key,
            config.depth,
            gamma,
            config,
        )

    outcomes = world.num_actions * joint_count(
        world.num_actions, len(present) - 1, config
    )
    return planned_in_chunks(
        score, outcomes, world, opponents, belief, obs, legal, present, key
    )


def _plan(
    world: Any,
    opponents: Any,
    belief: Any,
    z: Any,
    obs: Array,
    legal: Array,
    present: Array,
    reach: Float[Array, ""],
    key: Array,
    depth: int,
    gamma: float,
    config: PlannerConfig,
) -> Plan:
    """`depth` steps from the latent `z` of `obs`, which is reached with probability `reach` from where the planner stands."""
    draw_key, key = jax.random.split(key)
    here = belief, z, obs, legal, present
    found = branch(
        world, opponents, *here, draw_key, gamma=gamma, config=config
    )
    worth = found.worth
    if depth > 1:
        needed, reached = likely(found, legal, gamma, config, reach)
        below = dataclasses.replace(config, samples=DEEPER_SAMPLES)

        def go(
            world: Any,
            opponents: Any,
            z: Any,
            belief: Any,
            each: Any,
            present: Array,
        ) -> Array:
            reach, key = each
            seen, z, legal, present = arrive(world, opponents, z, present)
            there = belief, z, seen, legal, present
            return _plan(
                world, opponents, *there, reach, key, depth - 1, gamma, below
            ).scores.max()

        keys = jax.random.split(
            key, len(found.weights)
        )  # the same draws for every candidate
        each = reached, jnp.broadcast_to(keys, reached.shape)
        worth = jnp.where(
            needed,
            go_into(go, world, opponents, found, z, needed, each, present),
            worth,
        )
    return make_plan(found, worth, legal, present, belief)
