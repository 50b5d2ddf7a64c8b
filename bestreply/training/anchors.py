"""Training of the anchors: policies of the data's players, and the returns they earn."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key, PyTree

from bestreply.config import RunConfig
from bestreply.games.seats import role_of_seat
from bestreply.models.anchors import Anchors, with_all_returns
from bestreply.models.world_model import NO_VALUE
from bestreply.opponents.opponent_types import opponent_types
from bestreply.replay.moa_buffer import BufferState, draw_index, gather
from bestreply.training.augmentation import augmented
from bestreply.training.phases import Metrics, Phase
from bestreply.training.state import TrainState, apply_gradient, optimiser
from bestreply.types import ABSENT, Episodes, Transition


def anchor_loss(anchors: Anchors, at: Transition) -> Float[Array, ""]:
    """Return the mean of -log pi_k(a_i | o), k being the player that acted.

    Args:
        anchors: the policies.
        at: logged steps [B, ...].

    Returns:
        The loss, in nats.
    """
    log_probs = jax.vmap(anchors.log_probs)(at.obs, at.legal)
    rows = jnp.arange(len(at.action))
    return -log_probs[rows, at.player[:, 0], at.action].mean()


def anchor_step(
    config: RunConfig,
    buffer: BufferState,
    train_state: TrainState,
    key: Key[Array, ""],
) -> tuple[TrainState, Metrics]:
    """Make one gradient step of the anchors.

    Args:
        config: configuration of the run.
        buffer: the training episodes.
        train_state: the state before the step.
        key: key of the random draws.

    Returns:
        The state after the step, and metrics by name.
    """
    draw_key, symmetry_key = jax.random.split(key)
    anchors = train_state.anchors
    assert anchors is not None
    model = anchors.model
    index = draw_index(buffer, draw_key, config.train.opponent_batch)
    at, _ = augmented(
        config, model.game, gather(buffer, index), None, symmetry_key
    )

    def loss(net: PyTree) -> Float[Array, ""]:
        return anchor_loss(eqx.tree_at(lambda m: m.net, model, net), at)

    value, gradient = eqx.filter_value_and_grad(loss)(model.net)
    net, state = apply_gradient(
        optimiser(config.train, config.train.anchor_updates),
        anchors.optimiser,
        model.net,
        gradient,
    )
    train_state = eqx.tree_at(
        lambda s: (s.anchors.model.net, s.anchors.optimiser, s.anchors.updates),
        train_state,
        (net, state, anchors.updates + 1),
    )
    return train_state, {"anchors/log_loss": value}


ANCHORS = Phase("anchors", anchor_step, "anchor_updates", stream=7)


def returns_of_players(
    config: RunConfig, anchors: Anchors, episodes: Episodes
) -> Float[np.ndarray, "R K G"]:
    """Return the mean return of each player in each role, by the types of its opponents.

    An episode counts for the types of its opponents in proportion to their numbers. Types
    that play does not log have one mean.

    Args:
        config: its `model.opponent_types` says what the types are.
        anchors: the anchors, for the sizes of the table.
        episodes: logged play.
    """
    game, shape = anchors.game, anchors.returns.shape
    player = np.asarray(episodes.player)
    totals = np.asarray(episodes.reward).sum(1, dtype=np.float64)  # [E, N]
    took_part = np.asarray(episodes.action)[:, 0] != ABSENT
    took_part &= player != ABSENT
    by_type = opponent_types(config.model).players and game.num_players > 1
    sums, counts = np.zeros(shape), np.zeros(shape)
    for seat, role in enumerate(role_of_seat(game)):
        others = [j for j in range(game.num_players) if j != seat]
        for other in others if by_type else [seat]:
            kept = took_part[:, seat] & took_part[:, other]
            types = player[kept, other] if by_type else slice(None)
            at: Any = role, player[kept, seat], types
            totals_of_seat = totals[kept, seat]
            if not by_type:  # the same for every type
                totals_of_seat = totals_of_seat[:, None]
            np.add.at(sums, at, totals_of_seat)
            np.add.at(counts, at, 1)
    means = sums / np.maximum(counts, 1)
    return with_all_returns(means, counts > 0)


MIN_EPISODES = 20
"""Episodes among opponents of one type from which on their mean return counts."""


def returns_among_one_type(
    config: RunConfig,
    returns: Float[np.ndarray, "R K G"],
    anchors: Anchors,
    episodes: Episodes,
) -> Float[np.ndarray, "R K G"]:
    """Return the mean return of each player where all its opponents are of one type.

    Args:
        config: its `model.opponent_types` says what the types are.
        returns: `returns_of_players`; where there are too few such episodes the effects
            of types on it are added up.
        anchors: the anchors, for the game.
        episodes: logged play.
    """
    game = anchors.game
    rivals = game.num_players - 1
    mean = returns.mean(2, keepdims=True)
    among = np.where(
        returns > NO_VALUE, mean + rivals * (returns - mean), NO_VALUE
    )
    if not rivals or not opponent_types(config.model).players:
        return among
    player = np.asarray(episodes.player)
    totals = np.asarray(episodes.reward).sum(1, dtype=np.float64)
    took_part = np.asarray(episodes.action)[:, 0] != ABSENT
    sums, counts = np.zeros(among.shape), np.zeros(among.shape)
    for seat, role in enumerate(role_of_seat(game)):
        others = np.delete(player, seat, 1)
        kept = took_part.all(1) & (player >= 0).all(1)
        kept &= (others == others[:, :1]).all(1)
        at = role, player[kept, seat], others[kept, 0]
        np.add.at(sums, at, totals[kept, seat])
        np.add.at(counts, at, 1)
    means = sums / np.maximum(counts, 1)
    return np.where(counts >= MIN_EPISODES, means, among)


def begin_anchors(
    config: RunConfig, train_state: TrainState, episodes: Episodes
) -> TrainState:
    """Return the state with what the players of the data earn, and units of observations.

    Args:
        config: configuration of the run.
        train_state: a state with anchors.
        episodes: the training episodes.
    """
    anchors: Any = train_state.anchors
    model = anchors.model
    returns = returns_of_players(config, model, episodes)
    among = returns_among_one_type(config, returns, model, episodes)
    return eqx.tree_at(
        lambda s: (s.anchors.model.returns, s.anchors.model.returns_among),
        train_state,
        tuple(jnp.asarray(x, jnp.float32) for x in (returns, among)),
    )
