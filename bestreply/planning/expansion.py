"""Expansion of a decision point: own actions against joint opponent actions.

`one_step`, `expectimax` and `mcts` are built from these functions. On a CPU, `expand`
can skip illegal own actions and `evaluate_branches` skips branches that are not needed;
the remaining rows of a whole batch are computed together.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int32, PRNGKeyArray, PyTree

from bestreply.models.anchors import over_heads
from bestreply.models.base import Latent, PlanningModel
from bestreply.opponents.base import Belief, OpponentModel, possible
from bestreply.opponents.joint_actions import Draws, joint_actions
from bestreply.planning.base import DecisionPoint, Models
from bestreply.planning.batching import where_needed
from bestreply.planning.revisions import Revisions
from bestreply.types import Plan

ACTION_BATCH = 160
"""Own actions, of all examples, that are scored at a time against all joint actions.
Measured: smaller batches use the processor less, larger ones are padded more."""

BRANCH_BATCH = 64
"""Branches, of all examples, that `evaluate_branches` evaluates at a time."""

BRANCHES_ALONE = 16
"""The same, of a single example."""


class Branches(NamedTuple):
    """One step from a decision point: A own actions x M joint opponent actions.

    Entries of own actions that were not scored are 0.
    """

    probs: Float[Array, "others A"]  # predicted opponent policies
    joint: Int32[Array, "M others"]  # ABSENT for a seat that has left
    weights: Float[Array, " M"]  # of the joint actions; they sum to 1
    belief: Belief
    """After each joint action [M, ...]; after each own action too [A, M, ...] where the
    opponent model reads own actions."""
    reward: Float[Array, "A M"]
    discount: Float[Array, "A M"]  # gamma times P(the game continues)
    next_value: Float[Array, "A M"]  # V(o'), over the value heads


class _Root(NamedTuple):
    """What the decision point says about the values of what follows."""

    head_weights: Array | None
    """Weights of the value heads; None: the maximum."""
    in_sample: Array | None
    """Whether V(o, b) of `Models.joint_values` counts; None: never."""
    revisions: Revisions | None


def expand(
    models: Models,
    at: DecisionPoint,
    z: Latent,
    key: PRNGKeyArray | Draws | None,
    *,
    all_actions: bool = False,
) -> Branches:
    """Evaluate own actions against joint opponent actions, one step ahead.

    Args:
        models: the models, and the settings of the planner.
        at: the decision point.
        z: latent of `at.obs`.
        key: for drawing joint actions, where they are too many to enumerate; or the
            random numbers of these draws. None: they are not too many.
        all_actions: score illegal own actions too.

    Returns:
        The branches.
    """
    world, opponents = models.world, models.opponents
    probs = opponents.predict(at.belief, at.obs, at.legal)
    probs = possible(opponents.game, at.obs, probs)
    joint, weights = joint_actions(probs, at.present[1:], key, models.config)
    belief, posterior = _beliefs_after(opponents, at, joint)
    by_own_action, exact = opponents.reads_own_actions, opponents.knows_replies
    in_sample = None
    if models.joint_values is not None:
        now = opponents.posterior(at.belief)
        in_sample = models.joint_values.uses(at.obs, now)
    root = _Root(head_weights_at(models, at), in_sample, at.revisions)
    arrays, fixed = eqx.partition(models, eqx.is_array)

    def outcomes_of(
        arrays: PyTree, shared: PyTree, action: Array
    ) -> tuple[Array, Array, Array]:
        models: Models = eqx.combine(arrays, fixed)
        world, opponents = models.world, models.opponents
        z, joint, believed, root = shared
        if by_own_action:
            believed = jax.tree.map(lambda x: x[action], believed)

        def outcome(
            others: Array, believed: PyTree
        ) -> tuple[Array, Array, Array]:
            reward = world.reward(z, action, others)
            continues = jax.nn.sigmoid(world.continues(z, action, others))
            after = world.next(z, action, others)
            if exact:
                obs = world.imagine(after)
                next_value = opponents.reply_value(believed, obs)
            else:
                next_value = _next_value(models, root, after, believed)
            return reward, models.gamma * continues, next_value

        return jax.vmap(outcome)(joint, believed)

    believed = belief if exact else posterior
    shared = z, joint, believed, root
    if all_actions:
        scored = jax.vmap(lambda action: outcomes_of(arrays, shared, action))(
            jnp.arange(world.num_actions)
        )
    else:
        scored = where_needed(outcomes_of, ACTION_BATCH)(
            arrays, shared, at.legal
        )
    return Branches(probs, joint, weights, belief, *scored)


def _next_value(
    models: Models,
    root: _Root,
    after: Latent,
    believed: Float[Array, "others G"],
) -> Float[Array, ""]:
    """Return the value of a predicted latent, revised where the value heads count."""
    world = models.world
    values = world.values_of(after, believed)
    value = over_heads(values, root.head_weights)
    if root.revisions is not None:
        assert models.levels is not None
        obs = models.levels.number(world.imagine(after))
        value += root.revisions.change_at(obs)
    if root.in_sample is None:
        return value
    assert models.joint_values is not None
    best = models.joint_values.value(world.imagine(after), believed)
    return jnp.where(root.in_sample, best, value)


def head_weights_at(models: Models, at: DecisionPoint) -> Array | None:
    """Return the weights of value heads in the next value; None: the maximum counts.

    Args:
        models: the models.
        at: the decision point.
    """
    world: Any = models.world
    if models.anchors is None or world.config.value_heads != "player":
        return None
    posterior = models.opponents.posterior(at.belief)
    return models.anchors.head_weights(at.obs, posterior)


def _beliefs_after(
    opponents: OpponentModel,
    at: DecisionPoint,
    joint: Int32[Array, "M others"],
) -> tuple[Belief, Array]:
    """Return the belief after each joint action, and its posterior over types.

    Both are [M, ...], or [A, M, ...] of a model that reads own actions.
    """

    def after(own: Array, others: Array) -> tuple[Belief, Array]:
        actions = jnp.concatenate([own[None], others])
        belief = opponents.update(at.belief, at.obs, actions, at.present)
        return belief, opponents.posterior(belief)

    each = jax.vmap(after, in_axes=(None, 0))
    if not opponents.reads_own_actions:
        return each(jnp.int32(0), joint)
    own_actions = jnp.arange(len(at.legal), dtype=jnp.int32)
    return jax.vmap(each, in_axes=(0, None))(own_actions, joint)


def belief_of_branch(
    opponents: OpponentModel,
    belief: Belief,
    own: Int32[Array, ""],
    draw: Int32[Array, ""],
) -> Belief:
    """Return the belief of one branch.

    Args:
        opponents: the opponent model.
        belief: `Branches.belief`.
        own: the own action.
        draw: index of the joint opponent action.
    """
    at = (own, draw) if opponents.reads_own_actions else draw
    return jax.tree.map(lambda x: x[at], belief)


def make_plan(branches: Branches, at: DecisionPoint) -> Plan:
    """Return the plan with the expected reward and next value of every own action.

    Args:
        branches: the expansion of `at`.
        at: the decision point; its belief is part of the plan.

    Returns:
        The plan; scores are -inf at illegal actions.
    """
    reward = branches.reward @ branches.weights
    value = (branches.discount * branches.next_value) @ branches.weights
    scores = jnp.where(at.legal, reward + value, -jnp.inf)
    return Plan(
        scores=scores,
        reward=reward,
        value=value,
        action=jnp.argmax(scores).astype(jnp.int32),
        others=jnp.where(at.present[1:, None], branches.probs, 0.0),
        belief=at.belief,
    )


def evaluate_branches(
    value: Callable[..., Array],
    models: Models,
    branches: Branches,
    z: Latent,
    needed: Bool[Array, "A M"],
    per_branch: PyTree,
    shared: PyTree,
) -> Float[Array, "A M"]:
    """Return `value(models, z', belief', per_branch, shared)` of each needed branch.

    Args:
        value: function of the models, the next latent, the next belief, the branch's
            own part of `per_branch`, and `shared`; it returns a scalar.
        models: the models.
        branches: the expansion of the latent `z`.
        z: the expanded latent.
        needed: the branches to evaluate.
        per_branch: arrays [A, M, ...].
        shared: arrays that all branches have in common.

    Returns:
        The values; 0 where a branch is not needed.
    """
    arrays, fixed = eqx.partition(models, eqx.is_array)

    def value_of(arrays: PyTree, shared: PyTree, row: Array) -> Array:
        models: Models = eqx.combine(arrays, fixed)
        z, joint, belief, per_branch, rest = shared
        own, draw = row // len(joint), row % len(joint)
        after = models.world.next(z, own, joint[draw])
        belief = belief_of_branch(models.opponents, belief, own, draw)
        part = jax.tree.map(lambda x: x[own, draw], per_branch)
        return value(models, after, belief, part, rest)

    values = where_needed(value_of, BRANCH_BATCH, alone=BRANCHES_ALONE)(
        arrays,
        (z, branches.joint, branches.belief, per_branch, shared),
        needed.reshape(-1),
    )
    return values.reshape(needed.shape)


def likely_branches(
    models: Models,
    branches: Branches,
    legal: Bool[Array, " A"],
    reach: Float[Array, ""],
) -> tuple[Bool[Array, "A M"], Float[Array, "A M"]]:
    """Return which branches are likely enough to expand, and their reach probabilities.

    Args:
        models: their settings give the least probability, `prune_below`.
        branches: the expansion of a decision point.
        legal: own legal actions there.
        reach: probability of reaching the decision point.

    Returns:
        A mask, and the probability of reaching each branch by opponent actions and
        continuation alone.
    """
    reached = reach * branches.weights * branches.discount / models.gamma
    likely = (branches.weights > 0) & (reached >= models.config.prune_below)
    return legal[:, None] & likely, reached


def observe_latent(
    models: Models,
    z: Latent,
    belief: Belief,
    present: Bool[Array, " N"],
    revisions: Revisions | None = None,
    *,
    reencode: bool = True,
) -> tuple[DecisionPoint, Latent]:
    """Return the decision point that a predicted latent shows, and its latent.

    Args:
        models: the models.
        z: the predicted latent.
        belief: the belief there.
        present: seats that were in the game before.
        revisions: of values, as at the root.
        reencode: return the latent of the predicted observation, so that small
            errors do not accumulate; otherwise, and of a model with memory, `z`
            itself.

    Returns:
        The decision point, with the observation as the game shows it (0/1 entries
        rounded), and the latent.
    """
    world: PlanningModel = models.world
    obs = world.imagine(z)
    if reencode and getattr(world, "memory", None) is None:
        z = world.encode(obs)
    shown = models.opponents.game.present_in(obs)
    if shown is not None:
        present = jnp.asarray(shown) & present
    at = DecisionPoint(obs, world.allowed(z), present, belief)
    return at._replace(revisions=revisions), z
