"""One step of look-ahead, corrected by playing on: what follows is tried out in the model, by the one-step planner itself.

    Q(a_i) = E_{a_j ~ pi_hat_j} [ r + gamma c (V(o', b') + sum_{k<K} (gamma c)^k delta_k) ],
    delta_k = max over legal a of E[ r + gamma c V(o'', b'') ] - V(o_k, b_k),

along games that go on from o' with the one-step planner in the agent's place and others drawn from what is believed of them, whose
belief moves as they play. The planner's every move is then worth what it turns out to bring, K steps deep, and V is looked at only
where it was wrong about the next step: rollouts of a policy that is better than the value (Tesauro and Galperin, "On-line policy
improvement using Monte-Carlo search", 1996), with expected temporal differences in the place of sampled rewards, so that one game
says what takes hundreds otherwise. A right V is left as it is, whatever is drawn.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from bestreply.config import PlannerConfig
from bestreply.model.opponent import OpponentModel
from bestreply.model.world import PlanningModel
from bestreply.plan.branches import arrive, branch, go_into, likely
from bestreply.plan.one_step import joint_count, make_plan, planned_in_chunks
from bestreply.types import Plan

NOTHING = 1e-3
"""A game that goes on with less than this weight is over."""


def rollout(
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
    """Scores every candidate by `config.rollouts` games of `config.rollout_steps` steps after each outcome. Arguments and plan of
    `one_step`, which it is for 0 steps.

    Outcomes less likely than `config.unlikely` are valued as they are. Between steps the predicted observation is read as the world
    shows it and encoded again; the same random numbers serve every candidate.
    """

    def score(world: Any, opponents: Any, *seen: Any) -> Plan:
        belief, obs, legal, present, key = seen
        draw_key, key = jax.random.split(key)
        z = world.encode(obs)
        found = branch(world, opponents, belief, z, obs, legal, present, draw_key, gamma=gamma, config=config)
        needed, _ = likely(found, legal, gamma, config)

        def go(world: Any, opponents: Any, z: Any, belief: Any, worth: Array, shared: Any) -> Array:
            present, keys = shared
            start = z, belief, present, worth
            return jax.vmap(lambda k: _played_on(world, opponents, *start, k, gamma, config))(keys).mean()

        shared = present, jax.random.split(key, config.rollouts)
        change = go_into(go, world, opponents, found, z, needed, found.worth, shared)
        return make_plan(found, found.worth + change, legal, present, belief)

    outcomes = world.num_actions * joint_count(world.num_actions, len(present) - 1, config)
    return planned_in_chunks(score, outcomes, world, opponents, belief, obs, legal, present, key)


def _played_on(
    world: Any,
    opponents: Any,
    z: Any,
    belief: Any,
    present: Array,
    worth: Float[Array, ""],
    key: Array,
    gamma: float,
    config: PlannerConfig,
) -> Float[Array, ""]:
    """sum_k (gamma c)^k delta_k of one game that goes on from the latent `z`, said to be `worth` so much."""
    below = dataclasses.replace(config, samples=config.deeper_samples)

    def step(at: Any, key: Array) -> tuple[Any, Array]:
        z, belief, present, worth, weight = at
        draw_key, others_key = jax.random.split(key)
        seen, z, legal, present = arrive(world, opponents, z, present)
        legal = legal & (weight > NOTHING)
        found = branch(world, opponents, belief, z, seen, legal, present, draw_key, gamma=gamma, config=below)
        plan = make_plan(found, found.worth, legal, present, belief)
        own, others = plan.action, jax.random.categorical(others_key, jnp.log(found.weights))
        delta = jnp.where(legal.any(), weight * (plan.scores[own] - worth), 0.0)
        moved = jax.tree.map(lambda x: x[others], found.belief)
        after = world.next(z, own, found.joint[others])
        weight = weight * found.discount[own, others]
        return (after, moved, present, found.worth[own, others], weight), delta

    start = z, belief, present, worth, jnp.float32(1)
    return jax.lax.scan(step, start, jax.random.split(key, config.rollout_steps))[1].sum()
