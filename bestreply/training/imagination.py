"""Imagined play: the learned world model and the learned others stand in for the game, and the planner's own choices are tried out.

Values of the best action, learned from logged play alone, are too high wherever a slip of the network looks good and nobody ever
went to see. Here the agent goes and sees, in a model that is cheap to play (Sutton, Dyna, 1991; Janner et al., When to Trust Your
Model, 2019; Hafner et al., Dreamer, 2020).
"""

import dataclasses
from functools import partial
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array

from bestreply.config import TrainConfig
from bestreply.games.base import Game
from bestreply.models.world_model import PlanningModel
from bestreply.opponents.learned import LearnedOpponents
from bestreply.players.base import draw, uniform
from bestreply.replay.moa_buffer import BufferState
from bestreply.types import ABSENT

ORACLE_FRACTION = 0.5
"""Fraction of imagined games and logged steps in which the value is given the opponents' true types instead of the belief."""
MAX_EXPLORATION = 0.4
"""Largest probability that an imagined game tries a uniform action; each game draws a rate from a hundredth of it to all of it."""


class ImaginedState(eqx.Module):
    """One imagined game, at one step, as its focal seat sees it; batched outside."""

    obs: Array  # [*obs_shape]
    present: Array  # [N] bool, ego first
    truth: Array  # [N-1] int32, the goals or types that the others really have
    told: Array  # [] bool: in this game the agent is told the truth
    belief: Array  # [N-1, G]
    explore: (
        Array  # [] float32, how often a uniform action is tried in this game
    )


class ImaginedTransition(NamedTuple):
    """One imagined step."""

    obs: Array  # [*obs_shape]
    belief: Array  # [N-1, G], at `obs`
    action: Array  # [] int32
    reward: Array  # []
    goes_on: Array  # [] float32, 0 or 1
    next_obs: Array  # [*obs_shape]
    next_belief: Array  # [N-1, G]


def begin(
    config: TrainConfig,
    model: LearnedOpponents,
    buffer: BufferState,
    key: Array,
) -> ImaginedState:
    """A game from the first observation of a random logged episode and seat, among others drawn from the prior.

    In half of the games all others are of one type: such company is rare where each is drawn alone, and often what is asked about.
    """
    row_key, seat_key, truth_key, alike_key, told_key, explore_key = (
        jax.random.split(key, 6)
    )
    episodes: Any = buffer.episodes
    rows, _, seats = episodes.action.shape
    count = jnp.minimum(buffer.added, rows)  # the rest of them are empty
    row, seat = (
        jax.random.randint(row_key, (), 0, count),
        jax.random.randint(seat_key, (), 0, seats),
    )
    keys = jax.random.split(truth_key, seats - 1)
    truth = jax.vmap(lambda k: draw(k, model.prior))(keys)
    truth = jnp.where(jax.random.bernoulli(alike_key), truth[:1], truth)
    told = jax.random.bernoulli(told_key, ORACLE_FRACTION)
    return ImaginedState(
        obs=episodes.obs[row, 0, seat],
        present=jnp.ones(seats, bool),
        truth=truth,
        told=told,
        belief=jnp.where(
            told, jax.nn.one_hot(truth, model.goals), model.init()
        ),
        explore=MAX_EXPLORATION
        * 10.0 ** (-2 * jax.random.uniform(explore_key)),
    )


def dream_on(
    world: PlanningModel,
    model: LearnedOpponents,
    dream: ImaginedState,
    key: Array,
    change_rate: float = 0.0,
) -> tuple[ImaginedState, ImaginedTransition]:
    """One step of an imagined game: the agent takes its best action or tries another, the others act as their types do.

    Where nobody told the agent who they are, each of the others becomes another with probability `change_rate` before it acts.
    """
    own_key, try_key, others_key, end_key = jax.random.split(key, 4)
    if change_rate:
        dream = resample_types(
            model, dream, jax.random.fold_in(key, 4), change_rate
        )
    z, mask = world.encode(dream.obs), own_legal(world, model.game, dream.obs)
    believed = model.posterior(dream.belief)
    values = jnp.where(mask, world.value(z, dream.obs, believed), -jnp.inf)
    tried = jax.random.bernoulli(try_key, dream.explore)
    action = jnp.where(
        tried, draw(own_key, uniform(mask)), jnp.argmax(values)
    ).astype(jnp.int32)
    others = act_as(model, dream, others_key)
    goes_on = jax.random.bernoulli(
        end_key, jax.nn.sigmoid(world.continues(z, action, others))
    )
    seen = world.imagine(world.next(z, action, others))
    moved = model.update(
        dream.belief,
        dream.obs,
        jnp.concatenate([action[None], others]),
        dream.present,
    )
    belief = jnp.where(dream.told, dream.belief, moved)
    reward, goes_on = (
        world.reward(z, action, others),
        goes_on.astype(jnp.float32),
    )
    step = ImaginedTransition(
        dream.obs,
        believed,
        action,
        reward,
        goes_on,
        seen,
        model.posterior(belief),
    )
    told = model.game.present_in(seen)
    present = (
        dream.present if told is None else dream.present & jnp.asarray(told)
    )
    return eqx.tree_at(
        lambda d: (d.obs, d.belief, d.present), dream, (seen, belief, present)
    ), step


def resample_types(
    model: LearnedOpponents,
    dream: ImaginedState,
    key: Array,
    change_rate: float,
) -> ImaginedState:
    """Some of the others are of another type from now on, drawn from the prior."""
    when_key, what_key = jax.random.split(key)
    moved = (
        jax.random.bernoulli(when_key, change_rate, dream.truth.shape)
        & ~dream.told
    )
    other = jax.vmap(lambda k: draw(k, model.prior))(
        jax.random.split(what_key, len(dream.truth))
    )
    return eqx.tree_at(
        lambda d: d.truth, dream, jnp.where(moved, other, dream.truth)
    )


def own_legal(world: PlanningModel, game: Game, obs: Array) -> Array:
    """[A] bool: the actions that an observation shows to be legal, or else those predicted to be."""
    told = game.legal_in(obs)
    return (
        world.allowed(world.encode(obs)) if told is None else jnp.asarray(told)
    )


def act_as(model: LearnedOpponents, dream: ImaginedState, key: Array) -> Array:
    """[N-1] int32: what others of the types `dream.truth` do; ABSENT for a seat that has left."""
    logits = model.logits(dream.obs)[jnp.arange(len(dream.truth)), dream.truth]
    drawn = jax.vmap(jax.random.categorical)(
        jax.random.split(key, len(logits)), logits
    )
    return jnp.where(dream.present[1:], drawn, ABSENT).astype(jnp.int32)


def no_imagined_games(
    config: TrainConfig, game: Game, goals: int
) -> ImaginedState:
    """[D, ...] games that have not begun."""
    others, count = game.num_players - 1, config.imagined_games
    return ImaginedState(
        obs=jnp.zeros((count, *game.obs_shape)),
        present=jnp.ones((count, others + 1), bool),
        truth=jnp.zeros((count, others), jnp.int32),
        told=jnp.zeros(count, bool),
        belief=jnp.zeros((count, others, goals)),
        explore=jnp.zeros(count),
    )


@partial(jax.jit, static_argnames=("config", "count"))
def imagine_starts(
    config: TrainConfig,
    model: LearnedOpponents,
    buffer: BufferState,
    key: Array,
    count: int,
) -> ImaginedState:
    """[count, ...] games."""
    return jax.vmap(partial(begin, config, model, buffer))(
        jax.random.split(key, count)
    )


def dream_batch(
    config: TrainConfig,
    world: PlanningModel,
    model: LearnedOpponents,
    buffer: BufferState,
    imagined_games: ImaginedState,
    key: Array,
) -> tuple[ImaginedState, ImaginedTransition]:
    """One step of many games [D, ...]; a game that has ended begins anew."""
    step_key, begin_key = jax.random.split(key)
    count = len(imagined_games.explore)
    if config.change_rate:  # the belief expects it too
        model = dataclasses.replace(
            model, prior_mixing=max(model.prior_mixing, config.change_rate)
        )
    play_on = partial(dream_on, world, model, change_rate=config.change_rate)
    after, steps = jax.vmap(play_on)(
        imagined_games, jax.random.split(step_key, count)
    )
    fresh = imagine_starts(config, model, buffer, begin_key, count)

    def choose(new: Array, old: Array) -> Array:
        return jnp.where(
            jnp.reshape(steps.goes_on, (-1, *(1,) * (new.ndim - 1))) > 0,
            old,
            new,
        )

    return jax.tree.map(choose, fresh, after), steps
