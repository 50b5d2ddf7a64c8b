"""What training changes: the networks, their optimisers, and the units that values count in."""

import dataclasses
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import optax.contrib
from jaxtyping import Array

from bestreply.config import RunConfig, TrainConfig
from bestreply.games.base import Game
from bestreply.models.world_model import WorldModel
from bestreply.opponents.learned import LearnedOpponents
from bestreply.opponents.opponent_types import opponent_types
from bestreply.opponents.sequence import SequenceOpponents
from bestreply.replay.moa_buffer import Index, all_indices
from bestreply.training.imagination import ImaginedState, no_imagined_games
from bestreply.training.targets import n_step_return
from bestreply.types import Episodes


class SequenceState(eqx.Module):
    """A model that reads the others' history, and what trains it."""

    model: SequenceOpponents
    optimiser: Any
    updates: Array  # [] int32


class TrainState(eqx.Module):
    """All that training changes: what a checkpoint holds."""

    opponents: LearnedOpponents
    world: WorldModel
    target_net: WorldModel  # the target_net target network
    opponent_optimiser: Any
    world_optimiser: Any
    value_optimiser: Any  # of the phase that fits the value alone
    imagined_games: (
        ImaginedState | None
    )  # [D, ...], the imagined games of that phase
    opponent_updates: Array  # [] int32, gradient steps made
    updates: Array  # [] int32
    value_updates: Array  # [] int32
    sequence: SequenceState | None = (
        None  # where `ModelConfig.opponents` asks for one
    )

    @property
    def history_updates(self) -> Array | int:
        return 0 if self.sequence is None else self.sequence.updates


def initial_train_state(
    config: RunConfig, game: Game, roster: list[dict[str, Any]]
) -> TrainState:
    """Untrained networks for `game`, drawn from the run's seed."""
    goals, key = (
        len(opponent_types(config.model).names(config.model, game, roster)),
        jax.random.key(config.seed),
    )
    return _fresh(
        dataclasses.replace(config, seed=0), game, goals, len(roster), key
    )  # one program for all seeds


@partial(
    jax.jit, static_argnames=("config", "game", "goals", "heads")
)  # else every weight's shape compiles apart
def _fresh(
    config: RunConfig, game: Game, goals: int, heads: int, key: Array
) -> TrainState:
    opponent_key, world_key = jax.random.split(key)
    opponents = LearnedOpponents.create(
        game,
        config.model,
        goals,
        key=opponent_key,
        prior_mixing=config.planner.prior_mixing,
    )
    world = WorldModel(
        game, config.model, goals=goals, heads=heads, key=world_key
    )
    opponent_transform = optimiser(config.train, config.train.opponent_updates)
    return TrainState(
        opponents=opponents,
        world=world,
        target_net=world,
        opponent_optimiser=opponent_transform.init(trainable(fits(opponents))),
        world_optimiser=optimiser(config.train, config.train.updates).init(
            trainable(world)
        ),
        value_optimiser=optimiser(
            config.train, config.train.value_updates
        ).init(trainable(world.value_net)),
        imagined_games=no_imagined_games(config.train, game, goals)
        if config.train.target == "improved"
        else None,
        opponent_updates=jnp.int32(0),
        updates=jnp.int32(0),
        value_updates=jnp.int32(0),
        sequence=_sequence_state(
            config, game, goals, jax.random.fold_in(key, 1)
        ),
    )


def _sequence_state(
    config: RunConfig, game: Game, goals: int, key: Array
) -> SequenceState | None:
    if config.model.opponents not in ("recurrent", "in_context"):
        return None
    model = SequenceOpponents.create(game, config.model, goals, key=key)
    state = optimiser(config.train, config.train.history_updates).init(
        trainable(model)
    )
    return SequenceState(model, state, jnp.int32(0))


WEIGHT_DECAY = 1e-4
"""Decoupled weight decay of either optimiser, as a fraction of a weight for each unit of the learning rate."""
MAX_GRADIENT_NORM = 10.0
"""Norm that a gradient is clipped to."""


def optimiser(
    config: TrainConfig, updates: int
) -> optax.GradientTransformation:
    """Muon (Jordan et al., 2024) or AdamW under a clipped gradient, with warm-up and cosine decay to a twentieth."""
    peak, warm, decay = (
        config.learning_rate,
        max(updates // 50, 1),
        WEIGHT_DECAY,
    )
    schedule = optax.warmup_cosine_decay_schedule(
        0.0, peak, warm, max(updates, warm + 1), peak / 20
    )
    if config.optimiser == "adamw":
        step = optax.adamw(schedule, weight_decay=decay)
    else:  # biases and norms are left to Adam
        step = optax.contrib.muon(
            schedule, weight_decay=decay, adam_weight_decay=decay
        )
    return optax.chain(optax.clip_by_global_norm(MAX_GRADIENT_NORM), step)


def fits(model: LearnedOpponents) -> Any:
    """What gradient steps change of a model of the others."""
    return model.net if model.subgoal is None else (model.net, model.subgoal)


def trainable(tree: Any, like: Any = None) -> Any:
    """The trainable leaves of `tree`: all floats but the units of the value. `like`: the model that a gradient belongs to."""
    model = tree if like is None else like
    floats = jax.tree.map(eqx.is_inexact_array, model)
    if isinstance(model, WorldModel):
        floats = eqx.tree_at(
            lambda w: (w.value_mean, w.value_scale), floats, (False, False)
        )
    return eqx.filter(tree, floats)


NO_VALUE = -1e6
"""The value of a head whose player has no play in the data yet: no planner follows it."""


def set_units(
    train_state: TrainState, config: RunConfig, episodes: Episodes
) -> TrainState:
    """Takes from `episodes` what the networks count in: how often each goal was met, and each value head's returns.

    The prior of the model of the others becomes the share of each goal or type at first steps; the units of a head the mean and
    deviation of the discounted returns that its player had; those of values of actions, for each goal or type, of the returns had
    among such others.
    """
    index = all_indices(episodes)
    whole = partial(
        n_step_return, config.train, n_step=episodes.action.shape[1]
    )
    returns = np.asarray(jax.jit(whole)(episodes, index)[0])
    player = np.asarray(episodes.player)[index.row, index.seat]
    mean, scale = _units(train_state, config, episodes, index, returns)
    first = (
        index.step == 0
    )  # a belief starts with who sits there, not with whose play is long
    goals = train_state.opponents.goals
    logged = opponent_types(config.model).logged
    if logged is None:
        prior = jnp.full(goals, 1 / goals)
    else:
        met = logged(player, np.asarray(episodes.goal)[index])[first]
        counts = np.bincount(met[met >= 0], minlength=goals)
        prior = jnp.asarray(counts / counts.sum(), jnp.float32)

    def places(s: TrainState) -> Any:
        return (
            s.opponents.prior,
            s.world.value_mean,
            s.world.value_scale,
            s.target_net.value_mean,
            s.target_net.value_scale,
        )

    return eqx.tree_at(
        places,
        train_state,
        (prior, mean, scale, jnp.copy(mean), jnp.copy(scale)),
    )


def _units(
    train_state: TrainState,
    config: RunConfig,
    episodes: Episodes,
    index: Index,
    returns: np.ndarray,
) -> tuple[Array, Array]:
    """Means and deviations of `returns` [B], as `WorldModel.value_mean` and `value_scale` want them."""
    count, player = (
        train_state.world.value_scale.shape[0],
        np.asarray(episodes.player)[index.row],
    )  # [B, N]
    own = np.arange(player.shape[1]) == index.seat[:, None]
    logged = opponent_types(config.model).logged
    if config.model.value_heads == "action":
        weights = np.ones((count, len(returns)))
        if logged is not None:
            goal = np.asarray(episodes.goal)[index.row, index.step]
            types = logged(player, goal)
            weights = np.stack([_among(types == k, own) for k in range(count)])
    elif config.model.value_heads == "player":
        weights = np.stack(
            [((player == k) & own).sum(1) for k in range(count)]
        ).astype(np.float64)
    else:
        weights = np.ones((1, len(returns)))
    total = weights.sum(1)
    there, total = total > 0, np.maximum(total, 1e-9)
    mean = weights @ returns / total
    deviation = np.sqrt(np.maximum(weights @ returns**2 / total - mean**2, 0))
    nothing = 0.0 if config.model.value_heads == "action" else NO_VALUE
    mean, scale = (
        np.where(there, mean, nothing),
        np.where(there, np.maximum(deviation, 1e-2), 1.0),
    )
    return jnp.asarray(mean, jnp.float32), jnp.asarray(scale, jnp.float32)


def _among(them: np.ndarray, own: np.ndarray) -> np.ndarray:
    """[B] float64: how much each step tells of a seat `own` [B, N] among `them`: those where all others are, if there are enough."""
    count = (them & ~own).sum(1).astype(np.float64)
    all_of_them = (count == own.shape[1] - 1).astype(np.float64)
    return all_of_them if all_of_them.sum() >= ENOUGH else count


ENOUGH = 100
"""Steps to take a mean and a deviation from."""
