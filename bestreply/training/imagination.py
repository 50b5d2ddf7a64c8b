"""Imagined games: the learned world model and opponent model in place of the game.

Values of the best action that are learned from logged play alone are overestimated off
the data. In imagined games the agent follows its own values, and their errors are
corrected by what the models predict (Sutton, Dyna, 1991; Janner et al., When to Trust
Your Model, 2019; Hafner et al., Dreamer, 2020).
"""

import dataclasses
from functools import partial
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int32, Key, Shaped

from bestreply.config import TrainConfig
from bestreply.games.base import Game
from bestreply.models.base import PlanningModel
from bestreply.opponents.learned import LearnedOpponents
from bestreply.players.base import draw, uniform
from bestreply.replay.moa_buffer import BufferState
from bestreply.types import ABSENT, ego_order, obs_at

ORACLE_FRACTION = 0.5
"""Fraction of imagined games and logged steps in which the value is given the opponents'
true types instead of the belief."""
MAX_EXPLORATION = 0.4
"""Largest probability of a uniform action in an imagined game; each game draws its rate
between a hundredth of it and all of it, uniformly in the logarithm."""


class ImaginedState(eqx.Module):
    """One imagined game at one step, seen from the focal seat; batched outside."""

    obs: Array  # [*obs_shape]
    present: Array  # [N] bool, ego first
    types: Array  # [N-1] int32, the opponents' true types
    types_given: Array  # [] bool: the belief is the true types
    belief: Array  # [N-1, G]
    exploration: Array  # [] float32, probability of a uniform action


class ImaginedTransition(NamedTuple):
    """One imagined step; batched outside."""

    obs: Array  # [*obs_shape]
    belief: Array  # [N-1, G], at `obs`
    action: Array  # [] int32
    reward: Array  # []
    continues: Array  # [] float32, 0 or 1
    next_obs: Array  # [*obs_shape]
    next_belief: Array  # [N-1, G]


def start_imagined_game(
    config: TrainConfig,
    model: LearnedOpponents,
    buffer: BufferState,
    key: Key[Array, ""],
) -> ImaginedState:
    """Return a game that starts at a random logged first observation.

    Opponents' types are drawn from the prior. In half of the games all opponents have
    one type: such groups are rare where each type is drawn alone.

    Args:
        config: settings of training.
        model: the opponent model; its prior is drawn from.
        buffer: logged episodes.
        key: key of the random draws.

    Returns:
        The game at its first step.
    """
    row_key, seat_key, types_key, one_type_key, given_key, exploration_key = (
        jax.random.split(key, 6)
    )
    episodes = buffer.episodes
    rows, _, seats = episodes.action.shape
    filled = jnp.minimum(buffer.added, rows)
    row = jax.random.randint(row_key, (), 0, filled)
    seat = jax.random.randint(seat_key, (), 0, seats)
    joined = jnp.asarray(episodes.present)[row, 0]
    turn = (seat + jnp.arange(seats)) % seats
    seat = turn[jnp.argmax(joined[turn])]  # the next one that is not empty
    types = _draw_types(model, types_key, seats - 1)
    types = jnp.where(jax.random.bernoulli(one_type_key), types[:1], types)
    given = jax.random.bernoulli(given_key, ORACLE_FRACTION)
    certain = jax.nn.one_hot(types, model.goals)
    exponent = -2 * jax.random.uniform(exploration_key)
    return ImaginedState(
        obs=obs_at(episodes.obs, (row, 0, seat)),
        present=joined[jnp.asarray(ego_order(seats))[seat]],
        types=types,
        types_given=given,
        belief=jnp.where(given, certain, model.init()),
        exploration=MAX_EXPLORATION * 10.0**exponent,
    )


def _draw_types(
    model: LearnedOpponents, key: Key[Array, ""], opponents: int
) -> Int32[Array, " J"]:
    """Draw the type of each of J opponents from the prior."""
    keys = jax.random.split(key, opponents)
    return jax.vmap(lambda k: draw(k, model.prior))(keys)


def imagine_step(
    world: PlanningModel,
    model: LearnedOpponents,
    state: ImaginedState,
    key: Key[Array, ""],
    change_rate: float = 0.0,
) -> tuple[ImaginedState, ImaginedTransition]:
    """Advance an imagined game by one step.

    The agent takes the action of highest value, or explores; opponents act as the model
    predicts for their types.

    Args:
        world: the world model.
        model: the opponent model.
        state: the game before the step.
        key: key of the random draws.
        change_rate: probability that an opponent changes type before it acts, in games
            whose types are not given.

    Returns:
        The game after the step, and the transition.
    """
    action_key, explore_key, others_key, end_key = jax.random.split(key, 4)
    if change_rate:
        types_key = jax.random.fold_in(key, 4)
        state = resample_types(model, state, types_key, change_rate)
    z = world.encode(state.obs)
    legal = own_legal(world, model.game, state.obs)
    belief = model.posterior(state.belief)
    values = jnp.where(legal, world.value(z, state.obs, belief), -jnp.inf)
    explores = jax.random.bernoulli(explore_key, state.exploration)
    action = jnp.where(
        explores, draw(action_key, uniform(legal)), jnp.argmax(values)
    ).astype(jnp.int32)
    others = draw_opponent_actions(model, state, others_key)
    continues = jax.random.bernoulli(
        end_key, jax.nn.sigmoid(world.continues(z, action, others))
    )
    next_obs = world.imagine(world.next(z, action, others))
    joint = jnp.concatenate([action[None], others])
    updated = model.update(state.belief, state.obs, joint, state.present)
    next_belief = jnp.where(state.types_given, state.belief, updated)
    transition = ImaginedTransition(
        obs=state.obs,
        belief=belief,
        action=action,
        reward=world.reward(z, action, others),
        continues=continues.astype(jnp.float32),
        next_obs=next_obs,
        next_belief=model.posterior(next_belief),
    )
    shown = model.game.present_in(next_obs)
    present = state.present
    if shown is not None:
        present = present & jnp.asarray(shown)
    state = eqx.tree_at(
        lambda s: (s.obs, s.belief, s.present),
        state,
        (next_obs, next_belief, present),
    )
    return state, transition


def resample_types(
    model: LearnedOpponents,
    state: ImaginedState,
    key: Key[Array, ""],
    change_rate: float,
) -> ImaginedState:
    """Draw the type of each opponent again from the prior with a probability.

    Args:
        model: the opponent model.
        state: an imagined game; unchanged where its types are given.
        key: key of the random draws.
        change_rate: the probability.

    Returns:
        The game with its new types.
    """
    change_key, types_key = jax.random.split(key)
    changes = (
        jax.random.bernoulli(change_key, change_rate, state.types.shape)
        & ~state.types_given
    )
    drawn = _draw_types(model, types_key, len(state.types))
    types = jnp.where(changes, drawn, state.types)
    return eqx.tree_at(lambda s: s.types, state, types)


def own_legal(
    world: PlanningModel, game: Game, obs: Shaped[Array, "*obs"]
) -> Bool[Array, " A"]:
    """Return the own legal actions that an observation shows, or else those predicted.

    Args:
        world: the world model, for games whose observation shows no legal actions.
        game: the game.
        obs: own observation.

    Returns:
        The mask of legal actions.
    """
    shown = game.legal_in(obs)
    if shown is None:
        return world.allowed(world.encode(obs))
    return jnp.asarray(shown)


def draw_opponent_actions(
    model: LearnedOpponents, state: ImaginedState, key: Key[Array, ""]
) -> Int32[Array, " J"]:
    """Draw the action of each opponent by its type; ABSENT for a seat that has left.

    Args:
        model: the opponent model.
        state: an imagined game.
        key: key of the random draws.

    Returns:
        The action of each of the J opponents.
    """
    opponents = len(state.types)
    logits = model.logits(state.obs)[jnp.arange(opponents), state.types]
    keys = jax.random.split(key, opponents)
    drawn = jax.vmap(jax.random.categorical)(keys, logits)
    return jnp.where(state.present[1:], drawn, ABSENT).astype(jnp.int32)


def no_imagined_games(
    config: TrainConfig, game: Game, types: int
) -> ImaginedState:
    """Return placeholders [D, ...] of games that have not started.

    Args:
        config: its `imagined_games` is D.
        game: the game.
        types: number of types of opponents.

    Returns:
        D games of zeros.
    """
    count, opponents = config.imagined_games, game.num_players - 1
    return ImaginedState(
        obs=jnp.zeros((count, *game.obs_shape)),
        present=jnp.ones((count, opponents + 1), bool),
        types=jnp.zeros((count, opponents), jnp.int32),
        types_given=jnp.zeros(count, bool),
        belief=jnp.zeros((count, opponents, types)),
        exploration=jnp.zeros(count),
    )


@partial(jax.jit, static_argnames=("config", "count"))
def imagine_starts(
    config: TrainConfig,
    model: LearnedOpponents,
    buffer: BufferState,
    key: Key[Array, ""],
    count: int,
) -> ImaginedState:
    """Return the starts [count, ...] of imagined games.

    Args:
        config: settings of training.
        model: the opponent model.
        buffer: logged episodes.
        key: key of the random draws.
        count: number of games.

    Returns:
        The games [count, ...] at their first steps.
    """
    start = partial(start_imagined_game, config, model, buffer)
    return jax.vmap(start)(jax.random.split(key, count))


def imagine_batch(
    config: TrainConfig,
    world: PlanningModel,
    model: LearnedOpponents,
    buffer: BufferState,
    games: ImaginedState,
    key: Key[Array, ""],
) -> tuple[ImaginedState, ImaginedTransition]:
    """Advance D imagined games by one step; a game that ends starts again.

    Where the step limit does not end the return (`train.at_limit`), nothing that the
    world model predicts does either. There a game is left for a new one with probability
    1 / `max_steps` after each step, else it would drift from all that was logged.

    Args:
        config: its `change_rate` applies to the games, and to the beliefs in them; its
            `at_limit` is read.
        world: the world model.
        model: the opponent model.
        buffer: logged episodes, whose first observations games start at.
        games: the games [D, ...] before the step.
        key: key of the random draws.

    Returns:
        The games after the step, and the transitions [D, ...].
    """
    step_key, start_key = jax.random.split(key)
    count = len(games.exploration)
    if config.change_rate:
        mixing = max(model.prior_mixing, config.change_rate)
        model = dataclasses.replace(model, prior_mixing=mixing)
    step = partial(imagine_step, world, model, change_rate=config.change_rate)
    after, transitions = jax.vmap(step)(
        games, jax.random.split(step_key, count)
    )
    starts = imagine_starts(config, model, buffer, start_key, count)
    goes_on = transitions.continues > 0
    if config.at_limit != "zero":
        leave_key = jax.random.fold_in(key, 2)
        rate = 1 / model.game.max_steps
        goes_on &= ~jax.random.bernoulli(leave_key, rate, (count,))

    def select(start: Array, continued: Array) -> Array:
        shape = (count, *(1,) * (start.ndim - 1))
        return jnp.where(jnp.reshape(goes_on, shape), continued, start)

    return jax.tree.map(select, starts, after), transitions
