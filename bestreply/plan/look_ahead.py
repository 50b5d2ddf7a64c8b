"""Several steps of look-ahead: expectimax over own actions and the others' predicted ones, to a small depth.

    V_0(z, b) = V(z, b),    V_d(z, b) = max over legal a_i of E_{a_j ~ pi_hat_j(. | o, b)} [ r + gamma c V_{d-1}(z', b') ]

with c the chance to go on and b' the belief after a_j: the planner accounts for what the next actions will tell it. What is unlikely
to come about is not looked into: where the others' moves and the chances to go on, from now to z', come to less than
`config.unlikely`, V_{d-1} is V_0.
"""

import dataclasses
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from bestreply.config import PlannerConfig
from bestreply.model.opponent import OpponentModel
from bestreply.model.world import PlanningModel
from bestreply.plan.chunks import where_needed
from bestreply.plan.one_step import (
    Outcomes,
    joint_count,
    make_plan,
    planned_in_chunks,
    scored,
    what_others_do,
)
from bestreply.types import Plan

AT_A_TIME = 64
"""How many outcomes, of all examples, are looked into at a time at each depth."""


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
    enumerate, `config.samples` are drawn at the first step and `config.deeper_samples` at each later one.
    """

    def score(world: Any, opponents: Any, *seen: Any) -> Plan:
        belief, obs, legal, present, key = seen
        return _plan(
            world,
            opponents,
            belief,
            obs,
            legal,
            present,
            jnp.float32(1),
            key,
            depth=config.depth,
            gamma=gamma,
            config=config,
        )

    outcomes = world.num_actions * joint_count(world.num_actions, len(present) - 1, config)
    return planned_in_chunks(score, outcomes, world, opponents, belief, obs, legal, present, key)


def _plan(
    world: Any,
    opponents: Any,
    belief: Any,
    obs: Array,
    legal: Array,
    present: Array,
    reach: Float[Array, ""],
    key: Array,
    *,
    depth: int,
    gamma: float,
    config: PlannerConfig,
) -> Plan:
    """`depth` steps from `obs`, which is reached with probability `reach` from where the planner stands."""
    draw_key, key = jax.random.split(key)
    z = world.encode(obs)
    probs, joint, weights, after = what_others_do(opponents, belief, obs, legal, present, draw_key, config)
    reward, discount, worth = scored(world, opponents, gamma, z, joint, after, legal)
    if depth > 1:
        reached = reach * weights * discount / gamma
        needed = legal[:, None] & (reached >= config.unlikely) & (weights > 0)
        models, fixed = eqx.partition((world, opponents), eqx.is_array)
        below = dataclasses.replace(config, samples=config.deeper_samples)

        def of_outcome(models: Any, shared: Any, row: Array) -> Array:
            world, opponents = eqx.combine(models, fixed)
            z, joint, after, present, reached, keys = shared
            own, others = row // len(joint), row % len(joint)
            seen = world.imagine(world.next(z, own, joint[others]))
            told = opponents.game.present_in(seen)
            here = present if told is None else jnp.asarray(told) & present
            believed = jax.tree.map(lambda x: x[others], after)
            mask, chance = world.allowed(world.encode(seen)), reached[own, others]
            arguments = believed, seen, mask, here, chance, keys[others]
            plan = _plan(world, opponents, *arguments, depth=depth - 1, gamma=gamma, config=below)
            return plan.scores.max()

        keys = jax.random.split(key, len(weights))  # the same draws for every candidate
        shared = z, joint, after, present, reached, keys
        deeper = where_needed(of_outcome, AT_A_TIME)(models, shared, needed.reshape(-1))
        worth = jnp.where(needed, deeper.reshape(needed.shape), worth)
    return make_plan(Outcomes(probs, weights, reward, discount, None, after), worth, legal, present, belief)
