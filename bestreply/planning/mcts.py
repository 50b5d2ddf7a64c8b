"""Monte Carlo tree search whose every node is a one-step plan, grown by `mctx`.

The root is a one-step plan: every own action against many joint opponent actions. A
simulation of `mctx` follows one outcome, an own action with a draw of the opponents'
actions, down the tree and adds a node. There the predicted observation is rounded as
the game shows it, the opponents are predicted from the updated belief, and all own
actions are scored against the same few draws of the next joint opponent action. That is
one batch for the networks, for which the opponents are predicted and the observation is
encoded once. Actions that are illegal, or predicted to be, are not scored: on a CPU the
legal ones of a whole batch are gathered.

The joint opponent action is chance, not choice. It is drawn from the belief when a node
is added and never is part of the chosen action. Q is the mean over the node's draws k,
with weights w_k,

    Q(s, a) = sum_k w_k [ r + gamma c V(s') ]
    V(s) = max over legal a of Q(s, a)        at states with a node
    V(s) = V(o) + shift_d                     elsewhere

with c the probability that the game continues and `shift_d` the mean change V(s) - V(o)
that adding a node at depth d caused. Without the shift, states with a node would seem
better than states without, by the gain of a maximum over noisy scores; with it, the
order of actions that were not expanded stays that of their one-step scores. The value
found below one draw counts with the weight of that draw alone.

Selection, from the root down: the own action whose share p_a = softmax(`SHARPNESS` Q)
is largest relative to its visits, p_a / (1 + visits_a), then the draw with the largest
w_k c / (1 + visits_k). Visits are thus proportional to how likely an outcome is. (Q is
scaled to 0..1 over the legal actions, as in Danihelka et al., "Policy improvement by
planning with Gumbel", 2022.)

`python -m benchmarks search` measures its cost next to `mctx` alone, and the regret of
the chosen action in small random games.
"""

from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import mctx as _mctx
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from bestreply.models.base import Latent
from bestreply.opponents.base import Belief
from bestreply.planning.base import DecisionPoint, Models
from bestreply.planning.batching import plan_in_batches
from bestreply.planning.expansion import (
    Branches,
    belief_of_branch,
    expand,
    make_plan,
    observe_latent,
)
from bestreply.planning.revisions import Revisions
from bestreply.types import Plan

mctx: Any = _mctx  # a static checker cannot follow fields of chex's dataclasses

Tree = Any
"""`mctx.Tree` of one example: arrays [nodes, edges]. An edge is an own action with a
draw, A x M."""

SHARPNESS = 2.0
"""Inverse temperature of selection: the best action is followed e^2 times as often as
the worst."""

SHIFTED_DEPTHS = 8
"""Depths with a value shift of their own; deeper states are not shifted."""


class Node(eqx.Module):
    """A node of the tree: a one-step plan in its parts, with M draws."""

    z: Latent
    legal: Bool[Array, "*B A"]  # own actions predicted to be legal
    present: Bool[Array, "*B N"]  # seats in the game
    joint: Int[Array, "*B M others"]
    weights: Float[Array, "*B M"]  # they sum to 1
    belief: Belief  # [M, ...] or [A, M, ...], as of `Branches`
    reward: Float[Array, "*B A M"]
    discount: Float[Array, "*B A M"]  # gamma times P(the game continues)
    next_value: Float[Array, "*B A M"]  # V(o')
    prior_value: Float[Array, "*B"]  # V(o) of the node before it was added
    depth: Int[Array, "*B"]  # steps from the root


def mcts(
    models: Models,
    at: DecisionPoint,
    key: PRNGKeyArray,
    *,
    simulations: int | None = None,
    draws: int = 2,
    depth: int | None = None,
    reencode: bool = True,
    prior: Float[Array, " A"] | None = None,
) -> Plan:
    """Score every candidate action by a tree search with a budget of outcomes.

    Args:
        models: the models, and the settings of the planner.
        at: the decision point; for one example. Batch with `jax.vmap`, which costs
            what the batch of `mctx` costs.
        key: for drawing joint opponent actions.
        simulations: outcomes (an own action with a draw) evaluated below the root; by
            default `config.simulations`. A plain tree search adds a node for each; here
            a node takes A x `draws` of them. Where joint actions are drawn at the root,
            they are at most a quarter of this number (and at most `config.samples`),
            so that a small budget stays small.
        draws: joint opponent actions that a node below the root averages; 1 where the
            budget is too small for two such nodes.
        depth: greatest depth of the tree in steps, by default unlimited; 1 is `one_step`.
        reencode: round the predicted observation as the game shows it and encode it
            again, so that small errors do not accumulate; otherwise keep the latent.
        prior: logits of own actions at the root, as of a policy, that direct the search;
            by default uniform.

    Returns:
        The plan.

    Raises:
        ValueError: `simulations`, `draws` or `depth` is below 1.
    """
    actions = models.world.num_actions
    if simulations is None:
        simulations = models.config.simulations
    _check_counts(simulations=simulations, draws=draws, depth=depth)
    if prior is None:
        prior = jnp.zeros(actions)
    draws = min(draws, max(simulations // (2 * actions), 1))
    nodes = 0 if depth == 1 else simulations // (actions * draws)
    root_samples = min(models.config.samples, max(simulations // 4, 1))
    at_root = models.with_settings(samples=root_samples)
    plan_key, key = jax.random.split(key)

    z = models.latent(at)
    branches = expand(at_root, at, z, plan_key)
    plan = make_plan(branches, at)
    if nodes == 0:
        return plan
    root = _node(models, at, z, branches, draws, jnp.float32(0), jnp.int32(0))

    def search(
        models: Models,
        plan: Plan,
        root: Node,
        revisions: Revisions | None,
        prior: Array,
        key: PRNGKeyArray,
    ) -> Plan:
        step = partial(_add_node, models, reencode, revisions)
        return _back_up(_grow(step, root, prior, key, nodes, depth), plan)

    below = models.with_settings(joint_limit=draws, samples=draws)
    given = plan, root, at.revisions, jnp.asarray(prior), key
    return plan_in_batches(search, actions * draws, below, *given)


def _check_counts(**counts: int | None) -> None:
    for name, count in counts.items():
        if count is not None and count < 1:
            raise ValueError(f"{name}={count}: expected 1 or more")


# -- the model step ------------------------------------------------------------


def _node(
    models: Models,
    at: DecisionPoint,
    z: Latent,
    branches: Branches,
    min_draws: int,
    prior_value: Float[Array, ""],
    depth: Int[Array, ""],
) -> Node:
    """Return the node of an expansion, padded to at least `min_draws` draws."""
    padding = max(min_draws - len(branches.weights), 0)
    draw_axis = int(models.opponents.reads_own_actions)  # of beliefs

    def pad(x: Array, axis: int = 0) -> Array:
        widths = [(0, padding if i == axis else 0) for i in range(x.ndim)]
        return jnp.pad(x, widths)

    return Node(
        z=z,
        legal=at.legal,
        present=at.present,
        joint=pad(branches.joint),
        weights=pad(branches.weights),
        belief=jax.tree.map(lambda x: pad(x, draw_axis), branches.belief),
        reward=pad(branches.reward, 1),
        discount=pad(branches.discount, 1),
        next_value=pad(branches.next_value, 1),
        prior_value=prior_value,
        depth=depth,
    )


def _add_node(
    models: Models,
    reencode: bool,
    revisions: Revisions | None,
    key: PRNGKeyArray,
    edge: Int[Array, ""],
    node: Node,
) -> tuple[Any, Node]:
    """Follow `edge` (own action x M + index of the draw) from `node` to a new node."""
    draws = len(node.weights)
    own, draw = edge // draws, edge % draws
    z = models.world.next(node.z, own, node.joint[draw])
    belief = belief_of_branch(models.opponents, node.belief, own, draw)
    at, z = observe_latent(
        models, z, belief, node.present, revisions, reencode=reencode
    )
    branches = expand(models, at, z, key)
    prior_value = node.next_value[own, draw]
    output = mctx.RecurrentFnOutput(
        reward=node.reward[own, draw],
        discount=node.discount[own, draw],
        prior_logits=jnp.zeros(node.reward.size),  # unused: `_select` chooses
        value=make_plan(branches, at).scores.max(),
    )
    depth = node.depth + 1
    return output, _node(models, at, z, branches, draws, prior_value, depth)


# -- the tree ------------------------------------------------------------------


def _grow(
    step: Any,
    root: Node,
    prior: Float[Array, " A"],
    key: PRNGKeyArray,
    nodes: int,
    depth: int | None,
) -> Tree:
    """Return the tree of one example, grown by `nodes` nodes.

    To `mctx`, an action is an edge (A x M of them), and the batch has one element.
    """

    def recurrent(
        params: None, key: PRNGKeyArray, edge: Array, node: Node
    ) -> Any:
        added = step(key, edge[0], jax.tree.map(lambda x: x[0], node))
        return jax.tree.map(lambda x: jnp.asarray(x)[None], added)

    def at_root(key: PRNGKeyArray, tree: Tree, node: Array) -> Array:
        return _select(tree, node, prior)

    def inside(
        key: PRNGKeyArray, tree: Tree, node: Array, depth: Array
    ) -> Array:
        return _select(tree, node, jnp.zeros_like(prior))

    output = mctx.RootFnOutput(
        prior_logits=jnp.zeros((1, root.reward.size)),
        value=jnp.zeros(1),
        embedding=jax.tree.map(lambda x: jnp.asarray(x)[None], root),
    )
    tree = mctx.search(
        None,
        key,
        root=output,
        recurrent_fn=recurrent,
        root_action_selection_fn=at_root,
        interior_action_selection_fn=inside,
        num_simulations=nodes,
        max_depth=None if depth is None else depth - 1,
    )
    return jax.tree.map(lambda x: x[0], tree)


def _select(
    tree: Tree, index: Int[Array, ""], prior: Float[Array, " A"]
) -> Int[Array, ""]:
    """Return the edge to follow from node `index`: an own action, then a draw."""
    node: Node = jax.tree.map(lambda x: x[index], tree.embeddings)
    visits = tree.children_visits[index].reshape(node.next_value.shape)
    values = tree.children_values[index].reshape(node.next_value.shape)
    shift = _value_shift(tree)[jnp.minimum(node.depth, SHIFTED_DEPTHS)]
    q = _scores(node, jnp.where(visits > 0, values, node.next_value + shift))
    best, worst = q.max(), jnp.where(node.legal, q, jnp.inf).min()
    scaled = (q - worst) / jnp.maximum(best - worst, 1e-8)
    logits = prior + SHARPNESS * scaled
    share = jax.nn.softmax(jnp.where(node.legal, logits, -jnp.inf))
    likely = node.weights * node.discount  # 0 where the game has ended
    priority = share * likely.sum(1) / (1 + visits.sum(1))
    own = jnp.argmax(jnp.where(node.legal, priority, -1.0))
    draw = jnp.argmax(likely[own] / (1 + visits[own]))
    return (own * len(node.weights) + draw).astype(jnp.int32)


def _scores(node: Node, next_value: Float[Array, "A M"]) -> Float[Array, " A"]:
    """Return Q of a node whose next states have `next_value`; -inf where illegal."""
    q = (node.reward + node.discount * next_value) @ node.weights
    return jnp.where(node.legal, q, -jnp.inf)


def _value_shift(tree: Tree) -> Float[Array, " depths"]:
    """Return, for each depth of a node, the mean change of next values by adding nodes.

    It is the mean, over the nodes added one step deeper, of V(s) - V(o) at the time of
    adding, plus the later shift of their own next states.
    """
    nodes: Node = tree.embeddings
    added = (tree.node_visits > 0).at[0].set(False)
    depths = nodes.depth[:, None] == 1 + jnp.arange(SHIFTED_DEPTHS)
    level = depths & added[:, None]
    continues = jnp.einsum("nam,nm->n", nodes.discount, nodes.weights)
    continues = continues / jnp.maximum(nodes.legal.sum(1), 1)
    changes = jnp.stack([tree.raw_values - nodes.prior_value, continues], 1)
    totals = jnp.where(level[..., None], changes[:, None], 0.0).sum(0).T
    gain, kept = totals / jnp.maximum(level.sum(0), 1)
    shifts = [jnp.float32(0)]
    for d in reversed(range(SHIFTED_DEPTHS)):
        shifts.append(gain[d] + kept[d] * shifts[-1])
    return jnp.stack(shifts[::-1])


def _back_up(tree: Tree, plan: Plan) -> Plan:
    """Return the root's plan with the values of the tree, backed up in reverse order."""
    nodes: Node = tree.embeddings
    count = len(tree.node_visits)
    shift = _value_shift(tree)[jnp.minimum(nodes.depth, SHIFTED_DEPTHS)]
    shifted = (nodes.next_value + shift[:, None, None]).reshape(count, -1)

    def back_up(i: Array, values: Array) -> Array:
        index = count - 1 - i
        node: Node = jax.tree.map(lambda x: x[index], nodes)
        next_value = values[index].reshape(node.next_value.shape)
        parent = jnp.maximum(tree.parents[index], 0)
        edge = jnp.maximum(tree.action_from_parent[index], 0)
        value = jnp.where(
            tree.node_visits[index] > 0,
            _scores(node, next_value).max(),
            values[parent, edge],
        )
        return values.at[parent, edge].set(value)

    root: Node = jax.tree.map(lambda x: x[0], nodes)
    values = jax.lax.fori_loop(0, count - 1, back_up, shifted)
    next_value = values[0].reshape(root.next_value.shape)
    value = (root.discount * next_value) @ root.weights
    scores = jnp.where(root.legal, plan.reward + value, -jnp.inf)
    return Plan(
        scores=scores,
        reward=plan.reward,
        value=value,
        action=jnp.argmax(scores).astype(jnp.int32),
        others=plan.others,
        belief=plan.belief,
    )
