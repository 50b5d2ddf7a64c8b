"""Several steps of look-ahead: expectimax over own actions and the others' predicted ones, to a small depth.

    V_0(z, b) = V(z, b),    V_d(z, b) = max over legal a_i of E_{a_j ~ pi_hat_j(. | o, b)} [ r + gamma c V_{d-1}(z', b') ]

with c the chance to go on and b' the belief after a_j: the planner accounts for what the next actions will tell it.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array

from bestreply.config import PlannerConfig
from bestreply.model.opponent import OpponentModel
from bestreply.model.world import PlanningModel
from bestreply.plan.one_step import joint_count, make_plan, outcomes, planned_in_chunks
from bestreply.types import Plan


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
        z = world.encode(obs)
        return _plan(world, opponents, belief, z, obs, legal, present, key, config.depth, gamma, config)

    actions, others = world.num_actions, len(present) - 1
    deeper = actions * joint_count(actions, others, _deeper(config))
    leaves = actions * joint_count(actions, others, config) * deeper ** (config.depth - 1)
    return planned_in_chunks(score, leaves, world, opponents, belief, obs, legal, present, key)


def _deeper(config: PlannerConfig) -> PlannerConfig:
    return dataclasses.replace(config, samples=config.deeper_samples)


def _plan(
    world: Any,
    opponents: Any,
    belief: Any,
    z: Any,
    obs: Array,
    legal: Array,
    present: Array,
    key: Array,
    depth: int,
    gamma: float,
    config: PlannerConfig,
) -> Plan:
    """`depth` steps from the latent `z` of `obs`."""
    draw_key, key = jax.random.split(key)
    found = outcomes(world, opponents, belief, z, obs, legal, present, draw_key, gamma=gamma, config=config)

    def leaf(z: Any, belief: Any, key: Array) -> Array:
        return world.values_of(z, opponents.posterior(belief)).max()

    def inner(z: Any, belief: Any, key: Array) -> Array:
        seen = world.imagine(z)
        z = world.encode(seen)
        told = opponents.game.present_in(seen)
        here = present if told is None else jnp.asarray(told) & present
        return _plan(
            world, opponents, belief, z, seen, world.allowed(z), here, key, depth - 1, gamma, _deeper(config)
        ).scores.max()

    one = leaf if depth == 1 else inner
    keys = jax.random.split(key, len(found.weights))  # the same draws for every candidate
    worth = jax.vmap(lambda zs: jax.vmap(one)(zs, found.belief, keys))(found.z)
    return make_plan(found, worth, legal, present, belief)
