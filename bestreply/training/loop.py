"""The agent's training: the opponent model, the world model, the value, the sequence model.

Each is a `Phase` of gradient steps. The value is given the opponent model's belief,
so the opponent model comes first. Tables of opponents need no phase: they are counted
before the first one.
"""

import dataclasses
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from bestreply.config import RunConfig
from bestreply.games.base import Game
from bestreply.opponents.filtering import follow_beliefs, policy_ratios
from bestreply.opponents.labels import label_weights, labels_change
from bestreply.opponents.learned import LearnedOpponents
from bestreply.opponents.opponent_types import opponent_types
from bestreply.opponents.subgoals import policy_code_updates
from bestreply.opponents.tables import fit_tables
from bestreply.replay.blocks import in_blocks
from bestreply.replay.histories import Seatings, seatings
from bestreply.replay.moa_buffer import BufferState
from bestreply.training.anchors import ANCHORS, begin_anchors
from bestreply.training.imagination import imagine_starts
from bestreply.training.joint_values import JOINT_VALUES
from bestreply.training.opponent_updates import (
    history_step,
    opponent_step,
    subgoal_step,
)
from bestreply.training.phases import (
    Metrics,
    Phase,
    Seeds,
    Write,
    of_each,
    run_phase,
    updates_left,
    updates_made,
)
from bestreply.training.state import (
    TrainState,
    initial_train_state,
    own_buffers,
    set_units,
)
from bestreply.training.targets import LoggedBeliefs
from bestreply.training.world_updates import value_step, world_step
from bestreply.types import Episodes

Save = Callable[[TrainState], None]
"""Writes a checkpoint."""

IMPORTANCE_CLIP = 10.0
"""Largest importance ratio of an off-policy step in the value head of another player."""
RELABEL_EVERY = 200
"""Gradient steps of the opponent model between two computations of posterior labels
or codes; each comes with a checkpoint."""


def _opponent_phase(
    config: RunConfig,
    data: tuple[BufferState, Array | None],
    train_state: TrainState,
    key: Key[Array, ""],
) -> tuple[TrainState, Metrics]:
    buffer, weights = data
    if config.model.subgoals:
        return subgoal_step(config, buffer, weights, train_state, key)
    assert weights is not None
    return opponent_step(config, buffer, weights, train_state, key)


def _world_phase(
    config: RunConfig,
    data: tuple[BufferState, LoggedBeliefs],
    train_state: TrainState,
    key: Key[Array, ""],
) -> tuple[TrainState, Metrics]:
    return world_step(config, *data, train_state, key)


def _value_phase(
    config: RunConfig,
    data: tuple[BufferState, LoggedBeliefs],
    train_state: TrainState,
    key: Key[Array, ""],
) -> tuple[TrainState, Metrics]:
    return value_step(config, *data, train_state, key)


def _history_phase(
    config: RunConfig,
    data: tuple[BufferState, Seatings, Array],
    train_state: TrainState,
    key: Key[Array, ""],
) -> tuple[TrainState, Metrics]:
    return history_step(config, *data, train_state, key)


OPPONENTS = Phase("opponents", _opponent_phase, "opponent_updates", stream=1)
WORLD = Phase("world", _world_phase, "updates", stream=2)
VALUE = Phase("value", _value_phase, "value_updates", stream=3)
IMAGINATION_STREAM = 4
HISTORY = Phase("history", _history_phase, "history_updates", stream=6)


def agent_phases(config: RunConfig) -> tuple[Phase, ...]:
    """Return the phases that a configuration trains, in order.

    Args:
        config: configuration of the run.

    Returns:
        OPPONENTS and WORLD, then VALUE, JOINT_VALUES, HISTORY and ANCHORS where the configuration
        asks for them.
    """
    value = (VALUE,) if config.train.target == "improved" else ()
    reads_histories = config.model.opponents in ("recurrent", "in_context")
    history = (HISTORY,) if reads_histories else ()
    anchors = (ANCHORS,) if config.train.anchor_updates else ()
    joint = (JOINT_VALUES,) if config.values_joint_actions else ()
    return (OPPONENTS, WORLD, *value, *joint, *history, *anchors)


def begin_agent(
    config: RunConfig,
    game: Game,
    roster: Sequence[dict[str, Any]],
    episodes: Episodes,
    previous: TrainState | None = None,
) -> TrainState:
    """Return the train state that training begins with.

    Args:
        config: configuration of the run.
        game: its game.
        roster: the players of the data.
        episodes: the training episodes, which set prior and units of value, and the
            tables of opponents.
        previous: networks to begin with; optimisers and counters are new. None:
            networks drawn from the run's seed.

    Returns:
        The networks with fresh optimisers and counters at 0.
    """
    train_state = own_buffers(initial_train_state(config, game, roster))
    if previous is not None:
        train_state = eqx.tree_at(
            _networks, train_state, own_buffers(_networks(previous))
        )
    if previous is not None and previous.sequence is not None:
        model = own_buffers(previous.sequence.model)
        train_state = eqx.tree_at(
            lambda s: s.sequence.model, train_state, model
        )
    before = None if previous is None else previous.anchors
    if before is not None and train_state.anchors is not None:
        net = own_buffers(before.model.net)
        train_state = eqx.tree_at(
            lambda s: s.anchors.model.net, train_state, net
        )
    before = None if previous is None else previous.joint_values
    if before is not None and train_state.joint_values is not None:
        nets = own_buffers((before.model, before.target))
        train_state = eqx.tree_at(
            lambda s: (s.joint_values.model, s.joint_values.target),
            train_state,
            nets,
        )
    if train_state.tables is not None:
        tables = fit_tables(train_state.tables, episodes)
        train_state = eqx.tree_at(lambda s: s.tables, train_state, tables)
    if train_state.anchors is not None:
        train_state = begin_anchors(config, train_state, episodes)
    return set_units(train_state, config, episodes)


def _networks(train_state: TrainState) -> Any:
    return train_state.opponents, train_state.world, train_state.target_net


def fit_agent(
    config: RunConfig,
    buffer: BufferState,
    train_state: TrainState,
    save: Save,
    write: Write,
    seeds: Seeds = None,
) -> TrainState:
    """Run all phases of training, from the updates that `train_state` counts.

    Args:
        config: configuration of the run.
        buffer: the training episodes; stacked [S, ...] with `seeds`.
        train_state: the state to continue from; stacked in the same way.
        save: writes a checkpoint.
        write: logs metrics.
        seeds: seeds of S runs that are trained as one batch; None: one run.

    Returns:
        The train state after the last update of every phase.
    """
    train_state = fit_opponents(config, buffer, train_state, save, write, seeds)
    train_state = fit_world(config, buffer, train_state, save, write, seeds)
    if train_state.sequence is not None:
        train_state = fit_history(
            config, buffer, train_state, save, write, seeds
        )
    if train_state.anchors is None:
        return train_state
    return run_phase(
        ANCHORS,
        config,
        lambda _: buffer,
        train_state,
        save,
        write,
        config.train.checkpoint_every,
        seeds,
    )


def fit_opponents(
    config: RunConfig,
    buffer: BufferState,
    train_state: TrainState,
    save: Save,
    write: Write,
    seeds: Seeds = None,
) -> TrainState:
    """Run the phase of the opponent model over types.

    Where labels are inferred from play, the prior becomes their mean over first steps.

    Args:
        config: configuration of the run.
        buffer: the training episodes; stacked [S, ...] with `seeds`.
        train_state: the state to continue from; stacked in the same way.
        save: writes a checkpoint.
        write: logs metrics.
        seeds: seeds of S runs that are trained as one batch; None: one run.

    Returns:
        The train state after the last update of the phase.
    """

    def weights(train_state: TrainState) -> Array:
        return of_each(_label_weights, config, seeds, train_state, buffer)

    change = labels_change(config)
    fixed = None if change else weights(train_state)

    def data(train_state: TrainState) -> tuple[BufferState, Array | None]:
        made = updates_made(train_state, OPPONENTS.counter)
        if config.model.subgoals and made >= policy_code_updates(config):
            return buffer, None  # every update changes the weights: no table
        return buffer, weights(train_state) if fixed is None else fixed

    every = config.train.checkpoint_every
    train_state = run_phase(
        OPPONENTS,
        config,
        data,
        train_state,
        save,
        write,
        min(RELABEL_EVERY, every) if change else every,
        seeds,
    )
    if not opponent_types(config.model).inferred:
        return train_state
    final = weights(train_state) if fixed is None else fixed
    total = final[..., 0, :, :].sum((-3, -2))
    prior = total / jnp.maximum(total.sum(-1, keepdims=True), 1e-6)
    return eqx.tree_at(lambda s: s.opponents.prior, train_state, prior)


def _label_weights(
    config: RunConfig, train_state: TrainState, buffer: BufferState
) -> Float[Array, "E T N G"]:
    """Return `label_weights` by the opponent model as trained so far."""
    made, model = int(train_state.opponent_updates), train_state.opponents
    if made < policy_code_updates(config):
        model = dataclasses.replace(model, subgoal=None)
    return jax.device_put(
        label_weights(config, model, buffer.episodes, trained=made > 0)
    )


def fit_world(
    config: RunConfig,
    buffer: BufferState,
    train_state: TrainState,
    save: Save,
    write: Write,
    seeds: Seeds = None,
) -> TrainState:
    """Run the phases of the world model and its value, given the opponent model.

    Args:
        config: configuration of the run.
        buffer: the training episodes; stacked [S, ...] with `seeds`.
        train_state: the state to continue from; stacked in the same way.
        save: writes a checkpoint.
        write: logs metrics.
        seeds: seeds of S runs that are trained as one batch; None: one run.

    Returns:
        The train state after the last update of both phases.
    """
    phases = [
        phase
        for phase in agent_phases(config)
        if phase in (WORLD, VALUE, JOINT_VALUES)
        and updates_left(config, train_state, phase)
    ]
    if not phases:
        return train_state
    logged_beliefs = of_each(
        _logged_beliefs, config, seeds, train_state, buffer
    )
    for phase in phases:
        if phase == VALUE and not updates_made(train_state, VALUE.counter):
            train_state = of_each(
                _start_imagination, config, seeds, train_state, buffer
            )
        train_state = run_phase(
            phase,
            config,
            lambda _: (buffer, logged_beliefs),
            train_state,
            save,
            write,
            config.train.checkpoint_every,
            seeds,
        )
    return train_state


def fit_history(
    config: RunConfig,
    buffer: BufferState,
    train_state: TrainState,
    save: Save,
    write: Write,
    seeds: Seeds = None,
) -> TrainState:
    """Run the phase of the sequence model, after that of the model over types.

    Args:
        config: configuration of the run.
        buffer: the training episodes; stacked [S, ...] with `seeds`.
        train_state: the state to continue from; stacked in the same way.
        save: writes a checkpoint.
        write: logs metrics.
        seeds: seeds of S runs that are trained as one batch; None: one run.

    Returns:
        The train state after the last update of the phase.
    """
    data = buffer, *of_each(_histories, config, seeds, train_state, buffer)
    return run_phase(
        HISTORY,
        config,
        lambda _: data,
        train_state,
        save,
        write,
        config.train.checkpoint_every,
        seeds,
    )


def _histories(
    config: RunConfig, train_state: TrainState, buffer: BufferState
) -> tuple[Seatings, Float[Array, "E T N G"]]:
    return seatings(buffer.episodes), _label_weights(
        config, train_state, buffer
    )


def beliefs_of(
    config: RunConfig, model: LearnedOpponents, episodes: Episodes
) -> LoggedBeliefs:
    """Return the beliefs and importance ratios of logged play.

    Args:
        config: its `train.off_policy` and `model.value_heads` say whether ratios
            are needed.
        model: the trained opponent model.
        episodes: E logged episodes of T steps.

    Returns:
        Beliefs, and importance ratios or None.
    """
    beliefs = follow_beliefs(model, episodes)
    off_policy = (
        config.train.off_policy > 0
        and config.model.value_heads == "player"
        and opponent_types(config.model).players
    )
    if not off_policy:
        return LoggedBeliefs(beliefs, None)
    ratios = policy_ratios(model, episodes, IMPORTANCE_CLIP)
    if ratios is not None:  # a player without logged play has no value to learn
        ratios = ratios * (model.prior > 0)
    return LoggedBeliefs(beliefs, ratios)


def _logged_beliefs(
    config: RunConfig, train_state: TrainState, buffer: BufferState
) -> LoggedBeliefs:
    model = train_state.opponents
    return in_blocks(partial(beliefs_of, config, model), buffer.episodes)


def _start_imagination(
    config: RunConfig, train_state: TrainState, buffer: BufferState
) -> TrainState:
    """Start the imagined games, with the online network as the target network."""
    key = jax.random.fold_in(jax.random.key(config.seed), IMAGINATION_STREAM)
    imagined_games = imagine_starts(
        config.train,
        train_state.opponents,
        buffer,
        key,
        config.train.imagined_games,
    )
    target_net = own_buffers(train_state.world)
    return eqx.tree_at(
        lambda s: (s.imagined_games, s.target_net),
        train_state,
        (imagined_games, target_net),
    )
