"""What the value is fitted to: the TD targets of the specification, for batches drawn from a buffer."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from bestreply.config import RunConfig, TrainConfig
from bestreply.data.moa_buffer import BufferState, Index
from bestreply.games.base import Game
from bestreply.model.dreams import ORACLE_FRACTION, Dreamt, own_legal
from bestreply.model.losses import data_target, expected_target
from bestreply.model.opponent import LearnedOpponents, OpponentModel
from bestreply.model.world import PlanningModel, WorldModel
from bestreply.plan.one_step import joint_actions
from bestreply.types import ABSENT, Episodes, Transition, ego_order


class Minds(eqx.Module):
    """What the model of the others makes of logged play, computed once before the value is fitted."""

    beliefs: Float[
        Array, "E T1 N J G"
    ]  # what each seat believes about the J others before each step, and after the last
    ratios: (
        Float[Array, "E T N K"] | None
    )  # pi_k(a_i | o) / the behaviour's probability of a_i, for the player of each value head


class Targets(NamedTuple):
    """What the value is fitted to, for a batch. Heads are players, or one for all."""

    y: Array  # [B, K] float32
    weight: Array  # [B, K] float32: how much this step tells each head
    belief: Array  # [B, N-1, G], at o_t


def value_targets(
    config: RunConfig,
    slow: WorldModel,
    model: LearnedOpponents,
    buffer: BufferState,
    minds: Minds,
    index: Index,
    at: Transition,
    key: Array,
) -> Targets:
    """TD targets for the transitions `at` [B] at `index`, from the slow target network.

    A step counts in full for the head of the player that made it. It also counts `config.train.off_policy` times for every other
    head, one step deep, weighted by how much likelier that head's player was to act so (importance weighting: E over the
    behaviour of ratio * (V - y)^2 is least where V is the expectation of y under the head's own player).
    """
    heads = slow.value_scale.shape[0]
    head = at.player[:, 0] if config.model.value_heads == "player" else jnp.zeros_like(at.seat)
    own = jax.nn.one_hot(head, heads)
    belief = minds.beliefs[index]
    if config.train.target == "expected":
        y = _expected(config, slow, model, at, belief, head, key)
        return Targets(jnp.broadcast_to(y[:, None], own.shape), own, belief)

    def bootstrapped(n_step: int) -> Array:
        reward, discount, end = n_step_return(config.train, buffer.episodes, index, n_step)
        row, _, seat = index
        obs = buffer.episodes.obs[row, end, seat]
        value = jax.vmap(lambda o, b: slow.value(slow.encode(o), o, b))(obs, minds.beliefs[row, end, seat])
        return data_target(reward[:, None], discount[:, None], value)

    y = bootstrapped(config.train.n_step)
    if minds.ratios is None:
        return Targets(y, own, belief)
    weight = jnp.where(own > 0, 1.0, config.train.off_policy * minds.ratios[index])
    return Targets(y if config.train.n_step == 1 else jnp.where(own > 0, y, bootstrapped(1)), weight, belief)


def n_step_return(
    config: TrainConfig, episodes: Episodes, index: Index, n_step: int
) -> tuple[Array, Array, Array]:
    """Discounted rewards of up to n steps of the seat's own episode, the discount of what follows, and the step that follows [B].

    The discount is gamma^m (1 - terminated): a step limit ends nothing, unless `config.at_limit` says so.
    """
    row, t, seat = index
    steps = jnp.asarray(t)[:, None] + jnp.arange(n_step)  # [B, n]
    inside = steps < episodes.action.shape[1]
    steps = jnp.minimum(steps, episodes.action.shape[1] - 1)
    acted = (episodes.action[row[:, None], steps, seat[:, None]] != ABSENT) & inside
    rewards = jnp.where(acted, episodes.reward[row[:, None], steps, seat[:, None]], 0.0)
    total = (rewards * config.gamma ** jnp.arange(n_step)).sum(1)
    count = acted.sum(1)
    last = t + count - 1
    goes_on = ~jnp.asarray(episodes.terminated)[row, last, seat]
    if config.at_limit == "zero":
        goes_on &= ~jnp.asarray(episodes.truncated)[row, last]
    return total, goes_on * config.gamma**count, t + count


def _expected(
    config: RunConfig,
    slow: WorldModel,
    model: LearnedOpponents,
    at: Transition,
    belief: Array,
    head: Array,
    key: Array,
) -> Array:
    """[B]: `expected_target` for the head of the player that acted."""
    goes_on = ~at.terminated
    if config.train.at_limit == "zero":
        goes_on &= ~at.truncated

    def one(at: Transition, belief: Array, head: Array, goes_on: Array, key: Array) -> Array:
        probs = model.predict(belief, at.obs, at.legal)
        joint, weights = joint_actions(probs, at.present[1:], key, config.planner)

        def believed(others: Array) -> Array:
            return model.posterior(
                model.update(belief, at.obs, jnp.concatenate([at.action[None], others]), at.present)
            )

        moved = jax.vmap(believed)(joint)
        return expected_target(slow, at, joint, weights, moved, head, goes_on * config.train.gamma)

    return jax.vmap(one)(at, belief, head, goes_on, jax.random.split(key, len(head)))


def improved_target(
    config: TrainConfig, world: PlanningModel, slow: PlanningModel, game: Game, step: Dreamt
) -> Array:
    """y = r_t + gamma (1 - done) Q_slow(o_{t+1}, b_{t+1}, a*), a* = argmax over legal a of Q(o_{t+1}, b_{t+1}, a).

    The online network chooses and the slow one judges, so that a slip of one is not taken for a gain (van Hasselt et al., Deep
    Reinforcement Learning with Double Q-learning, 2016).
    """
    obs, belief = step.next_obs, step.next_belief
    z = world.encode(obs)
    chosen = jnp.argmax(jnp.where(own_legal(world, game, obs), world.value(z, obs, belief), -jnp.inf))
    return data_target(step.reward, config.gamma * step.goes_on, slow.value(z, obs, belief)[chosen])


def logged_steps(
    config: TrainConfig, minds: Minds, at: Transition, index: Index, truth: Array | None, key: Array
) -> Dreamt:
    """Logged transitions [B] in the shape of imagined ones; in `ORACLE_FRACTION` of them the agent is given the opponents' true
    goals or types `truth` [B, N-1]; where it is None, what was believed of them at the end."""
    told = jax.random.bernoulli(key, ORACLE_FRACTION, at.seat.shape)
    row, step, seat = index
    certain = (
        minds.beliefs[row, -1, seat] if truth is None else jax.nn.one_hot(truth, minds.beliefs.shape[-1])
    )

    def believed(step: Array) -> Array:
        return jnp.where(told[:, None, None], certain, minds.beliefs[row, step, seat])

    ends = jnp.asarray(at.terminated) | (jnp.asarray(at.truncated) & (config.at_limit == "zero"))
    goes_on = (~ends).astype(jnp.float32)
    return Dreamt(at.obs, believed(step), at.action, at.reward, goes_on, at.next_obs, believed(step + 1))


# -- what the model of the others makes of logged play -------------------------------------------------------------------------


@jax.jit
def follow_beliefs(model: OpponentModel, episodes: Episodes) -> Array:
    """[E, T+1, N, N-1, G]: what every seat believes about the others before each step of every episode."""
    return follow(model, episodes, lambda belief, obs, legal: model.posterior(belief))


@jax.jit
def follow_predictions(model: OpponentModel, episodes: Episodes) -> Array:
    """[E, T, N, N-1, A]: with which probabilities every seat expects each action of the others, before each step of every episode."""
    return follow(model, episodes, model.predict)[:, :-1]


def follow(model: OpponentModel, episodes: Episodes, tell: Callable[[Any, Array, Array], Array]) -> Array:
    """[E, T+1, N, ...]: what `tell(belief, obs, legal)` makes of every seat's belief before each step, and after the last."""
    order = jnp.asarray(ego_order(episodes.action.shape[2]))

    def seat(obs: Array, legal: Array, action: Array, present: Array, ego: Array) -> Array:
        def step(belief: Any, at: tuple[Array, Array, Array, Array]) -> tuple[Any, Array]:
            o, m, a, p = at
            return model.update(belief, o[ego[0]], a[ego], p[ego]), tell(belief, o[ego[0]], m[ego[0]])

        last, before = jax.lax.scan(step, model.init(), (obs[:-1], legal[:-1], action, present[:-1]))
        return jnp.concatenate([before, tell(last, obs[-1, ego[0]], legal[-1, ego[0]])[None]])

    def episode(args: tuple[Array, ...]) -> Array:
        return jax.vmap(partial(seat, *args))(order).swapaxes(0, 1)

    played = episodes.obs, episodes.legal, episodes.action, episodes.present
    return jax.lax.map(episode, played, batch_size=256)


@jax.jit
def policy_ratios(model: LearnedOpponents, episodes: Episodes, most: Array | float) -> Array | None:
    """[E, T, N, G]: pi_hat_g(a_i | o) / the behaviour's logged probability, at most `most`; 0 where that is not known.

    None where the game does not tell what others see: then the model of the others has not learned to act from one's own view.
    """
    if jax.eval_shape(model.own_logits, episodes.obs[0, 0, 0]) is None:
        return None

    def step(args: tuple[Array, Array, Array]) -> Array:
        obs, action, prob = args
        logits = model.own_logits(obs)
        assert logits is not None
        likely = jnp.exp(logits[:, jnp.maximum(action, 0)])
        return jnp.where((action != ABSENT) & (prob > 0), jnp.minimum(likely / prob, most), 0.0)

    def episode(args: tuple[Array, Array, Array]) -> Array:
        return jax.vmap(jax.vmap(lambda *x: step(x)))(*args)

    return jax.lax.map(episode, (episodes.obs[:, :-1], episodes.action, episodes.prob), batch_size=256)
