"""One gradient step of each phase of training."""

from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array

from bestreply.config import RunConfig
from bestreply.games.base import Game
from bestreply.games.symmetries import (
    draw_symmetry,
    transform,
    transform_action,
    transform_obs,
)
from bestreply.models.world_model import WorldModel
from bestreply.opponents.base import opponent_inputs, opponent_legal
from bestreply.opponents.learned import LearnedOpponents
from bestreply.opponents.opponent_types import opponent_types
from bestreply.opponents.sequence import SequenceOpponents
from bestreply.opponents.subgoals import log_code, now_and_then
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
    gather_window,
)
from bestreply.training.imagination import ImaginedTransition, dream_batch
from bestreply.training.losses import (
    opponent_losses,
    total_loss,
    value_loss,
    world_losses,
)
from bestreply.training.state import (
    SequenceState,
    TrainState,
    fits,
    optimiser,
    trainable,
)
from bestreply.training.targets import (
    LoggedBeliefs,
    Targets,
    improved_target,
    logged_steps,
    value_targets,
)
from bestreply.types import ABSENT, Transition, ego_order

HISTORY_BATCH = 64
"""Histories in a gradient step, each of one episode or of as many as `model.context` reads."""
UNROLL = 1
"""Latent steps that the loss of the dynamics covers; 1 is the specification's loss."""


def labels(config: RunConfig, at: Transition) -> Array | None:
    """[..., N-1] int32: the goal or type of each other player, as the model of the others counts them; None where codes are learned,
    which nobody labels."""
    logged = opponent_types(config.model).logged
    return None if logged is None else logged(at.player, at.goal)[..., 1:]


def opponent_loss(
    model: LearnedOpponents, batch: Transition, weights: Array
) -> Array:
    """Mean of -log pi_hat_j(a_j | o, g) over those that acted, by their weights [B, N-1, G] for each goal or type."""
    losses, counts = jax.vmap(partial(opponent_losses, model))(
        batch.obs, batch.others, weights
    )
    return losses.sum() / jnp.maximum(counts.sum(), 1e-6)


def opponent_step(
    config: RunConfig,
    buffer: BufferState,
    weights: Array,
    train_state: TrainState,
    key: Array,
) -> tuple[TrainState, dict[str, Array]]:
    """One gradient step for the model of the others; `weights` [E, T, N, G] of each step for each goal or type."""
    draw_key, turn_key = jax.random.split(key)
    index = draw_index(buffer, draw_key, config.train.opponent_batch)
    others = jnp.asarray(ego_order(weights.shape[2])[:, 1:])[index.seat]
    counts = weights[
        index.row[:, None], index.step[:, None], others
    ]  # [B, N-1, G]
    batch, counts = augmented(
        config,
        train_state.opponents.game,
        gather(buffer, index),
        counts,
        turn_key,
    )

    def loss(fitted: Any) -> Array:
        return opponent_loss(
            eqx.tree_at(fits, train_state.opponents, fitted), batch, counts
        )

    value, gradient = eqx.filter_value_and_grad(loss)(
        fits(train_state.opponents)
    )
    return _fitted(config, train_state, gradient), {"opponent/log_loss": value}


def _fitted(
    config: RunConfig, train_state: TrainState, gradient: Any
) -> TrainState:
    """The model of the others one step down its `gradient`."""
    before = fits(train_state.opponents)
    transform = optimiser(config.train, config.train.opponent_updates)
    change, state = transform.update(
        gradient, train_state.opponent_optimiser, trainable(before)
    )
    opponents = eqx.tree_at(
        fits, train_state.opponents, eqx.apply_updates(before, change)
    )
    return eqx.tree_at(
        lambda s: (s.opponents, s.opponent_optimiser, s.opponent_updates),
        train_state,
        (opponents, state, train_state.opponent_updates + 1),
    )


def subgoal_step(
    config: RunConfig,
    buffer: BufferState,
    weights: Array | None,
    train_state: TrainState,
    key: Array,
) -> tuple[TrainState, dict[str, Array]]:
    """One gradient step for the model of the others, and for what shows their subgoals (`bestreply.opponents.subgoals`).

    A step belongs to a stretch of play of `code_horizon` steps that began at or before it. With `weights` [E, T, N, G], of ways to act,
    what the stretch shows is fitted to them; without, it says what the step counts for each code. It is seen under a symmetry of its
    own, so that a code is what all symmetries share.
    """
    draw_key, back_key, turn_key, show_key = jax.random.split(key, 4)
    game, horizon, batch = (
        train_state.opponents.game,
        config.model.code_horizon,
        config.train.opponent_batch,
    )
    index = draw_index(buffer, draw_key, batch)
    others = jnp.asarray(ego_order(game.num_players)[:, 1:])[index.seat]
    back = jax.random.randint(back_key, (batch,), 0, horizon)
    began = Index(
        index.row[:, None], jnp.maximum(index.step - back, 0)[:, None], others
    )
    shown = now_and_then(buffer.episodes, began, horizon)
    symmetries = game.symmetries() if config.train.augment else None
    if symmetries is not None:
        which = draw_symmetry(symmetries, show_key, batch)
        shown = jax.vmap(
            lambda s, *seen: tuple(
                transform_obs(symmetries, s, obs) for obs in seen
            )
        )(which, *shown)
    at = gather(buffer, index)
    by_play = (
        None
        if weights is None
        else weights[index.row[:, None], index.step[:, None], others]
    )

    def loss(fitted: Any) -> tuple[Array, dict[str, Array]]:
        model = eqx.tree_at(fits, train_state.opponents, fitted)
        told = jax.vmap(jax.vmap(partial(log_code, model)))(*shown)
        step, counts = augmented(
            config,
            game,
            at,
            jnp.exp(told) if by_play is None else by_play,
            turn_key,
        )
        losses = {"log_loss": opponent_loss(model, step, counts)}
        if by_play is not None:
            losses["subgoal"] = -(by_play * told).sum() / jnp.maximum(
                by_play.sum(), 1e-6
            )
        return jnp.stack([*losses.values()]).sum(), losses

    (_, losses), gradient = eqx.filter_value_and_grad(loss, has_aux=True)(
        fits(train_state.opponents)
    )
    return _fitted(config, train_state, gradient), {
        f"opponent/{name}": loss for name, loss in losses.items()
    }


def history_loss(
    model: SequenceOpponents, histories: History
) -> tuple[Array, dict[str, Array]]:
    """Mean of -log pi_hat_j(a_j | history, view) over the steps of `histories` [B, ...], and of -log P(goal or type) by its weights."""

    def one(history: History) -> tuple[Array, Array, Array]:
        obs = history.obs.reshape(-1, *history.obs.shape[2:])
        which = jnp.repeat(history.other, history.action.shape[1])
        seen = jax.vmap(lambda o, j: opponent_inputs(model.game, o)[j])(
            obs, which
        )
        legal = jax.vmap(lambda o, j: opponent_legal(model.game, o)[j])(
            obs, which
        )
        action = history.action.reshape(-1)
        weight = (
            history.weight.reshape(len(action), -1)
            * (action != ABSENT)[:, None]
        )
        read = model.along(seen, legal, action)
        taken = jnp.take_along_axis(
            read.action, jnp.maximum(action, 0)[:, None], 1
        )[:, 0]
        return (
            jnp.where(action != ABSENT, taken, 0.0).sum(),
            (weight * read.who).sum(),
            weight.sum(),
        )

    taken, who, weight = jax.vmap(one)(histories)
    acted = jnp.maximum((histories.action != ABSENT).sum(), 1)
    losses = {
        "log_loss": -taken.sum() / acted,
        "who": -who.sum() / jnp.maximum(weight.sum(), 1e-6),
    }
    return losses["log_loss"] + losses["who"], losses


def history_step(
    config: RunConfig,
    buffer: BufferState,
    where: Seatings,
    weights: Array,
    train_state: TrainState,
    key: Array,
) -> tuple[TrainState, dict[str, Array]]:
    """One gradient step for the model that reads the others' history; `weights` [E, T, N, G] as in `opponent_step`."""
    sequence = train_state.sequence
    assert sequence is not None
    draw_key, turn_key = jax.random.split(key)
    length = episodes_read(config, buffer.episodes.action.shape[1])
    histories = draw_histories(
        buffer, where, weights, draw_key, HISTORY_BATCH, length
    )
    if config.train.augment:
        histories = transform_histories(
            train_state.opponents.game, histories, turn_key
        )
    (_, losses), gradient = eqx.filter_value_and_grad(
        history_loss, has_aux=True
    )(sequence.model, histories)
    transform = optimiser(config.train, config.train.history_updates)
    change, state = transform.update(
        gradient, sequence.optimiser, trainable(sequence.model)
    )
    model = eqx.apply_updates(sequence.model, change)
    train_state = eqx.tree_at(
        lambda s: s.sequence,
        train_state,
        SequenceState(model, state, sequence.updates + 1),
    )
    return train_state, {
        f"history/{name}": value for name, value in losses.items()
    }


def episodes_read(config: RunConfig, steps: int) -> int:
    """How many episodes of `steps` steps a history holds at most."""
    return (
        1
        if config.model.opponents == "recurrent"
        else 1 + -(-config.model.context // steps)
    )


def augmented(
    config: RunConfig, game: Game, batch: Transition, belief: Any, key: Array
) -> tuple[Transition, Any]:
    """A batch [B, ...] of steps or windows and the beliefs [B, N-1, G] at their start, each under a random symmetry of the game."""
    symmetries = game.symmetries() if config.train.augment else None
    if symmetries is None:
        return batch, belief
    which = draw_symmetry(symmetries, key, batch.obs.shape[0])
    batch = jax.vmap(partial(transform, symmetries))(which, batch)
    if belief is not None:
        belief = jnp.take_along_axis(
            belief, jnp.asarray(symmetries.others)[which][..., None], 1
        )
    return batch, belief


def world_loss(
    world: WorldModel,
    config: RunConfig,
    windows: Transition,
    obs: Array,
    targets: Targets | None,
) -> tuple[Array, dict[str, Array]]:
    """The weighted sum of all losses and each by name: the value's over `obs` [V, ...], the others' over windows [B, L, ...].

    Without `targets` the value is left alone: it has a phase of its own.
    """
    each_window = partial(
        world_losses, world, limit_ends=config.train.at_limit == "zero"
    )
    losses = jax.tree.map(jnp.mean, jax.vmap(each_window)(windows))
    if targets is None:
        losses = losses | {"value": jnp.float32(0)}
        return total_loss(losses, config.train.weights), losses
    heads = jnp.arange(targets.y.shape[1])
    each = jax.vmap(
        lambda o, b, y: jax.vmap(partial(value_loss, world, o, b))(heads, y)
    )(obs, targets.belief, targets.y)
    losses = losses | {"value": (targets.weight * each).sum(1).mean()}
    return total_loss(losses, config.train.weights), losses


def world_step(
    config: RunConfig,
    buffer: BufferState,
    logged_beliefs: LoggedBeliefs,
    train_state: TrainState,
    key: Array,
) -> tuple[TrainState, dict[str, Array]]:
    """One gradient step for the world model and, unless it has a phase of its own, its value; the target network follows slowly."""
    window_key, value_key, target_key, turn_key, turn_value_key = (
        jax.random.split(key, 5)
    )
    game = train_state.opponents.game
    windows = gather_window(
        buffer, draw_index(buffer, window_key, config.train.batch), UNROLL
    )
    windows, _ = augmented(config, game, windows, None, turn_key)
    at, targets = windows, None
    if config.train.target != "improved":
        index = draw_index(buffer, value_key, config.train.value_batch)
        at = gather(buffer, index)
        targets = value_targets(
            config,
            train_state.target_net,
            train_state.opponents,
            buffer,
            logged_beliefs,
            index,
            at,
            target_key,
        )
        at, belief = augmented(config, game, at, targets.belief, turn_value_key)
        targets = targets._replace(belief=belief)
    (_, losses), gradient = eqx.filter_value_and_grad(world_loss, has_aux=True)(
        train_state.world, config, windows, at.obs, targets
    )
    gradient = trainable(gradient, train_state.world)
    change, state = optimiser(config.train, config.train.updates).update(
        gradient, train_state.world_optimiser, trainable(train_state.world)
    )
    world = eqx.apply_updates(train_state.world, change)
    target_net = follow(config, train_state.target_net, world)
    train_state = eqx.tree_at(
        lambda s: (s.world, s.target_net, s.world_optimiser, s.updates),
        train_state,
        (world, target_net, state, train_state.updates + 1),
    )
    return train_state, {
        f"world/{name}": value for name, value in losses.items()
    }


def follow(config: RunConfig, target_net: Any, online: Any) -> Any:
    """The target_net target network, a little nearer to the online one."""
    rate = config.train.target_tau
    return jax.tree.map(
        lambda old, new: (
            old + rate * (new - old) if eqx.is_inexact_array(old) else old
        ),
        target_net,
        online,
    )


def value_step(
    config: RunConfig,
    buffer: BufferState,
    logged_beliefs: LoggedBeliefs,
    train_state: TrainState,
    key: Array,
) -> tuple[TrainState, dict[str, Array]]:
    """One gradient step for the values of actions, on logged and on imagined steps; every imagined game goes one step further."""
    index_key, told_key, dream_key, turn_key = jax.random.split(key, 4)
    game, world = train_state.opponents.game, train_state.world
    index = draw_index(buffer, index_key, config.train.value_batch)
    at = gather(buffer, index)
    logged = logged_steps(
        config.train, logged_beliefs, at, index, labels(config, at), told_key
    )
    assert train_state.imagined_games is not None
    imagined_games, dreamt = dream_batch(
        config.train,
        world,
        train_state.opponents,
        buffer,
        train_state.imagined_games,
        dream_key,
    )
    steps = jax.tree.map(lambda *x: jnp.concatenate(x), logged, dreamt)
    steps = augmented_steps(config, game, steps, turn_key)
    y = jax.vmap(
        partial(
            improved_target, config.train, world, train_state.target_net, game
        )
    )(steps)

    def loss(net: Any) -> Array:
        fitted = eqx.tree_at(lambda w: w.value_net, world, net)
        return jax.vmap(partial(value_loss, fitted))(
            steps.obs, steps.belief, steps.action, y
        ).mean()

    value, gradient = eqx.filter_value_and_grad(loss)(world.value_net)
    transform = optimiser(config.train, config.train.value_updates)
    change, state = transform.update(
        gradient, train_state.value_optimiser, trainable(world.value_net)
    )
    net = eqx.apply_updates(world.value_net, change)
    train_state = eqx.tree_at(
        lambda s: (
            s.world.value_net,
            s.target_net.value_net,
            s.value_optimiser,
            s.imagined_games,
            s.value_updates,
        ),
        train_state,
        (
            net,
            follow(config, train_state.target_net.value_net, net),
            state,
            imagined_games,
            train_state.value_updates + 1,
        ),
    )
    return train_state, {"value/value": value}


def augmented_steps(
    config: RunConfig, game: Game, steps: ImaginedTransition, key: Array
) -> ImaginedTransition:
    """Steps [B, ...], each under a random symmetry of the game."""
    symmetries = game.symmetries() if config.train.augment else None
    if symmetries is None:
        return steps

    def one(which: Array, step: ImaginedTransition) -> ImaginedTransition:
        order = jnp.asarray(symmetries.others)[which]
        return step._replace(
            obs=transform_obs(symmetries, which, step.obs),
            belief=step.belief[order],
            action=transform_action(symmetries, which, step.action),
            next_obs=transform_obs(symmetries, which, step.next_obs),
            next_belief=step.next_belief[order],
        )

    return jax.vmap(one)(
        draw_symmetry(symmetries, key, len(steps.action)), steps
    )
