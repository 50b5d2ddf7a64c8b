"""The agent's train state: networks, their optimisers, and the units of values."""

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Any, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import optax.contrib
from jaxtyping import Array, Bool, Float, Int32, Key, PyTree

from bestreply.config import RunConfig, TrainConfig
from bestreply.games.base import Game
from bestreply.games.seats import role_names, role_of_seat
from bestreply.models.anchors import Anchors
from bestreply.models.joint_values import JointValues, ReturnUnits
from bestreply.models.obs_nets import ObsNet
from bestreply.models.units import (
    RewardUnits,
    Units,
    measured_obs_units,
    measured_reward_units,
    with_units,
)
from bestreply.models.world_model import NO_VALUE, WorldModel
from bestreply.opponents.learned import LearnedOpponents
from bestreply.opponents.opponent_types import opponent_types
from bestreply.opponents.sequence import SequenceOpponents
from bestreply.opponents.tables import TableOpponents
from bestreply.replay.moa_buffer import Index, all_indices
from bestreply.training.imagination import ImaginedState, no_imagined_games
from bestreply.training.targets import n_step_return
from bestreply.types import ABSENT, Episodes
from bestreply.utils.quick import quickly

Tree = TypeVar("Tree", bound=PyTree)


class SequenceState(eqx.Module):
    """A sequence model of opponents, and its optimiser."""

    model: SequenceOpponents
    optimiser: PyTree
    updates: Int32[Array, "*S"]


class AnchorState(eqx.Module):
    """The policies of the data's players, and their optimiser."""

    model: Anchors
    optimiser: PyTree
    updates: Int32[Array, "*S"]
    trials: Int32[Array, "*S"]
    """1 once the weight of the anchors has been tried out, else 0."""


class JointValueState(eqx.Module):
    """The values of joint actions, a target network, and their optimiser."""

    model: JointValues
    target: ObsNet  # a moving average of `model.own_net`
    optimiser: PyTree
    updates: Int32[Array, "*S"]


class TrainState(eqx.Module):
    """The state that training of the agent changes: the content of a checkpoint."""

    opponents: LearnedOpponents
    world: WorldModel
    target_net: WorldModel  # a moving average of `world`, for TD targets
    opponent_optimiser: PyTree
    world_optimiser: PyTree
    value_optimiser: PyTree  # of the phase that trains the value alone
    imagined_games: ImaginedState | None  # [D, ...], the games of that phase
    opponent_updates: Int32[Array, "*S"]  # gradient steps made
    updates: Int32[Array, "*S"]
    value_updates: Int32[Array, "*S"]
    sequence: SequenceState | None = (
        None  # for the `opponents` that read histories
    )
    anchors: AnchorState | None = None  # with `train.anchor_updates`
    tables: TableOpponents | None = None  # for the `opponents` of that name
    joint_values: JointValueState | None = None  # with `train.joint_updates`

    @property
    def anchor_updates(self) -> Array | int:
        """The gradient steps of the anchors; 0 without them."""
        return 0 if self.anchors is None else self.anchors.updates

    @property
    def trials(self) -> Array | int:
        """1 once the weight of the anchors has been tried out, else 0."""
        return 0 if self.anchors is None else self.anchors.trials

    @property
    def joint_updates(self) -> Array | int:
        """The gradient steps of the values of joint actions; 0 without them."""
        return 0 if self.joint_values is None else self.joint_values.updates

    @property
    def history_updates(self) -> Array | int:
        """The gradient steps of the sequence model; 0 without one."""
        return 0 if self.sequence is None else self.sequence.updates


def initial_train_state(
    config: RunConfig, game: Game, roster: Sequence[dict[str, Any]]
) -> TrainState:
    """Return untrained networks, drawn from the run's seed.

    Args:
        config: configuration of the run.
        game: its game.
        roster: the players of the data, one value head each with value_heads "player".

    Returns:
        The train state, with all counters at 0.
    """
    types = opponent_types(config.model).names(config.model, game, roster)
    # The seed is in the key: all seeds share one program.
    setting = dataclasses.replace(config, seed=0)
    key = jax.random.key(config.seed)
    return _untrained(setting, game, len(types), len(roster), key)


# One program: each weight alone would be a program of its own.
@quickly(level=1, static_argnames=("config", "game", "types", "players"))
def _untrained(
    config: RunConfig, game: Game, types: int, players: int, key: Key[Array, ""]
) -> TrainState:
    opponent_key, world_key = jax.random.split(key)
    opponents = LearnedOpponents.create(
        game,
        config.model,
        types,
        key=opponent_key,
        prior_mixing=config.planner.prior_mixing,
    )
    world = WorldModel(
        game, config.model, goals=types, heads=players, key=world_key
    )
    train = config.train
    imagined_games = None
    if train.target == "improved":
        imagined_games = no_imagined_games(train, game, types)
    return TrainState(
        opponents=opponents,
        world=world,
        target_net=world,
        opponent_optimiser=optimiser(train, train.opponent_updates).init(
            trainable(opponent_networks(opponents))
        ),
        world_optimiser=optimiser(train, train.updates).init(trainable(world)),
        value_optimiser=optimiser(train, train.value_updates).init(
            trainable(world.value_net)
        ),
        imagined_games=imagined_games,
        opponent_updates=jnp.int32(0),
        updates=jnp.int32(0),
        value_updates=jnp.int32(0),
        sequence=_sequence_state(
            config, game, types, jax.random.fold_in(key, 1)
        ),
        anchors=_anchor_state(
            config, game, types, players, jax.random.fold_in(key, 2)
        ),
        tables=_tables(config, game, types, players),
        joint_values=_joint_value_state(
            config, game, types, jax.random.fold_in(key, 3)
        ),
    )


def _tables(
    config: RunConfig, game: Game, types: int, players: int
) -> TableOpponents | None:
    if config.model.opponents != "tables":
        return None
    memory = config.model.table_memory
    return TableOpponents.create(game, memory, players, types)


def _anchor_state(
    config: RunConfig, game: Game, types: int, players: int, key: Key[Array, ""]
) -> AnchorState | None:
    if not config.train.anchor_updates:
        return None
    model = Anchors.create(game, config.model, types, players, key=key)
    transform = optimiser(config.train, config.train.anchor_updates)
    state = transform.init(trainable(model.net))
    return AnchorState(model, state, jnp.int32(0), jnp.int32(0))


def _joint_value_state(
    config: RunConfig, game: Game, types: int, key: Key[Array, ""]
) -> JointValueState | None:
    if not config.values_joint_actions:
        return None
    model = JointValues.create(game, config.model, types, key=key)
    transform = optimiser(config.train, config.train.joint_updates)
    state = transform.init(trainable(model))
    return JointValueState(model, model.own_net, state, jnp.int32(0))


def _sequence_state(
    config: RunConfig, game: Game, types: int, key: Key[Array, ""]
) -> SequenceState | None:
    if config.model.opponents not in ("recurrent", "in_context"):
        return None
    model = SequenceOpponents.create(game, config.model, types, key=key)
    transform = optimiser(config.train, config.train.history_updates)
    return SequenceState(model, transform.init(trainable(model)), jnp.int32(0))


WEIGHT_DECAY = 1e-4
"""Decoupled weight decay of either optimiser, as a fraction of a weight for each unit of
the learning rate."""
MAX_GRADIENT_NORM = 10.0
"""Norm that a gradient is clipped to."""


def optimiser(
    config: TrainConfig, updates: int
) -> optax.GradientTransformation:
    """Return Muon (Jordan et al., 2024) or AdamW, under a clipped gradient.

    The learning rate warms up over 2 % of the updates, then decays to a twentieth by a
    cosine.

    Args:
        config: optimiser and peak learning rate.
        updates: gradient steps of the phase.

    Returns:
        The gradient transformation.
    """
    peak, warm_up = config.learning_rate, max(updates // 50, 1)
    schedule = optax.warmup_cosine_decay_schedule(
        0.0, peak, warm_up, max(updates, warm_up + 1), peak / 20
    )
    if config.optimiser == "adamw":
        step = optax.adamw(schedule, weight_decay=WEIGHT_DECAY)
    else:  # Muon leaves biases and norms to Adam
        step = optax.contrib.muon(
            schedule, weight_decay=WEIGHT_DECAY, adam_weight_decay=WEIGHT_DECAY
        )
    return optax.chain(optax.clip_by_global_norm(MAX_GRADIENT_NORM), step)


def opponent_networks(model: LearnedOpponents) -> PyTree:
    """Return the networks of an opponent model that gradient steps change.

    Args:
        model: an opponent model, with or without a subgoal network.
    """
    return model.net if model.subgoal is None else (model.net, model.subgoal)


def trainable(tree: PyTree, like: PyTree = None) -> PyTree:
    """Return the trainable leaves of a tree: all floats but units.

    Args:
        tree: a network, or its gradient.
        like: the network that a gradient belongs to; None: `tree` itself.

    Returns:
        The tree with None in place of all other leaves.
    """
    model = tree if like is None else like
    floats = jax.tree.map(
        lambda x: not isinstance(x, Units) and eqx.is_inexact_array(x),
        model,
        is_leaf=lambda x: isinstance(x, Units),
    )
    if isinstance(model, WorldModel):
        floats = eqx.tree_at(
            lambda w: (w.value_mean, w.value_scale), floats, (False, False)
        )
    return eqx.filter(tree, floats)


def apply_gradient(
    transform: optax.GradientTransformation,
    state: PyTree,
    networks: PyTree,
    gradient: PyTree,
) -> tuple[PyTree, PyTree]:
    """Return networks and the optimiser's state after one gradient step.

    Args:
        transform: the optimiser.
        state: its state.
        networks: the networks.
        gradient: gradient of the loss.

    Returns:
        The new networks, and the new state of the optimiser.
    """
    change, state = transform.update(
        trainable(gradient, networks), state, trainable(networks)
    )
    return eqx.apply_updates(networks, change), state


def own_buffers(tree: Tree) -> Tree:
    """Return arrays that share no memory with others: training donates its buffers.

    Args:
        tree: a PyTree of arrays. Copies by JAX would be a program for each shape.
    """
    copies = jax.tree.map(lambda x: np.array(x), tree)
    return jax.device_put(copies)


MIN_SCALE = 1e-2
"""Smallest unit of a value head, in units of rewards."""
MIN_STEPS = 100
"""Smallest number of steps that a mean and a deviation are taken from."""
STEPS_AT_ONCE = 1 << 22
"""Steps whose returns are computed by one call."""


def set_units(
    train_state: TrainState, config: RunConfig, episodes: Episodes
) -> TrainState:
    """Return the train state with the prior over types, and units.

    The prior is the frequency of each type at first steps; uniform where types have no
    labels. The unit of a player's value head is the mean and the standard deviation of
    the player's discounted returns; that of action values, for each type, of the returns
    earned against opponents of that type; both are by role. Units of observations and
    rewards: `bestreply.models.units`.

    Args:
        train_state: the state to change.
        config: configuration of the run.
        episodes: the training episodes.

    Returns:
        The state with new prior and units; networks and counters are unchanged.
    """
    index = all_indices(episodes)
    returns = _returns_to_the_end(config.train, episodes, index)
    prior = _prior(config, episodes, index, train_state.opponents.goals)
    game = train_state.opponents.game
    rewards = measured_reward_units(game, episodes)
    train_state = with_units(
        train_state, measured_obs_units(game, episodes), rewards
    )
    smallest = MIN_SCALE * _sizes_of_rewards(episodes, index, game, rewards)
    measured = partial(_units, game, index, returns, smallest)
    count = len(train_state.world.value_scale) // len(role_names(game))
    known, mean, scale = measured(_unit_weights(config, episodes, index, count))
    unknown = 0.0 if config.model.value_heads == "action" else NO_VALUE
    mean = jnp.where(known, mean, unknown)

    def places(s: TrainState) -> PyTree:
        return (
            s.opponents.prior,
            s.world.value_mean,
            s.world.value_scale,
            s.target_net.value_mean,
            s.target_net.value_scale,
        )

    values = (prior, mean, scale, *own_buffers((mean, scale)))
    train_state = eqx.tree_at(places, train_state, values)
    if train_state.joint_values is None:
        return train_state
    _, mean, scale = measured([np.ones(len(index.row))])
    return eqx.tree_at(
        lambda s: s.joint_values.model.returns,
        train_state,
        ReturnUnits(mean, scale),
    )


def _returns_to_the_end(
    config: TrainConfig, episodes: Episodes, index: Index
) -> Float[np.ndarray, " B"]:
    """Return the discounted reward from each step to the end of its episode."""
    to_the_end = jax.jit(
        partial(n_step_return, config, n_step=episodes.action.shape[1])
    )
    count = len(index.row)
    returns = np.empty(count, np.float32)
    for begin in range(0, count, STEPS_AT_ONCE):
        # All but small data are read in pieces of one size, by one program.
        first = max(min(begin, count - STEPS_AT_ONCE), 0)
        span = slice(first, first + STEPS_AT_ONCE)
        piece = Index(*(x[span] for x in index))
        returns[span] = to_the_end(episodes, piece)[0]
    return returns


def _prior(
    config: RunConfig, episodes: Episodes, index: Index, types: int
) -> Float[Array, " G"]:
    """Return the frequency of types at first steps: long episodes do not count more.

    Where no first step has a known type, that at all steps.
    """
    logged = opponent_types(config.model).logged
    if logged is None:
        return jnp.full(types, 1 / types)
    player = np.asarray(episodes.player)[index.row, index.seat]
    goal = np.asarray(episodes.goal)[index]
    known = logged(player, goal)
    first = known[(index.step == 0) & (known >= 0)]
    if not len(first):
        first = known
    counts = np.bincount(first[first >= 0], minlength=types)
    return jnp.asarray(counts / counts.sum(), jnp.float32)


def _units(
    game: Game,
    index: Index,
    returns: Float[np.ndarray, " B"],
    smallest: Float[np.ndarray, " R"],
    weights: Iterable[Float[np.ndarray, " B"]],
) -> tuple[Bool[np.ndarray, " K"], Float[Array, " K"], Float[Array, " K"]]:
    """Return whether there is play for each value unit, and its mean and deviation, by role."""
    role, weights = role_of_seat(game)[index.seat], list(weights)
    returns = returns.astype(np.float64)
    moments = []
    for own_role in range(len(smallest)):
        for of_unit in weights:
            own = of_unit * (role == own_role)
            moments.append((own.sum(), own @ returns, own @ returns**2))
    total, first, second = np.array(moments).T
    known, total = total > 0, np.maximum(total, 1e-9)
    mean = first / total
    variance = second / total - mean**2
    deviation = np.maximum(
        np.sqrt(np.maximum(variance, 0)), np.repeat(smallest, len(weights))
    )
    return (
        known,
        jnp.asarray(np.where(known, mean, 0.0), jnp.float32),
        jnp.asarray(np.where(known, deviation, 1.0), jnp.float32),
    )


def _sizes_of_rewards(
    episodes: Episodes,
    index: Index,
    game: Game,
    units: RewardUnits,
) -> Float[np.ndarray, " R"]:
    """Return the unit of rewards of each role; of rewards below 1 the largest one."""
    role = role_of_seat(game)[index.seat]
    size = np.array(units.scale, np.float64)
    reward = np.abs(np.asarray(episodes.reward)[index])
    for own_role in np.flatnonzero(size == 1):
        largest = reward[role == own_role].max(initial=0)
        size[own_role] = min(largest, 1) if largest else 1
    return size


def _unit_weights(
    config: RunConfig, episodes: Episodes, index: Index, count: int
) -> Iterator[Float[np.ndarray, " B"]]:
    """Yield the weight of each step in the moments of each of `count` value units."""
    heads, steps = config.model.value_heads, len(index.row)
    player = np.asarray(episodes.player)[index.row]  # [B, N]
    own = np.arange(player.shape[1]) == index.seat[:, None]
    if heads == "player":
        player = player[own]
        yield from ((player == k).astype(np.float64) for k in range(count))
        return
    logged = opponent_types(config.model).logged
    if heads == "single" or logged is None:
        yield from (np.ones(steps) for _ in range(count))
        return
    goal = np.asarray(episodes.goal)[index.row, index.step]
    types = logged(player, goal)
    joined = np.asarray(episodes.action)[:, 0][index.row] != ABSENT
    for k in range(count):
        yield _against((types == k) & joined, own)


def _against(
    of_type: Bool[np.ndarray, "B N"], own: Bool[np.ndarray, "B N"]
) -> Float[np.ndarray, " B"]:
    """Return the weight of each step in the moments of returns against one type.

    Seats that are empty from the start of an episode have no type.

    Steps where all opponents are of the type, if there are enough of them; otherwise
    all steps, by the number of opponents of the type.
    """
    count = (of_type & ~own).sum(1).astype(np.float64)
    all_of_type = (count == own.shape[1] - 1).astype(np.float64)
    return all_of_type if all_of_type.sum() >= MIN_STEPS else count
