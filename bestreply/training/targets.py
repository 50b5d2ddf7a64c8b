"""TD targets of the value, for batches drawn from a buffer."""

from functools import partial
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key

from bestreply.config import RunConfig, TrainConfig
from bestreply.games.base import Game
from bestreply.games.seats import role_of_seat
from bestreply.models.base import Latent, PlanningModel
from bestreply.models.world_model import NO_VALUE, WorldModel
from bestreply.opponents.joint_actions import joint_actions
from bestreply.opponents.learned import LearnedOpponents
from bestreply.replay.moa_buffer import BufferState, Index, gather
from bestreply.training.imagination import (
    ORACLE_FRACTION,
    ImaginedTransition,
    own_legal,
)
from bestreply.training.losses import data_target, expected_target
from bestreply.types import ABSENT, Episodes, Transition, obs_at


class LoggedBeliefs(eqx.Module):
    """Beliefs and importance ratios of logged play, computed once before the value is trained."""

    beliefs: Float[Array, "E T1 N J G"]
    """Belief of each seat about its J opponents before each step and after the last."""
    ratios: Float[Array, "E T N K"] | None
    """pi_k(a_i | o) / probability of a_i under the behaviour, for the player of each head."""


class Targets(NamedTuple):
    """Targets of a batch for K value heads: one for each player, or one for all."""

    y: Array  # [B, K] float32
    weight: Array  # [B, K] float32, weight of the step in each head's loss
    belief: Array  # [B, N-1, G], at o_t


def value_targets(
    config: RunConfig,
    target_net: WorldModel,
    model: LearnedOpponents,
    buffer: BufferState,
    logged_beliefs: LoggedBeliefs,
    index: Index,
    at: Transition,
    key: Key[Array, ""],
) -> Targets:
    """Return the TD targets of logged transitions.

    A step has weight 1 for the head of the player that made it. For every other head it
    has a one-step target, with weight `config.train.off_policy` times the importance
    ratio of its action: E over the behaviour of ratio * (V - y)^2 is smallest where V is
    the expectation of y under the player of the head.

    Args:
        config: configuration of the run.
        target_net: the target network.
        model: the opponent model, for `train.target="expected"`.
        buffer: the training episodes.
        logged_beliefs: beliefs and ratios of these episodes.
        index: place of B transitions in the buffer.
        at: the transitions [B, ...].
        key: key of the random draws, for joint actions that are sampled.

    Returns:
        Targets, weights and beliefs of the batch.
    """
    heads = target_net.heads
    head = jnp.zeros_like(at.seat)
    if config.model.value_heads == "player":
        head = at.player[:, 0]
    own = jax.nn.one_hot(head, heads)
    belief = logged_beliefs.beliefs[index]
    if config.train.target == "expected":
        z = logged_latents(target_net, buffer.episodes, index)
        y = _expected(config, target_net, model, at, z, belief, head, key)
        return Targets(jnp.broadcast_to(y[:, None], own.shape), own, belief)

    def bootstrapped(n_step: int) -> Float[Array, "B K"]:
        reward, discount, end = n_step_return(
            config.train, buffer.episodes, index, n_step
        )
        row, _, seat = index
        obs = obs_at(buffer.episodes.obs, (row, end, seat))
        z = logged_latents(target_net, buffer.episodes, Index(row, end, seat))
        value = jax.vmap(target_net.value)(
            z, obs, logged_beliefs.beliefs[row, end, seat]
        )
        return data_target(reward[:, None], discount[:, None], value)

    y = bootstrapped(config.train.n_step)
    if logged_beliefs.ratios is None:
        return Targets(y, own, belief)
    ratio = logged_beliefs.ratios[index]
    if target_net.seats:  # without play in a role, no value to learn
        ratio = ratio * _has_play(target_net, at.seat)
    weight = jnp.where(own > 0, 1.0, config.train.off_policy * ratio)
    if config.train.n_step > 1:
        y = jnp.where(own > 0, y, bootstrapped(1))
    return Targets(y, weight, belief)


def history_steps(world: WorldModel) -> int:
    """Return the number of steps before a logged one that its latent depends on.

    Args:
        world: the world model.
    """
    return 0 if world.memory is None else world.config.context


def logged_latents(
    world: WorldModel, episodes: Episodes, index: Index
) -> Latent:
    """Return the latents of logged observations, an episode's last ones included.

    Args:
        world: the world model.
        episodes: logged play.
        index: places of B observations.

    Returns:
        Their latents [B, ...].
    """
    row, step, seat = index
    obs = obs_at(episodes.obs, (row, step, seat))
    if world.memory is None:
        return jax.vmap(world.encode)(obs)
    steps = step[:, None] + jnp.arange(-history_steps(world), 0)
    at = row[:, None], jnp.maximum(steps, 0), seat[:, None]
    history = obs_at(episodes.obs, at), episodes.action[at], steps >= 0

    def one(obs: Array, history: tuple[Array, Array, Array]) -> Array:
        return world.observe(world.recall(*history), obs)[1]

    return jax.vmap(one)(obs, history)


def with_history(buffer: BufferState, index: Index, history: int) -> Transition:
    """Return logged steps, each with those before it in its episode.

    Args:
        buffer: logged play.
        index: places of B steps.
        history: number of steps before.

    Returns:
        Windows [B, history + 1]; before the episode's start its first step, with
        `valid` False.
    """
    step = index.step[:, None] + jnp.arange(-history, 1)
    spread = Index(*(jnp.broadcast_to(x[:, None], step.shape) for x in index))
    steps = gather(buffer, spread._replace(step=jnp.maximum(step, 0)))
    return eqx.tree_at(lambda x: x.valid, steps, step >= 0)


def _has_play(
    target_net: WorldModel, seat: Int[Array, " B"]
) -> Bool[Array, "B K"]:
    """Return the heads that have logged play in the roles of seats."""
    mean = target_net.value_mean.reshape(-1, target_net.heads)
    return mean[jnp.asarray(role_of_seat(target_net.game))[seat]] != NO_VALUE


@partial(jax.jit, static_argnames=("config", "n_step"))
def n_step_return(
    config: TrainConfig, episodes: Episodes, index: Index, n_step: int
) -> tuple[Float[Array, " B"], Float[Array, " B"], Int[Array, " B"]]:
    """Return the discounted reward of up to n steps, and the discount of the next value.

    The discount is gamma^m (1 - terminated) after m steps of the seat's own episode. A
    step limit does not end the return, unless `config.at_limit` is "zero".

    Args:
        config: its `gamma` and `at_limit` are read.
        episodes: E logged episodes of T steps.
        index: place of B steps.
        n_step: number of steps n.

    Returns:
        The discounted reward, the discount, and the step that follows.
    """
    row, t, seat = index
    steps = t[:, None] + jnp.arange(n_step)  # [B, n]
    last_step = episodes.action.shape[1] - 1
    at = row[:, None], jnp.minimum(steps, last_step), seat[:, None]
    acted = (episodes.action[at] != ABSENT) & (steps <= last_step)
    rewards = jnp.where(acted, episodes.reward[at], 0.0)
    total = (rewards * config.gamma ** jnp.arange(n_step)).sum(1)
    count = acted.sum(1)
    last = t + count - 1
    continues = ~episodes.terminated[row, last, seat]
    if config.at_limit == "zero":
        continues &= ~episodes.truncated[row, last]
    return total, continues * config.gamma**count, t + count


def _expected(
    config: RunConfig,
    target_net: WorldModel,
    model: LearnedOpponents,
    at: Transition,
    z: Latent,
    belief: Float[Array, "B J G"],
    head: Int[Array, " B"],
    key: Key[Array, ""],
) -> Float[Array, " B"]:
    """Return `expected_target` for the head of the player that acted."""
    continues = _continues(config.train, at)

    def one(
        at: Transition,
        z: Float[Array, " Z"],
        belief: Float[Array, "J G"],
        head: Int[Array, ""],
        continues: Bool[Array, ""],
        key: Key[Array, ""],
    ) -> Float[Array, ""]:
        probs = model.predict(belief, at.obs, at.legal)
        joint, weights = joint_actions(
            probs, at.present[1:], key, config.planner
        )

        def next_belief(others: Int[Array, " J"]) -> Float[Array, "J G"]:
            actions = jnp.concatenate([at.action[None], others])
            updated = model.update(belief, at.obs, actions, at.present)
            return model.posterior(updated)

        beliefs = jax.vmap(next_belief)(joint)
        discount = continues * config.train.gamma
        return expected_target(
            target_net, at, joint, weights, beliefs, head, discount, z
        )

    keys = jax.random.split(key, len(head))
    return jax.vmap(one)(at, z, belief, head, continues, keys)


def _continues(config: TrainConfig, at: Transition) -> Bool[Array, " B"]:
    """Return whether a value follows each transition."""
    continues = ~jnp.asarray(at.terminated)
    if config.at_limit == "zero":
        continues &= ~jnp.asarray(at.truncated)
    return continues


def improved_target(
    config: TrainConfig,
    world: PlanningModel,
    target_net: PlanningModel,
    game: Game,
    step: ImaginedTransition,
) -> Float[Array, ""]:
    """Return the target of action values: the value of the best action at the next step.

    y = r_t + gamma (1 - done) Q_target(o_{t+1}, b_{t+1}, a*),
    a* = argmax over legal a of Q(o_{t+1}, b_{t+1}, a).

    The online network selects the action and the target network values it, against
    overestimation (van Hasselt et al., Deep Reinforcement Learning with Double
    Q-learning, 2016).

    Args:
        config: its `gamma` is read.
        world: the online network.
        target_net: the target network.
        game: the game.
        step: one logged or imagined step.

    Returns:
        The target y.
    """
    obs, belief = step.next_obs, step.next_belief
    z = world.encode(obs)
    legal = own_legal(world, game, obs)
    best = jnp.argmax(jnp.where(legal, world.value(z, obs, belief), -jnp.inf))
    return data_target(
        step.reward,
        config.gamma * step.continues,
        target_net.value(z, obs, belief)[best],
    )


def logged_steps(
    config: TrainConfig,
    logged_beliefs: LoggedBeliefs,
    at: Transition,
    index: Index,
    types: Int[Array, "B J"] | None,
    key: Key[Array, ""],
) -> ImaginedTransition:
    """Return logged transitions in the form of imagined ones.

    In `ORACLE_FRACTION` of them the belief is the opponents' true types.

    Args:
        config: its `at_limit` is read.
        logged_beliefs: beliefs of the logged episodes.
        at: the transitions [B, ...].
        index: place of the transitions.
        types: the opponents' true types; None where no log holds them: the belief at
            the end of the episode takes their place.
        key: key of the random draws.

    Returns:
        The transitions [B, ...].
    """
    given = jax.random.bernoulli(key, ORACLE_FRACTION, at.seat.shape)
    row, step, seat = index
    if types is None:
        certain = logged_beliefs.beliefs[row, -1, seat]
    else:
        certain = jax.nn.one_hot(types, logged_beliefs.beliefs.shape[-1])

    def belief(step: Int[Array, " B"]) -> Float[Array, "B J G"]:
        logged = logged_beliefs.beliefs[row, step, seat]
        return jnp.where(given[:, None, None], certain, logged)

    return ImaginedTransition(
        obs=at.obs,
        belief=belief(step),
        action=at.action,
        reward=at.reward,
        continues=_continues(config, at).astype(jnp.float32),
        next_obs=at.next_obs,
        next_belief=belief(step + 1),
    )
