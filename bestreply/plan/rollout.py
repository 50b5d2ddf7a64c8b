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
"""How many outcomes, of all examples, are played on from at a time."""


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
        probs, joint, weights, after = what_others_do(
            opponents, belief, obs, legal, present, draw_key, config
        )
        reward, discount, worth = scored(world, opponents, gamma, z, joint, after, legal)
        needed = legal[:, None] & (weights * discount / gamma >= config.unlikely) & (weights > 0)
        models, fixed = eqx.partition((world, opponents), eqx.is_array)

        def of_outcome(models: Any, shared: Any, row: Array) -> Array:
            world, opponents = eqx.combine(models, fixed)
            z, joint, after, present, worth, keys = shared
            own, others = row // len(joint), row % len(joint)
            z = world.next(z, own, joint[others])
            believed = jax.tree.map(lambda x: x[others], after)
            start = z, believed, present, worth[own, others]
            return jax.vmap(lambda k: _played_on(world, opponents, *start, k, gamma, config))(keys).mean()

        shared = z, joint, after, present, worth, jax.random.split(key, config.rollouts)
        change = where_needed(of_outcome, AT_A_TIME)(models, shared, needed.reshape(-1))
        worth = worth + change.reshape(needed.shape)
        return make_plan(
            Outcomes(probs, weights, reward, discount, None, after), worth, legal, present, belief
        )

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
        seen = world.imagine(z)
        z = world.encode(seen)
        told = opponents.game.present_in(seen)
        present = present if told is None else jnp.asarray(told) & present
        legal = world.allowed(z) & (weight > NOTHING)
        probs, joint, weights, after = what_others_do(
            opponents, belief, seen, legal, present, draw_key, below
        )
        reward, discount, further = scored(world, opponents, gamma, z, joint, after, legal)
        plan = make_plan(
            Outcomes(probs, weights, reward, discount, None, after), further, legal, present, belief
        )
        own, others = plan.action, jax.random.categorical(others_key, jnp.log(weights))
        delta = jnp.where(legal.any(), weight * (plan.scores[own] - worth), 0.0)
        moved = jax.tree.map(lambda x: x[others], after)
        after_it = world.next(z, own, joint[others])
        return (after_it, moved, present, further[own, others], weight * discount[own, others]), delta

    start = z, belief, present, worth, jnp.float32(1)
    return jax.lax.scan(step, start, jax.random.split(key, config.rollout_steps))[1].sum()


NOTHING = 1e-3
"""A game that goes on with less than this weight is over."""
