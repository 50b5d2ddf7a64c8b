"""Many steps of look-ahead where they are promising: a tree search whose model step draws what the others do.

Gumbel MuZero (Danihelka et al., "Policy improvement by planning with Gumbel", 2022) without its noise, on `mctx`: Sequential
Halving over own actions at the root; below it every legal action once, there being no policy that knows better, and then visits
that come to be spread as softmax(sigma(Q)).

The others' joint action is chance, not choice. It is never a part of the action that is chosen: an edge (node, own action) holds up
to `width` draws of it, each with a child of its own. The choice is made on the mean of the edge's open draws, and the edge then
follows the draw it has tried least; a new one is opened while they are fewer than sqrt(visits) (progressive widening for chance:
Couëtoux et al., "Continuous upper confidence trees", 2011). At the root every visit opens one until there are `width`.

What the tree estimates is a correction of `one_step` (a control variate): the root's scores are the one-step scores, over all or
many joint actions, plus what looking further changed at the draws that were searched,

    Q(a) = E_{a_j}[ r + gamma c V(z') ]  +  mean over the open draws of  d ( V_tree(child) - V(child) ),

so that the tree's few draws add no noise of their own about the next reward, and an action that was not searched has its one-step
score.

Why draws, and not the plainer ways (from trials while this was written, which are not kept as a benchmark): regret of the action
chosen in small random games against stochastic others (5 x 5 actions, 15 states, noisy values at the leaves; nearly uniform,
matching and nearly certain others; two steps taken exactly: .059, .016, .172)

    one step of look-ahead, taken exactly                                        .181  .160  .261
    a single draw an edge, the tree as `mctx` has it    32 simulations           .277  .223  .307   (64: .312 in the first)
    four such trees side by side, Q averaged            4 x 32                   .171  .122  .250
    width=4, draws=1                                    32                       .139  .130  .249
    width=1, draws=4                                    64                       .135  .083  .207
    width=2, draws=4 (the default)                      32                       .102  .101  .185
                                                        64                       .082  .047  .169

With a single draw the tree is that of a world where the others' every move is known beforehand: the search goes where it was lucky,
and more simulations make it worse. Trees side by side average that over luck, but each still spends its simulations on what is best
against moves it knows. (Why draws are also averaged when a node is made: `draws` below.)
"""

from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import mctx as _mctx
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from bestreply.config import PlannerConfig
from bestreply.model.opponent import OpponentModel
from bestreply.model.world import PlanningModel
from bestreply.plan.one_step import one_step, planned_in_chunks
from bestreply.types import ABSENT, Plan

mctx: Any = _mctx  # a static checker can't follow the fields of chex's dataclasses

Tree = Any
"""`mctx.Tree`, of one example: arrays [nodes, edges], edges = A x width."""

NEVER = -1e9
"""The prior logit of an action that is predicted to be illegal; -inf would make NaN of a softmax."""


class Node(eqx.Module):
    """What a node of the tree holds: everything that the next step is predicted from. Arrays alone."""

    z: Any  # the latent, or whatever the world's `encode` gives
    obs: Array  # [*obs_shape], as the world would show it
    legal: Bool[Array, "*B A"]  # own actions predicted to be legal
    present: Bool[Array, "*B N"]  # who is in the game
    belief: Any  # of the opponent model's kind
    start: Float[Array, "*B others"]  # where each other's sequence of draws starts, see `drawn`


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
    width: int = 2,
    draws: int = 4,
    depth: int | None = None,
    reencode: bool = True,
    prior: Array | None = None,
) -> Plan:
    """Scores every candidate action by a tree of `config.simulations` nodes. Arguments and plan of `one_step`, and more arguments.

    For one example; batch with `jax.vmap`, which costs what `mctx`'s own batch does. `action` is Sequential Halving's: the one of
    best score among the most visited. A score that was searched little is closer to its one-step score, which the search lowers on
    average, so that the best of all scores would too often be one that was not looked into.

    Args:
        simulations: nodes in the tree; by default `config.simulations`.
        width: draws of the others' joint action that an edge may hold.
        draws: joint actions averaged when a node is made. Reward, chance to go on and value at the leaf are their mean; the node goes
            on from one of them, drawn by its chance to go on, so that the mean discount times the value further down is unbiased.
            The others are predicted once for all of them, so that 4 cost little more than 1.
        depth: steps that the tree may reach; by default any.
        reencode: read the predicted observation as the world would show it (0/1 entries rounded) and encode it again, so that small
            errors do not add up. Where False the latent goes on as it is.
        prior: [A], logits of own actions at the root, as of a policy; by default all alike. Below the root all legal ones are.
    """
    simulations = config.simulations if simulations is None else simulations
    _check(simulations=simulations, width=width, draws=draws, depth=1 if depth is None else depth)
    prior = jnp.zeros(world.num_actions) if prior is None else jnp.asarray(prior)

    def score(world: Any, opponents: Any, *seen: Any) -> Plan:
        belief, obs, legal, present, prior, key = seen
        plan_key, start_key, key = jax.random.split(key, 3)
        plan = one_step(world, opponents, belief, obs, legal, present, plan_key, gamma=gamma, config=config)
        start = jax.random.uniform(start_key, (len(present) - 1,))
        root = Node(world.encode(obs), obs, legal, present, belief, start)
        expand = partial(_expand, world, opponents, gamma, width, draws, reencode)
        return _read(_grow(expand, root, prior, plan, key, simulations, width, depth), plan, legal, width)

    return planned_in_chunks(score, LEAVES, world, opponents, belief, obs, legal, present, prior, key)


LEAVES = 16
"""What a tree counts as for `planned_in_chunks`, in outcomes; measured."""


def _check(**counts: int) -> None:
    for name, count in counts.items():
        if count < 1:
            raise ValueError(f"search: {name}={count}; wanted: 1 or more")


# -- the model step --------------------------------------------------------------------------------------------


def drawn(
    probs: Float[Array, "others A"], start: Float[Array, " others"], index: Int[Array, ""]
) -> Int[Array, " others"]:
    """Draw number `index` of the others' joint action.

    Each player's distribution is cut at frac(start + index x alpha), with steps alpha of Roberts' generalised golden ratio ("The
    unreasonable effectiveness of quasirandom sequences", 2018). With `start` uniform every draw is right on average, and the first
    few, however many come to be used, are spread evenly over the joint distribution.
    """
    players = len(probs)
    point = (start + index * jnp.asarray(_golden_steps(players))) % 1.0
    edges = jnp.cumsum(probs, 1) / jnp.maximum(probs.sum(1, keepdims=True), 1e-9)
    return jnp.minimum((edges <= point[:, None]).sum(1), probs.shape[1] - 1).astype(jnp.int32)


def _golden_steps(players: int) -> np.ndarray:
    """[players]: phi^-1, phi^-2, ... with phi^(players + 1) = phi + 1, the golden ratio for one player."""
    phi = 2.0
    for _ in range(50):
        phi = (1 + phi) ** (1 / (players + 1))
    return (phi ** -np.arange(1.0, players + 1)).astype(np.float32)


def _expand(
    world: Any,
    opponents: Any,
    gamma: float,
    width: int,
    draws: int,
    reencode: bool,
    key: Array,
    edge: Array,
    node: Node,
) -> tuple[Any, Node]:
    """What comes of `edge` [] (own action x width + number of the draw) at `node`, and the node it leads to."""
    own, place = edge // width, edge % width
    probs = opponents.predict(node.belief, node.obs, node.legal)

    def outcome(index: Array) -> tuple[Any, ...]:
        others = jnp.where(node.present[1:], drawn(probs, node.start, index), ABSENT)
        joint = jnp.concatenate([jnp.reshape(own, (1,)), others])
        belief = opponents.update(node.belief, node.obs, joint, node.present)
        z = world.next(node.z, own, others)
        discount = gamma * jax.nn.sigmoid(world.continues(node.z, own, others))
        worth = world.values_of(z, opponents.posterior(belief)).max()
        return world.reward(node.z, own, others), discount, worth, (z, world.imagine(z), belief)

    reward, discount, worth, after = jax.vmap(outcome)(place * draws + jnp.arange(draws))
    total = discount.sum()
    share = jnp.where(total > 0, discount / jnp.maximum(total, 1e-30), 1 / draws)
    kept_key, start_key = jax.random.split(key)
    kept = jax.random.categorical(kept_key, jnp.log(share)) if draws > 1 else 0
    z, obs, belief = jax.tree.map(lambda x: x[kept], after)
    z = world.encode(obs) if reencode else z
    told = opponents.game.present_in(obs)
    here = node.present if told is None else jnp.asarray(told) & node.present
    start = jax.random.uniform(start_key, node.start.shape)
    made = Node(z, obs, world.allowed(z), here, belief, start)
    output = mctx.RecurrentFnOutput(
        reward=reward.mean(),
        discount=discount.mean(),
        prior_logits=jnp.repeat(jnp.where(made.legal, 0.0, NEVER), width),
        value=share @ worth,
    )
    return output, made


# -- the tree --------------------------------------------------------------------------------------------------


def _grow(
    expand: Any,
    root: Node,
    prior: Array,
    plan: Plan,
    key: Array,
    simulations: int,
    width: int,
    depth: int | None,
) -> Tree:
    """The searched tree of one example. To `mctx` an action is an edge here, A x width of them, and the batch is of one."""
    legal, scores = root.legal, plan.reward + plan.value

    def recurrent(params: Any, key: Array, edge: Array, node: Any) -> Any:
        return jax.vmap(expand)(jax.random.split(key, len(edge)), edge, node)

    def at_root(key: Array, tree: Tree, node: Array) -> Array:
        visits, q = _visits(tree, node, width), scores + _gain(tree, width)
        q = jnp.where(legal, q, jnp.where(legal, q, jnp.inf).min())
        chosen = mctx.gumbel_muzero_root_action_selection(
            key,
            _by_action(tree, node, visits, q, width),
            0,
            num_simulations=simulations,
            max_num_considered_actions=len(legal),
            qtransform=_completed,
        )
        return _edge(chosen, visits[chosen], jnp.float32(width))

    def inside(key: Array, tree: Tree, node: Array, depth: Array) -> Array:
        visits = _visits(tree, node, width)
        q = _mean_open(tree.qvalues(node).reshape(visits.shape), visits)
        view = _by_action(tree, node, visits, q, width)
        chosen = mctx.gumbel_muzero_interior_action_selection(key, view, 0, depth)
        unseen = (visits.sum(1) == 0) & (view.children_prior_logits[0] > NEVER / 2)
        chosen = jnp.where(unseen.any(), jnp.argmax(unseen), chosen)
        return _edge(chosen, visits[chosen], jnp.ceil(jnp.sqrt(visits[chosen].sum() + 1.0)))

    output = mctx.RootFnOutput(
        prior_logits=jnp.repeat(jnp.where(legal, prior, NEVER), width)[None],
        value=jnp.where(legal, scores, -jnp.inf).max()[None],
        embedding=jax.tree.map(lambda x: jnp.asarray(x)[None], root),
    )
    tree = mctx.search(
        None,
        key,
        root=output,
        recurrent_fn=recurrent,
        root_action_selection_fn=at_root,
        interior_action_selection_fn=inside,
        num_simulations=simulations,
        max_depth=depth,
        invalid_actions=jnp.repeat(~legal, width).astype(jnp.float32)[None],
        extra_data=mctx.GumbelMuZeroExtraData(root_gumbel=jnp.zeros((1, len(legal)))),
    )
    return jax.tree.map(lambda x: x[0], tree)


def _read(tree: Tree, plan: Plan, legal: Array, width: int) -> Plan:
    """The one-step plan with what the tree found."""
    gain = _gain(tree, width)
    visits = jnp.where(legal, _visits(tree, 0, width).sum(1), -1)
    scores = jnp.where(legal, plan.reward + plan.value + gain, -jnp.inf)
    action = jnp.argmax(jnp.where(visits == visits.max(), scores, -jnp.inf)).astype(jnp.int32)
    return Plan(scores, plan.reward, plan.value + gain, action, plan.others, plan.belief)


def _visits(tree: Tree, node: Any, width: int) -> Int[Array, "A width"]:
    return tree.children_visits[node].reshape(-1, width)


def _gain(tree: Tree, width: int) -> Float[Array, " A"]:
    """What looking further changed at the root, the mean over each action's open draws."""
    child = jnp.maximum(tree.children_index[0], 0)
    gain = tree.children_discounts[0] * (tree.children_values[0] - tree.raw_values[child])
    return _mean_open(gain.reshape(-1, width), _visits(tree, 0, width))


def _mean_open(x: Float[Array, "A width"], visits: Int[Array, "A width"]) -> Float[Array, " A"]:
    """The mean of `x` over the draws that have been visited; 0 where none has."""
    opened = visits > 0
    return jnp.where(opened, x, 0.0).sum(1) / jnp.maximum(opened.sum(1), 1)


def _edge(own: Array, visits: Int[Array, " width"], room: Array) -> Array:
    """The edge to follow for the own action chosen: a new draw while fewer than `room` are open, else the one tried least."""
    opened, most = (visits > 0).sum(), jnp.iinfo(visits.dtype).max
    least = jnp.argmin(jnp.where(visits > 0, visits, most))
    place = jnp.where(opened < jnp.minimum(room, len(visits)), opened, least)
    return (own * len(visits) + place).astype(jnp.int32)


def _by_action(tree: Tree, node: Any, visits: Array, q: Array, width: int) -> Tree:
    """One node as `mctx` would have it without draws: a tree of that node alone, own actions with their visits and their Q [A]."""
    nothing = jnp.zeros_like(q)[None]
    return tree.replace(
        children_visits=visits.sum(1)[None],
        children_prior_logits=tree.children_prior_logits[node][None, ::width],
        children_rewards=q[None],
        children_discounts=nothing,
        children_values=nothing,
        raw_values=tree.raw_values[node][None],
        root_invalid_actions=tree.root_invalid_actions[::width],
    )


def _completed(view: Tree, node: Any) -> Float[Array, " A"]:
    """sigma(Q) of the root, whose every action has a Q from the start."""
    visits = jnp.maximum(view.children_visits, 1)
    return mctx.qtransform_completed_by_mix_value(view.replace(children_visits=visits), node)
