"""One step of look-ahead: a_i* = argmax over legal a_i of E_{a_j ~ pi_hat_j}[ r(o, a_i, a_j) + gamma V(o') ]."""

import itertools
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from bestreply.config import PlannerConfig
from bestreply.model.opponent import OpponentModel
from bestreply.model.world import PlanningModel
from bestreply.plan.chunks import in_chunks
from bestreply.types import ABSENT, Plan

if TYPE_CHECKING:
    from bestreply.plan.branches import Branches


def joint_actions(
    probs: Float[Array, "others A"], present: Array, key: Array, config: PlannerConfig
) -> tuple[Array, Array]:
    """The others' joint actions to average over [M, N-1] (ABSENT for a seat that has left) and their weights [M], which sum to 1.

    All A^(N-1) of them with their exact probabilities up to `config.joint_limit`. Beyond it `config.samples` draws of equal weight,
    each player's own draws stratified (one from every 1/M of its distribution, in random order): unbiased, and of less variance
    than independent draws.
    """
    players, actions = probs.shape
    if actions**players <= config.joint_limit:
        joint = jnp.asarray(
            np.array(list(itertools.product(range(actions), repeat=players)), np.int32).reshape(-1, players)
        )
        each = jnp.where(
            present, probs[jnp.arange(players), joint], joint == 0
        )  # a seat that has left counts once
        weights = each.prod(1)
    else:
        joint = jax.vmap(lambda p, k: stratified(p, k, config.samples), out_axes=1)(
            probs, jax.random.split(key, players)
        )
        weights = jnp.full(config.samples, 1 / config.samples)
    return jnp.where(present, joint, ABSENT), weights


def joint_count(actions: int, players: int, config: PlannerConfig) -> int:
    """How many joint actions of the others `joint_actions` gives."""
    return actions**players if actions**players <= config.joint_limit else config.samples


def stratified(probs: Float[Array, " A"], key: Array, samples: int) -> Array:
    """[samples] int32: one draw from each of `samples` equal slices of the distribution, shuffled."""
    shift_key, order_key = jax.random.split(key)
    points = (jnp.arange(samples) + jax.random.uniform(shift_key, (samples,))) / samples
    edges = jnp.cumsum(probs) / jnp.maximum(probs.sum(), 1e-9)
    drawn = jnp.minimum(jnp.searchsorted(edges, points, side="right"), len(probs) - 1)
    return jax.random.permutation(order_key, drawn).astype(jnp.int32)


class Outcomes(NamedTuple):
    """What each candidate leads to, for each of M joint actions of the others."""

    probs: Array  # [N-1, A], predicted of the others
    weights: Array  # [M], of the joint actions
    reward: Array  # [A, M]
    discount: Array  # [A, M], gamma times the chance to go on
    z: Any  # [A, M, ...], the next latent
    belief: Any  # [M, ...], after seeing the joint action


def what_others_do(
    opponents: OpponentModel,
    belief: Any,
    obs: Array,
    legal: Array,
    present: Array,
    key: Array,
    config: PlannerConfig,
) -> tuple[Array, Array, Array, Any]:
    """Their predicted probabilities [N-1, A], M joint actions [M, N-1] with their weights [M], and the belief after each [M, ...]."""
    probs = opponents.predict(belief, obs, legal)
    joint, weights = joint_actions(probs, present[1:], key, config)

    def believed(others: Array) -> Any:
        own_action_does_not_matter = jnp.zeros(1, jnp.int32)
        return opponents.update(belief, obs, jnp.concatenate([own_action_does_not_matter, others]), present)

    return probs, joint, weights, jax.vmap(believed)(joint)


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
    probs, joint, weights, after = what_others_do(opponents, belief, obs, legal, present, key, config)

    def outcome(action: Array, others: Array) -> tuple[Array, Array, Any]:
        goes_on = jax.nn.sigmoid(world.continues(z, action, others))
        return world.reward(z, action, others), gamma * goes_on, world.next(z, action, others)

    candidates = jnp.arange(world.num_actions)
    each = jax.vmap(lambda a: jax.vmap(lambda o: outcome(a, o))(joint))(candidates)
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
    leaves = world.num_actions * joint_count(world.num_actions, len(present) - 1, config)
    return planned_in_chunks(score, leaves, world, opponents, belief, obs, legal, present, key)


def score_one_step(
    world: PlanningModel, opponents: OpponentModel, *seen: Any, gamma: float, config: PlannerConfig
) -> Plan:
    """`one_step` without chunks: `seen` is (belief, obs, legal, present, key)."""
    belief, obs, legal, present, key = seen
    found = outcomes(
        world, opponents, belief, world.encode(obs), obs, legal, present, key, gamma=gamma, config=config
    )
    count = len(found.weights)  # a belief can be empty
    beliefs = jax.vmap(opponents.posterior, axis_size=count)(found.belief)  # [M, N-1, G]
    worth = jax.vmap(jax.vmap(lambda z, b: world.values_of(z, b).max()), in_axes=(0, None))(found.z, beliefs)
    return make_plan(found, worth, legal, present, belief)


def make_plan(found: "Outcomes | Branches", worth: Array, legal: Array, present: Array, belief: Any) -> Plan:
    """The plan from what the candidates lead to (`Outcomes`, or `branches.Branches`) and what the next states are `worth` [A, M]."""
    reward, value = found.reward @ found.weights, (found.discount * worth) @ found.weights
    scores = jnp.where(legal, reward + value, -jnp.inf)
    shown = jnp.where(present[1:, None], found.probs, 0.0)
    return Plan(scores, reward, value, jnp.argmax(scores).astype(jnp.int32), shown, belief)


ROWS = 1024
"""How many outcomes to ask the networks about at a time."""


def planned_in_chunks(score: Any, leaves: int, world: Any, opponents: Any, *seen: Any) -> Any:
    """`score(world, opponents, *seen)`, whose `vmap` asks about no more than `ROWS` outcomes at a time; `leaves` for one plan."""
    models, fixed = eqx.partition((world, opponents), eqx.is_array)

    def plan(models: Any, *seen: Any) -> Any:
        return score(*eqx.combine(models, fixed), *seen)

    return in_chunks(plan, max(ROWS // leaves, 1))(models, *seen)
