"""Many steps of look-ahead where they are promising: a tree whose every node is a one-step plan, grown by `mctx`.

The root is `one_step`: every own action against many joint actions of the others. A simulation of `mctx` then follows one outcome of
it, an own action with a draw of what the others do, and makes a node there: the predicted observation is read as the world would
show it, the others are predicted from the belief that their move has left, and all own actions are scored against the same few draws
of the others' next joint action. All of that is one batch for the networks, for which the others are predicted and the observation is
encoded once. Actions that are illegal, or predicted to be, are not scored at all: on a CPU the legal ones of a whole batch are gathered.

The others' joint action is chance, not choice. It is drawn from the belief when a node is made, and is never a part of the action
that is chosen: Q is the mean over a node's draws k, with their weights w_k,

    Q(s, a) = sum_k w_k [ r + gamma c V(s') ],      V(s) = max over legal a of Q(s, a)        where a node was made,
                                                    V(s) = V(o) + shift_d                     elsewhere,

c the chance to go on, `shift_d` what making nodes of that depth d changed on average, V(s) - V(o). Without it what was looked into
would seem better than what was not, by what a maximum over noisy scores gains; so an action that was not looked into keeps its
one-step score, beside the others as it was. What was found at one draw counts with the weight of that
draw alone: one draw doesn't speak for the others.

Where to look next: down from the root, at every node the action whose share, softmax(`SHARPNESS` Q), has been followed least for what
it is, p_a / (1 + visits_a), then so the draw, w_k c / (1 + visits_k). Visits are thus dealt out by how likely an outcome is to come
about. (Q between 0 and 1 over the legal actions, as in Danihelka et al., "Policy improvement by planning with Gumbel", 2022.)

`python -m benchmarks search` measures the cost of it beside `mctx` alone, and the regret of the action chosen in small random games.
"""

import dataclasses
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import mctx as _mctx
from jaxtyping import Array, Bool, Float, Int

from bestreply.config import PlannerConfig
from bestreply.models.world_model import PlanningModel
from bestreply.opponents.base import OpponentModel
from bestreply.planning.expansion import arrive, branch
from bestreply.planning.one_step import make_plan, planned_in_chunks
from bestreply.types import Plan

mctx: Any = (
    _mctx  # a static checker can't follow the fields of chex's dataclasses
)

Tree = Any
"""`mctx.Tree`, of one example: arrays [nodes, edges], an edge an own action with a draw, A x M."""

SHARPNESS = 2.0
"""How much more often better actions are followed: e^2 for the best beside the worst."""


class Node(eqx.Module):
    """What a node of the tree holds: a one-step plan in its parts. Arrays alone; M draws of what the others do."""

    z: Any  # the latent, or whatever the world's `encode` gives
    legal: Bool[Array, "*B A"]  # own actions predicted to be legal
    present: Bool[Array, "*B N"]  # who is in the game
    joint: Int[Array, "*B M others"]
    weights: Float[Array, "*B M"]  # they sum to 1
    belief: Any  # [M, ...], after each draw
    reward: Float[Array, "*B A M"]
    discount: Float[Array, "*B A M"]  # gamma times the chance to go on
    worth: Float[Array, "*B A M"]  # V(o') of what follows
    was: Float[Array, "*B"]  # V(o) of the node itself before it was made
    depth: Int[Array, "*B"]  # steps from the root


def search(
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
    simulations: int | None = None,
    draws: int = 2,
    depth: int | None = None,
    reencode: bool = True,
    prior: Array | None = None,
) -> Plan:
    """Scores every candidate action by a tree of `config.simulations` outcomes. Arguments and plan of `one_step`, and more arguments.

    For one example; batch with `jax.vmap`, which costs what `mctx`'s own batch does.

    Args:
        simulations: outcomes, of an own action and a draw, that are evaluated below the root; by default `config.simulations`. A
            plain tree search makes a node of each; here a node takes A x `draws` of them. Where the root's joint actions are drawn,
            they are at most a quarter of this many, so that a small budget is a small budget (and `config.samples` at most).
        draws: joint actions of the others that a node below the root averages; 1 where the budget is not enough for two such nodes.
        depth: steps that the tree may reach; by default any. 1 is `one_step`.
        reencode: read the predicted observation as the world would show it (0/1 entries rounded) and encode it again, so that small
            errors do not add up. Where False the latent goes on as it is.
        prior: [A], logits of own actions at the root, as of a policy, that say where to look first; by default all alike.
    """
    simulations = config.simulations if simulations is None else simulations
    _check(
        simulations=simulations,
        draws=draws,
        depth=1 if depth is None else depth,
    )
    prior = (
        jnp.zeros(world.num_actions) if prior is None else jnp.asarray(prior)
    )
    draws = min(draws, max(simulations // (2 * world.num_actions), 1))
    nodes = 0 if depth == 1 else simulations // (world.num_actions * draws)
    at_root = dataclasses.replace(
        config, samples=min(config.samples, max(simulations // 4, 1))
    )
    below = dataclasses.replace(config, joint_limit=draws, samples=draws)
    plan_key, key = jax.random.split(key)

    start = partial(
        _made, world, opponents, gamma=gamma, config=at_root, room=draws
    )
    plan, root = start(
        belief,
        world.encode(obs),
        obs,
        legal,
        present,
        jnp.float32(0),
        jnp.int32(0),
        plan_key,
    )
    if nodes == 0:
        return plan

    def grow(world: Any, opponents: Any, *seen: Any) -> Plan:
        plan, root, prior, key = seen
        expand = partial(_expand, world, opponents, gamma, below, reencode)
        return _read(_grow(expand, root, prior, key, nodes, depth), plan)

    return planned_in_chunks(
        grow,
        world.num_actions * draws,
        world,
        opponents,
        plan,
        root,
        prior,
        key,
    )


def _check(**counts: int) -> None:
    for name, count in counts.items():
        if count < 1:
            raise ValueError(f"search: {name}={count}; expected: 1 or more")


# -- the model step --------------------------------------------------------------------------------------------


def _made(
    world: Any,
    opponents: Any,
    belief: Any,
    z: Any,
    obs: Array,
    legal: Array,
    present: Array,
    was: Array,
    depth: Array,
    key: Array,
    *,
    gamma: float,
    config: PlannerConfig,
    room: int,
) -> tuple[Plan, Node]:
    """The one-step plan from the latent `z` of `obs`, and the node of it, with room for `room` draws at least."""
    found = branch(
        world,
        opponents,
        belief,
        z,
        obs,
        legal,
        present,
        key,
        gamma=gamma,
        config=config,
    )
    plan = make_plan(found, found.worth, legal, present, belief)
    spare = max(room - len(found.weights), 0)

    def padded(x: Array, axis: int = 0) -> Array:
        return jnp.pad(
            x, [(0, spare if i == axis else 0) for i in range(x.ndim)]
        )

    drawn = (
        padded(found.joint),
        padded(found.weights),
        jax.tree.map(padded, found.belief),
    )
    parts = (
        padded(found.reward, 1),
        padded(found.discount, 1),
        padded(found.worth, 1),
    )
    return plan, Node(z, legal, present, *drawn, *parts, was, depth)


def _expand(
    world: Any,
    opponents: Any,
    gamma: float,
    config: PlannerConfig,
    reencode: bool,
    key: Array,
    edge: Array,
    node: Node,
) -> tuple[Any, Node]:
    """What comes of `edge` [] (own action x M + number of the draw) at `node`, and the node it leads to."""
    room = len(node.weights)
    own, place = edge // room, edge % room
    z = world.next(node.z, own, node.joint[place])
    obs, z, legal, here = arrive(
        world, opponents, z, node.present, reencode=reencode
    )
    belief, was = (
        jax.tree.map(lambda x: x[place], node.belief),
        node.worth[own, place],
    )
    made = partial(
        _made, world, opponents, gamma=gamma, config=config, room=room
    )
    plan, after = made(belief, z, obs, legal, here, was, node.depth + 1, key)
    output = mctx.RecurrentFnOutput(
        reward=node.reward[own, place],
        discount=node.discount[own, place],
        prior_logits=jnp.zeros(
            node.reward.size
        ),  # not looked at: `_follow` chooses
        value=plan.scores.max(),
    )
    return output, after


# -- the tree --------------------------------------------------------------------------------------------------


def _grow(
    expand: Any,
    root: Node,
    prior: Array,
    key: Array,
    nodes: int,
    depth: int | None,
) -> Tree:
    """The searched tree of one example. To `mctx` an action is an edge, A x M of them, and the batch is of one."""

    def recurrent(params: Any, key: Array, edge: Array, node: Any) -> Any:
        made = expand(key, edge[0], jax.tree.map(lambda x: x[0], node))
        return jax.tree.map(lambda x: jnp.asarray(x)[None], made)

    def at_root(key: Array, tree: Tree, node: Array) -> Array:
        return _follow(tree, node, prior)

    def inside(key: Array, tree: Tree, node: Array, depth: Array) -> Array:
        return _follow(tree, node, jnp.zeros_like(prior))

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


def _follow(tree: Tree, index: Array, prior: Array) -> Int[Array, ""]:
    """The edge to follow from node `index`: shares of own actions by their Q, then of draws by their weight, dealt out in turn."""
    node: Node = jax.tree.map(lambda x: x[index], tree.embeddings)
    visits = tree.children_visits[index].reshape(node.worth.shape)
    values = tree.children_values[index].reshape(node.worth.shape)
    q = _scores(
        node,
        jnp.where(
            visits > 0,
            values,
            node.worth + _shift(tree)[jnp.minimum(node.depth, LEVELS)],
        ),
    )
    best, worst = q.max(), jnp.where(node.legal, q, jnp.inf).min()
    logits = prior + SHARPNESS * (q - worst) / jnp.maximum(best - worst, 1e-8)
    share = jax.nn.softmax(jnp.where(node.legal, logits, -jnp.inf))
    likely = (
        node.weights * node.discount
    )  # there is nothing to look at where the game has ended
    turn = share * likely.sum(1) / (1 + visits.sum(1))
    own = jnp.argmax(jnp.where(node.legal, turn, -1.0))
    place = jnp.argmax(likely[own] / (1 + visits[own]))
    return (own * len(node.weights) + place).astype(jnp.int32)


def _scores(node: Node, worth: Float[Array, "A M"]) -> Float[Array, " A"]:
    """Q of a node whose next states are `worth`; -inf where illegal."""
    return jnp.where(
        node.legal,
        (node.reward + node.discount * worth) @ node.weights,
        -jnp.inf,
    )


LEVELS = 8
"""Depths that are told apart in what making a node changed; deeper ones are not shifted."""


def _shift(tree: Tree) -> Float[Array, " levels"]:
    """By the depth of a node, how much more a state after it is worth for having been made a node of.

    The mean over the nodes made there of V(s) - V(o) when they were made, and what their own next states were shifted by since.
    """
    nodes: Node = tree.embeddings
    made = (tree.node_visits > 0).at[0].set(False)
    level = (nodes.depth[:, None] == 1 + jnp.arange(LEVELS)) & made[:, None]
    goes_on = jnp.einsum(
        "nam,nm->n", nodes.discount, nodes.weights
    ) / jnp.maximum(nodes.legal.sum(1), 1)
    changed = jnp.stack([tree.raw_values - nodes.was, goes_on], 1)
    gain, kept = jnp.where(level[..., None], changed[:, None], 0.0).sum(
        0
    ).T / jnp.maximum(level.sum(0), 1)
    total = [jnp.float32(0)]
    for d in reversed(range(LEVELS)):
        total.append(gain[d] + kept[d] * total[-1])
    return jnp.stack(total[::-1])


def _read(tree: Tree, plan: Plan) -> Plan:
    """The root's plan with what the tree found, backed up from the last node that was made to the first."""
    nodes: Node = tree.embeddings
    count = len(tree.node_visits)
    shift = _shift(tree)[jnp.minimum(nodes.depth, LEVELS)]
    flat = (nodes.worth + shift[:, None, None]).reshape(count, -1)

    def back(i: Array, worth: Array) -> Array:
        index = count - 1 - i
        node: Node = jax.tree.map(lambda x: x[index], nodes)
        value = _scores(node, worth[index].reshape(node.worth.shape)).max()
        at = (
            jnp.maximum(tree.parents[index], 0),
            jnp.maximum(tree.action_from_parent[index], 0),
        )
        return worth.at[at].set(
            jnp.where(tree.node_visits[index] > 0, value, worth[at])
        )

    root: Node = jax.tree.map(lambda x: x[0], nodes)
    worth = jax.lax.fori_loop(0, count - 1, back, flat)[0].reshape(
        root.worth.shape
    )
    value = (root.discount * worth) @ root.weights
    scores = jnp.where(root.legal, plan.reward + value, -jnp.inf)
    return Plan(
        scores,
        plan.reward,
        value,
        jnp.argmax(scores).astype(jnp.int32),
        plan.others,
        plan.belief,
    )
