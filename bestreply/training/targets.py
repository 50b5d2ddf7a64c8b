"""What the value is fitted to: the TD targets of the specification, for batches drawn from a buffer."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from bestreply.config import RunConfig, TrainConfig
from bestreply.games.base import Game
from bestreply.models.world_model import PlanningModel, WorldModel
from bestreply.opponents.joint_actions import joint_actions
from bestreply.opponents.learned import LearnedOpponents
from bestreply.replay.moa_buffer import BufferState, Index
from bestreply.training.imagination import (
    ORACLE_FRACTION,
    ImaginedTransition,
    own_legal,
)
from bestreply.training.losses import data_target, expected_target
from bestreply.types import ABSENT, Episodes, Transition


class LoggedBeliefs(eqx.Module):
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
    target_net: WorldModel,
    model: LearnedOpponents,
    buffer: BufferState,
    logged_beliefs: LoggedBeliefs,
    index: Index,
    at: Transition,
    key: Array,
) -> Targets:
    """TD targets for the transitions `at` [B] at `index`, from the target_net target network.

    A step counts in full for the head of the player that made it. It also counts `config.train.off_policy` times for every other
    head, one step deep, weighted by how much likelier that head's player was to act so (importance weighting: E over the
    behaviour of ratio * (V - y)^2 is least where V is the expectation of y under the head's own player).
    """
    heads = target_net.value_scale.shape[0]
    head = (
        at.player[:, 0]
        if config.model.value_heads == "player"
        else jnp.zeros_like(at.seat)
    )
    own = jax.nn.one_hot(head, heads)
    belief = logged_beliefs.beliefs[index]
    if config.train.target == "expected":
        y = _expected(config, target_net, model, at, belief, head, key)
        return Targets(jnp.broadcast_to(y[:, None], own.shape), own, belief)

    def bootstrapped(n_step: int) -> Array:
        reward, discount, end = n_step_return(
            config.train, buffer.episodes, index, n_step
        )
        row, _, seat = index
        obs = buffer.episodes.obs[row, end, seat]
        value = jax.vmap(
            lambda o, b: target_net.value(target_net.encode(o), o, b)
        )(obs, logged_beliefs.beliefs[row, end, seat])
        return data_target(reward[:, None], discount[:, None], value)

    y = bootstrapped(config.train.n_step)
    if logged_beliefs.ratios is None:
        return Targets(y, own, belief)
    weight = jnp.where(
        own > 0, 1.0, config.train.off_policy * logged_beliefs.ratios[index]
    )
    return Targets(
        y
        if config.train.n_step == 1
        else jnp.where(own > 0, y, bootstrapped(1)),
        weight,
        belief,
    )


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
    acted = (
        episodes.action[row[:, None], steps, seat[:, None]] != ABSENT
    ) & inside
    rewards = jnp.where(
        acted, episodes.reward[row[:, None], steps, seat[:, None]], 0.0
    )
    total = (rewards * config.gamma ** jnp.arange(n_step)).sum(1)
    count = acted.sum(1)
    last = t + count - 1
    goes_on = ~jnp.asarray(episodes.terminated)[row, last, seat]
    if config.at_limit == "zero":
        goes_on &= ~jnp.asarray(episodes.truncated)[row, last]
    return total, goes_on * config.gamma**count, t + count


def _expected(
    config: RunConfig,
    target_net: WorldModel,
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

    def one(
        at: Transition, belief: Array, head: Array, goes_on: Array, key: Array
    ) -> Array:
        probs = model.predict(belief, at.obs, at.legal)
        joint, weights = joint_actions(
            probs, at.present[1:], key, config.planner
        )

        def believed(others: Array) -> Array:
            return model.posterior(
                model.update(
                    belief,
                    at.obs,
                    jnp.concatenate([at.action[None], others]),
                    at.present,
                )
            )

        moved = jax.vmap(believed)(joint)
        return expected_target(
            target_net,
            at,
            joint,
            weights,
            moved,
            head,
            goes_on * config.train.gamma,
        )

    return jax.vmap(one)(
        at, belief, head, goes_on, jax.random.split(key, len(head))
    )


def improved_target(
    config: TrainConfig,
    world: PlanningModel,
    target_net: PlanningModel,
    game: Game,
    step: ImaginedTransition,
) -> Array:
    """y = r_t + gamma (1 - done) Q_slow(o_{t+1}, b_{t+1}, a*), a* = argmax over legal a of Q(o_{t+1}, b_{t+1}, a).

    The online network chooses and the target_net one judges, so that a slip of one is not taken for a gain (van Hasselt et al., Deep
    Reinforcement Learning with Double Q-learning, 2016).
    """
    obs, belief = step.next_obs, step.next_belief
    z = world.encode(obs)
    chosen = jnp.argmax(
        jnp.where(
            own_legal(world, game, obs), world.value(z, obs, belief), -jnp.inf
        )
    )
    return data_target(
        step.reward,
        config.gamma * step.goes_on,
        target_net.value(z, obs, belief)[chosen],
    )


def logged_steps(
    config: TrainConfig,
    logged_beliefs: LoggedBeliefs,
    at: Transition,
    index: Index,
    truth: Array | None,
    key: Array,
) -> ImaginedTransition:
    """Logged transitions [B] in the shape of imagined ones; in `ORACLE_FRACTION` of them the agent is given the opponents' true
    goals or types `truth` [B, N-1]; where it is None, what was believed of them at the end."""
    told = jax.random.bernoulli(key, ORACLE_FRACTION, at.seat.shape)
    row, step, seat = index
    certain = (
        logged_beliefs.beliefs[row, -1, seat]
        if truth is None
        else jax.nn.one_hot(truth, logged_beliefs.beliefs.shape[-1])
    )

    def believed(step: Array) -> Array:
        return jnp.where(
            told[:, None, None],
            certain,
            logged_beliefs.beliefs[row, step, seat],
        )

    ends = jnp.asarray(at.terminated) | (
        jnp.asarray(at.truncated) & (config.at_limit == "zero")
    )
    goes_on = (~ends).astype(jnp.float32)
    return ImaginedTransition(
        at.obs,
        believed(step),
        at.action,
        at.reward,
        goes_on,
        at.next_obs,
        believed(step + 1),
    )


# -- what the model of the others makes of logged play -------------------------------------------------------------------------
