"""What a plan branches into: every own action against joint actions of the others, one step on, and what becomes of each from there.

`look_ahead` and `search` are made of these. On a CPU only legal own actions are scored, and only the branches that are asked
for are gone into, those of a whole batch together.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from bestreply.config import PlannerConfig
from bestreply.models.world_model import PlanningModel
from bestreply.opponents.base import OpponentModel
from bestreply.opponents.joint_actions import joint_actions
from bestreply.planning.batching import where_needed

SOME = 160
"""How many actions, of all examples, are scored at a time against all draws. Measured: fewer keep the processor less busy, more are
filled up by what is not needed."""

FEW = 64
"""How many branches, of all examples, are gone into at a time."""


class Branches(NamedTuple):
    """One step from one observation: A own actions against M joint actions of the others; 0 where the own action is illegal."""

    probs: Float[Array, "others A"]  # predicted of the others
    joint: Array  # [M, N-1] int32, ABSENT for a seat that has left
    weights: Float[Array, " M"]  # of the joint actions; they sum to 1
    belief: Any  # [M, ...], after each joint action
    reward: Float[Array, "A M"]
    discount: Float[Array, "A M"]  # gamma times the chance to go on
    worth: Float[Array, "A M"]  # V(o')


def branch(
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
) -> Branches:
    """All branches from the latent `z` of `obs`. What follows is worth the best of the value heads."""
    probs, joint, weights, after = opponent_outcomes(
        opponents, belief, obs, legal, present, key, config
    )
    posterior = jax.vmap(opponents.posterior, axis_size=len(joint))(
        after
    )  # a belief can be empty
    arrays, fixed = eqx.partition(world, eqx.is_array)

    def of_action(
        arrays: Any, shared: Any, own: Array
    ) -> tuple[Array, Array, Array]:
        world: Any = eqx.combine(arrays, fixed)
        z, joint, posterior = shared

        def outcome(
            others: Array, posterior: Array
        ) -> tuple[Array, Array, Array]:
            discount = gamma * jax.nn.sigmoid(world.continues(z, own, others))
            worth = world.values_of(world.next(z, own, others), posterior).max()
            return world.reward(z, own, others), discount, worth

        return jax.vmap(outcome)(joint, posterior)

    scored = where_needed(of_action, SOME)(arrays, (z, joint, posterior), legal)
    return Branches(probs, joint, weights, after, *scored)


def go_into(
    go: Callable[..., Array],
    world: PlanningModel,
    opponents: OpponentModel,
    found: Branches,
    z: Any,
    needed: Bool[Array, "A M"],
    each: Any,
    shared: Any,
) -> Float[Array, "A M"]:
    """`go(world, opponents, z', belief', each, shared)` for the branches that are `needed`, else 0.

    `each`: arrays [A, M, ...], of which `go` is given its branch's; `shared`: arrays that all branches are given.
    """
    models, fixed = eqx.partition((world, opponents), eqx.is_array)

    def of_branch(models: Any, rest: Any, row: Array) -> Array:
        world, opponents = eqx.combine(models, fixed)
        z, joint, belief, each, shared = rest
        own, others = row // len(joint), row % len(joint)
        after = world.next(z, own, joint[others])
        believed, mine = (
            jax.tree.map(lambda x: x[others], belief),
            jax.tree.map(lambda x: x[own, others], each),
        )
        return go(world, opponents, after, believed, mine, shared)

    rest = z, found.joint, found.belief, each, shared
    return where_needed(of_branch, FEW)(
        models, rest, needed.reshape(-1)
    ).reshape(needed.shape)


def likely(
    found: Branches,
    legal: Array,
    gamma: float,
    config: PlannerConfig,
    reach: Array | float = 1.0,
) -> tuple[Bool[Array, "A M"], Float[Array, "A M"]]:
    """Which branches come about with `config.prune_below` or more, and how likely each is, from a place that is reached with `reach`."""
    reached = reach * found.weights * found.discount / gamma
    return legal[:, None] & (found.weights > 0) & (
        reached >= config.prune_below
    ), reached


def arrive(
    world: PlanningModel,
    opponents: OpponentModel,
    z: Any,
    present: Array,
    *,
    reencode: bool = True,
) -> tuple[Array, Any, Array, Array]:
    """What is seen at the latent `z`: the observation as the game would show it, a latent, own legal actions, who is in the game.

    The latent is that of the observation, so that small errors do not add up; with `reencode=False` it goes on as it is.
    """
    obs = world.imagine(z)
    z = world.encode(obs) if reencode else z
    told = opponents.game.present_in(obs)
    return (
        obs,
        z,
        world.allowed(z),
        present if told is None else jnp.asarray(told) & present,
    )


def opponent_outcomes(
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
        return opponents.update(
            belief,
            obs,
            jnp.concatenate([own_action_does_not_matter, others]),
            present,
        )

    return probs, joint, weights, jax.vmap(believed)(joint)
