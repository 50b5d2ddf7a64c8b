"""One gradient step of the opponent model: of its types, subgoals or histories."""

from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key, PyTree, Shaped

from bestreply.config import RunConfig
from bestreply.games.base import Game
from bestreply.games.symmetries import (
    draw_symmetry,
    transform_obs,
)
from bestreply.opponents.base import opponent_legal
from bestreply.opponents.learned import LearnedOpponents
from bestreply.opponents.opponent_types import opponent_types
from bestreply.opponents.sequence import SequenceOpponents
from bestreply.opponents.subgoals import log_code_posterior, segment_ends
from bestreply.replay.histories import (
    History,
    Seatings,
    draw_histories,
    transform_histories,
)
from bestreply.replay.moa_buffer import (
    BufferState,
    Index,
    draw_index,
    gather,
)
from bestreply.training.augmentation import augmented
from bestreply.training.losses import (
    opponent_losses,
)
from bestreply.training.phases import Metrics
from bestreply.training.state import (
    SequenceState,
    TrainState,
    apply_gradient,
    opponent_networks,
    optimiser,
)
from bestreply.types import ABSENT, Transition, ego_order

HISTORY_BATCH = 64
"""Histories in a gradient step, each of one episode or of the episodes that
`model.context` reads."""


def logged_types(
    config: RunConfig, at: Transition
) -> Int[Array, "*B J"] | None:
    """Return the type of each opponent of logged steps; None for types without labels.

    Args:
        config: configuration of the run.
        at: logged steps.

    Returns:
        The types, or None.
    """
    logged = opponent_types(config.model).logged
    return None if logged is None else logged(at.player, at.goal)[..., 1:]


def opponent_loss(
    model: LearnedOpponents, batch: Transition, weights: Float[Array, "B J G"]
) -> Float[Array, ""]:
    """Return the mean of -log pi_hat_j(a_j | o, g) over opponents that acted.

    Args:
        model: the opponent model.
        batch: logged steps [B, ...].
        weights: weight of each type of each opponent.

    Returns:
        The loss, weighted by type, in nats.
    """
    losses, counts = jax.vmap(partial(opponent_losses, model))(
        batch.obs, batch.others, weights
    )
    return losses.sum() / jnp.maximum(counts.sum(), 1e-6)


def opponent_step(
    config: RunConfig,
    buffer: BufferState,
    weights: Float[Array, "E T N G"],
    train_state: TrainState,
    key: Key[Array, ""],
) -> tuple[TrainState, Metrics]:
    """Make one gradient step of the opponent model.

    Args:
        config: configuration of the run.
        buffer: the training episodes.
        weights: weight of each type at each step (`label_weights`).
        train_state: the state before the step.
        key: key of the random draws.

    Returns:
        The state after the step, and metrics by name.
    """
    draw_key, symmetry_key = jax.random.split(key)
    index = draw_index(buffer, draw_key, config.train.opponent_batch)
    batch, counts = augmented(
        config,
        train_state.opponents.game,
        gather(buffer, index),
        _of_opponents(weights, index),
        symmetry_key,
    )

    def loss(networks: PyTree) -> Float[Array, ""]:
        model = _with_networks(train_state.opponents, networks)
        return opponent_loss(model, batch, counts)

    value, gradient = eqx.filter_value_and_grad(loss)(
        opponent_networks(train_state.opponents)
    )
    train_state = _with_gradient(config, train_state, gradient)
    return train_state, {"opponent/log_loss": value}


def _of_opponents(
    weights: Float[Array, "E T N G"], index: Index
) -> Float[Array, "B J G"]:
    """Return the weights of the opponents of the seats at `index`, in ego order."""
    others = jnp.asarray(ego_order(weights.shape[2])[:, 1:])[index.seat]
    return weights[index.row[:, None], index.step[:, None], others]


def _with_networks(
    model: LearnedOpponents, networks: PyTree
) -> LearnedOpponents:
    return eqx.tree_at(opponent_networks, model, networks)


def _with_gradient(
    config: RunConfig, train_state: TrainState, gradient: PyTree
) -> TrainState:
    """Return the state after one step of the opponent model down its gradient."""
    networks, state = apply_gradient(
        optimiser(config.train, config.train.opponent_updates),
        train_state.opponent_optimiser,
        opponent_networks(train_state.opponents),
        gradient,
    )
    opponents = _with_networks(train_state.opponents, networks)
    return eqx.tree_at(
        lambda s: (s.opponents, s.opponent_optimiser, s.opponent_updates),
        train_state,
        (opponents, state, train_state.opponent_updates + 1),
    )


def subgoal_step(
    config: RunConfig,
    buffer: BufferState,
    weights: Float[Array, "E T N G"] | None,
    train_state: TrainState,
    key: Key[Array, ""],
) -> tuple[TrainState, Metrics]:
    """Make one gradient step of the opponent model and its subgoal network.

    A step belongs to a segment of play of `code_horizon` steps that starts at or before
    it; the subgoal network reads the segment's first and last observation
    (`bestreply.opponents.subgoals`). The segment is seen under a random symmetry of its
    own, so that a code is what all symmetries share.

    Args:
        config: configuration of the run.
        buffer: the training episodes.
        weights: weight of each code at each step, which the subgoal network is fitted
            to; None: the network's own codes are the weights.
        train_state: the state before the step.
        key: key of the random draws.

    Returns:
        The state after the step, and metrics by name.
    """
    draw_key, back_key, symmetry_key, segment_key = jax.random.split(key, 4)
    game = train_state.opponents.game
    index = draw_index(buffer, draw_key, config.train.opponent_batch)
    segment = _segments(config, game, buffer, index, back_key, segment_key)
    at = gather(buffer, index)
    labels = None if weights is None else _of_opponents(weights, index)

    def loss(networks: PyTree) -> tuple[Float[Array, ""], Metrics]:
        model = _with_networks(train_state.opponents, networks)
        log_codes = jax.vmap(jax.vmap(partial(log_code_posterior, model)))(
            *segment
        )
        counts = jnp.exp(log_codes) if labels is None else labels
        step, counts = augmented(config, game, at, counts, symmetry_key)
        losses = {"log_loss": opponent_loss(model, step, counts)}
        if labels is not None:
            total = jnp.maximum(labels.sum(), 1e-6)
            losses["subgoal"] = -(labels * log_codes).sum() / total
        return jnp.stack([*losses.values()]).sum(), losses

    (_, losses), gradient = eqx.filter_value_and_grad(loss, has_aux=True)(
        opponent_networks(train_state.opponents)
    )
    train_state = _with_gradient(config, train_state, gradient)
    return train_state, {
        f"opponent/{name}": value for name, value in losses.items()
    }


def _segments(
    config: RunConfig,
    game: Game,
    buffer: BufferState,
    index: Index,
    back_key: Key[Array, ""],
    symmetry_key: Key[Array, ""],
) -> tuple[Shaped[Array, "B J *obs"], Shaped[Array, "B J *obs"]]:
    """Return the opponents' observations at the start and end of a segment."""
    horizon, batch = config.model.code_horizon, len(index.row)
    others = jnp.asarray(ego_order(game.num_players)[:, 1:])[index.seat]
    back = jax.random.randint(back_key, (batch,), 0, horizon)
    start = jnp.maximum(index.step - back, 0)
    segment = segment_ends(
        buffer.episodes,
        Index(index.row[:, None], start[:, None], others),
        horizon,
    )
    symmetries = game.symmetries() if config.train.augment else None
    if symmetries is None:
        return segment
    which = draw_symmetry(symmetries, symmetry_key, batch)
    of_batch = jax.vmap(partial(transform_obs, symmetries))
    first, last = segment
    return of_batch(which, first), of_batch(which, last)


def history_loss(
    model: SequenceOpponents, histories: History
) -> tuple[Float[Array, ""], Metrics]:
    """Return the loss of the sequence model, and its two parts.

    The parts are the means of -log pi_hat_j(a_j | history, view) over steps, and of
    -log P(type | history) by the weights of types.

    Args:
        model: the sequence model.
        histories: B histories.

    Returns:
        The sum of the parts, and the parts by name, in nats.
    """

    def one(history: History) -> tuple[Array, Array, Array]:
        obs = history.obs.reshape(-1, *history.obs.shape[2:])
        which = jnp.repeat(history.other, history.action.shape[1])
        inputs = jax.vmap(lambda o, j: model.inputs(o)[j])(obs, which)
        legal = jax.vmap(lambda o, j: opponent_legal(model.game, o)[j])(
            obs, which
        )
        action = history.action.reshape(-1)
        acted = action != ABSENT
        weight = history.weight.reshape(len(action), -1) * acted[:, None]
        read = model.predict_all(inputs, legal, action)
        log_probs = jnp.take_along_axis(
            read.action, jnp.maximum(action, 0)[:, None], 1
        )[:, 0]
        return (
            jnp.where(acted, log_probs, 0.0).sum(),
            (weight * read.types).sum(),
            weight.sum(),
        )

    log_probs, log_types, weight = jax.vmap(one)(histories)
    acted = jnp.maximum((histories.action != ABSENT).sum(), 1)
    losses = {
        "log_loss": -log_probs.sum() / acted,
        "who": -log_types.sum() / jnp.maximum(weight.sum(), 1e-6),
    }
    return losses["log_loss"] + losses["who"], losses


def history_step(
    config: RunConfig,
    buffer: BufferState,
    where: Seatings,
    weights: Float[Array, "E T N G"],
    train_state: TrainState,
    key: Key[Array, ""],
) -> tuple[TrainState, Metrics]:
    """Make one gradient step of the sequence model.

    Args:
        config: configuration of the run.
        buffer: the training episodes.
        where: the episodes and seats of each player.
        weights: weight of each type at each step (`label_weights`).
        train_state: the state before the step.
        key: key of the random draws.

    Returns:
        The state after the step, and metrics by name.
    """
    sequence = train_state.sequence
    assert sequence is not None
    if train_state.opponents.game.num_players == 1:  # nothing to learn from
        return _counted(train_state, sequence), {
            "history/log_loss": jnp.float32(0),
            "history/who": jnp.float32(0),
        }
    draw_key, symmetry_key = jax.random.split(key)
    length = episodes_per_history(config, buffer.episodes.action.shape[1])
    histories = draw_histories(
        buffer, where, weights, draw_key, HISTORY_BATCH, length
    )
    if config.train.augment:
        game = train_state.opponents.game
        histories = transform_histories(game, histories, symmetry_key)
    (_, losses), gradient = eqx.filter_value_and_grad(
        history_loss, has_aux=True
    )(sequence.model, histories)
    model, state = apply_gradient(
        optimiser(config.train, config.train.history_updates),
        sequence.optimiser,
        sequence.model,
        gradient,
    )
    sequence = SequenceState(model, state, sequence.updates)
    return _counted(train_state, sequence), {
        f"history/{name}": value for name, value in losses.items()
    }


def _counted(train_state: TrainState, sequence: SequenceState) -> TrainState:
    """Return the state after one step of the sequence model."""
    return eqx.tree_at(
        lambda s: s.sequence,
        train_state,
        SequenceState(sequence.model, sequence.optimiser, sequence.updates + 1),
    )


def episodes_per_history(config: RunConfig, steps: int) -> int:
    """Return the largest number of episodes in a history.

    Args:
        config: its `model.context` is in steps.
        steps: steps of an episode.

    Returns:
        The number of episodes, the predicted one included.
    """
    if config.model.opponents == "recurrent":
        return 1
    return 1 + -(-config.model.context // steps)
