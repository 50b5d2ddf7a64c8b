"""One step of look-ahead: a_i* = argmax over legal a_i of E_{a_j ~ pi_hat_j}[ r(o, a_i, a_j) + gamma V(o') ]."""

from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array

from bestreply.config import PlannerConfig
from bestreply.models.world_model import PlanningModel
from bestreply.opponents.base import OpponentModel
from bestreply.opponents.joint_actions import joint_count
from bestreply.planning.batching import in_chunks
from bestreply.planning.expansion import opponent_outcomes
from bestreply.types import Plan

if TYPE_CHECKING:
    from bestreply.planning.expansion import Branches


class Outcomes(NamedTuple):
    """What each candidate leads to, for each of M joint actions of the others."""

    probs: Array  # [N-1, A], predicted of the others
    weights: Array  # [M], of the joint actions
    reward: Array  # [A, M]
    discount: Array  # [A, M], gamma times the chance to go on
    z: Any  # [A, M, ...], the next latent
    belief: Any  # [M, ...], after seeing the joint action


def outcomes(
    world: PlanningModel,
    opponents: OpponentModel,
    belief: Any,
    z: Any,
    obs: Array,
    legal: Array,
    present: Array,
    key: Array,
    *,
    gamma: float,
    config: PlannerConfig,
) -> Outcomes:
    """Every candidate against the others' joint actions, from the latent `z` of `obs`; the belief moves with what they do."""
    probs, joint, weights, after = opponent_outcomes(
        opponents, belief, obs, legal, present, key, config
    )

    def outcome(action: Array, others: Array) -> tuple[Array, Array, Any]:
        goes_on = jax.nn.sigmoid(world.continues(z, action, others))
        return (
            world.reward(z, action, others),
            gamma * goes_on,
            world.next(z, action, others),
        )

    candidates = jnp.arange(world.num_actions)
    each = jax.vmap(lambda a: jax.vmap(lambda o: outcome(a, o))(joint))(
        candidates
    )
    return Outcomes(probs, weights, *each, after)


def one_step(
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
    """Scores every candidate action by the learned model; `legal` [A] also serves to name a subset of candidates.

    The belief moves inside the plan: V(o') is told what each joint action would make us believe. With several value heads (one for
    each player that made the data) the next value is the best of them: generalised policy improvement (Barreto et al., 2017).

    Under `vmap` on a CPU a large batch is planned a few observations at a time: twice as fast as all at once, by its cache.
    """

    score = partial(score_one_step, gamma=gamma, config=config)
    leaves = world.num_actions * joint_count(
        world.num_actions, len(present) - 1, config
    )
    return planned_in_chunks(
        score, leaves, world, opponents, belief, obs, legal, present, key
    )


def score_one_step(
    world: PlanningModel,
    opponents: OpponentModel,
    *seen: Any,
    gamma: float,
    config: PlannerConfig,
) -> Plan:
    """`one_step` without chunks: `seen` is (belief, obs, legal, present, key)."""
    belief, obs, legal, present, key = seen
    found = outcomes(
        world,
        opponents,
        belief,
        world.encode(obs),
        obs,
        legal,
        present,
        key,
        gamma=gamma,
        config=config,
    )
    count = len(found.weights)  # a belief can be empty
    beliefs = jax.vmap(opponents.posterior, axis_size=count)(
        found.belief
    )  # [M, N-1, G]
    worth = jax.vmap(
        jax.vmap(lambda z, b: world.values_of(z, b).max()), in_axes=(0, None)
    )(found.z, beliefs)
    return make_plan(found, worth, legal, present, belief)


def make_plan(
    found: "Outcomes | Branches",
    worth: Array,
    legal: Array,
    present: Array,
    belief: Any,
) -> Plan:
    """The plan from what the candidates lead to (`Outcomes`, or `branches.Branches`) and what the next states are `worth` [A, M]."""
    reward, value = (
        found.reward @ found.weights,
        (found.discount * worth) @ found.weights,
    )
    scores = jnp.where(legal, reward + value, -jnp.inf)
    shown = jnp.where(present[1:, None], found.probs, 0.0)
    return Plan(
        scores,
        reward,
        value,
        jnp.argmax(scores).astype(jnp.int32),
        shown,
        belief,
    )


ROWS = 1024
"""How many outcomes to ask the networks about at a time."""


def planned_in_chunks(
    score: Any, leaves: int, world: Any, opponents: Any, *seen: Any
) -> Any:
    """`score(world, opponents, *seen)`, whose `vmap` asks about no more than `ROWS` outcomes at a time; `leaves` for one plan."""
    models, fixed = eqx.partition((world, opponents), eqx.is_array)

    def plan(models: Any, *seen: Any) -> Any:
        return score(*eqx.combine(models, fixed), *seen)

    return in_chunks(plan, max(ROWS // leaves, 1))(models, *seen)
