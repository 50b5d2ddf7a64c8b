"""One gradient step of the world model, and of its value."""

from functools import partial
from typing import TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key, PyTree

from bestreply.config import RunConfig
from bestreply.models.world_model import WorldModel
from bestreply.replay.moa_buffer import (
    BufferState,
    draw_index,
    gather,
    gather_window,
)
from bestreply.training.augmentation import augmented, augmented_steps
from bestreply.training.imagination import imagine_batch
from bestreply.training.losses import (
    latent_of,
    load_loss,
    total_loss,
    value_loss,
)
from bestreply.training.opponent_updates import logged_types
from bestreply.training.phases import Metrics
from bestreply.training.state import (
    TrainState,
    apply_gradient,
    optimiser,
)
from bestreply.training.targets import (
    LoggedBeliefs,
    Targets,
    history_steps,
    improved_target,
    logged_steps,
    value_targets,
    with_history,
)
from bestreply.types import Transition

Tree = TypeVar("Tree")

UNROLL = 1
"""Latent steps that the loss of the dynamics covers; 1 is the specification's loss."""


def world_loss(
    world: WorldModel,
    config: RunConfig,
    windows: Transition,
    seen: Transition,
    targets: Targets | None,
) -> tuple[Float[Array, ""], Metrics]:
    """Return the weighted sum of all losses, and each by name.

    Args:
        world: the world model.
        config: configuration of the run.
        windows: windows [B, L, ...], for all losses but the value's.
        seen: steps [V, ...], for the loss of the value; windows [V, L, ...] where the
            model has a memory.
        targets: TD targets [V, ...] at `seen`; None: the value has a phase of its own.

    Returns:
        The loss that a gradient step decreases, and its unweighted parts.
    """
    each_window = partial(
        load_loss(config.train.loss),
        world,
        limit_ends=config.train.at_limit == "zero",
    )
    if world.memory is not None:
        each_window = partial(each_window, history=history_steps(world))
    losses = jax.tree.map(jnp.mean, jax.vmap(each_window)(windows))
    losses["value"] = jnp.float32(0)
    if targets is not None:
        heads = jnp.arange(targets.y.shape[1])

        def of_heads(
            o: Array, b: Array, y: Array, z: Array | None = None
        ) -> Array:
            loss = partial(value_loss, world, o, b, z=z)
            return jax.vmap(loss)(heads, y)

        of_step = seen.obs, targets.belief, targets.y
        if world.memory is not None:
            z = jax.vmap(partial(latent_of, world))(seen)
            of_step = seen.obs[:, -1], *of_step[1:], z
        each = jax.vmap(of_heads)(*of_step)
        losses["value"] = (targets.weight * each).sum(1).mean()
    return total_loss(losses, config.train.weights), losses


def world_step(
    config: RunConfig,
    buffer: BufferState,
    logged_beliefs: LoggedBeliefs,
    train_state: TrainState,
    key: Key[Array, ""],
) -> tuple[TrainState, Metrics]:
    """Make one gradient step of the world model and, without a phase of its own, its value.

    Args:
        config: configuration of the run.
        buffer: the training episodes.
        logged_beliefs: beliefs and importance ratios of these episodes.
        train_state: the state before the step.
        key: key of the random draws.

    Returns:
        The state after the step, with an updated target network, and metrics by name.
    """
    window_key, value_key, target_key, symmetry_key, value_symmetry_key = (
        jax.random.split(key, 5)
    )
    game = train_state.opponents.game
    history = history_steps(train_state.world)
    index = draw_index(buffer, window_key, config.train.batch)
    if history:
        windows = with_history(buffer, index, history)
    else:
        windows = gather_window(buffer, index, UNROLL)
    windows, _ = augmented(config, game, windows, None, symmetry_key)
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
        if history:
            at = with_history(buffer, index, history)
        at, belief = augmented(
            config, game, at, targets.belief, value_symmetry_key
        )
        targets = targets._replace(belief=belief)
    (_, losses), gradient = eqx.filter_value_and_grad(world_loss, has_aux=True)(
        train_state.world, config, windows, at, targets
    )
    world, state = apply_gradient(
        optimiser(config.train, config.train.updates),
        train_state.world_optimiser,
        train_state.world,
        gradient,
    )
    target_net = follow(config, train_state.target_net, world)
    train_state = eqx.tree_at(
        lambda s: (s.world, s.target_net, s.world_optimiser, s.updates),
        train_state,
        (world, target_net, state, train_state.updates + 1),
    )
    return train_state, {
        f"world/{name}": value for name, value in losses.items()
    }


def follow(config: RunConfig, target_net: Tree, online: Tree) -> Tree:
    """Return the target network after one step towards the online one.

    Args:
        config: its `train.target_tau` is the size of the step.
        target_net: the target network.
        online: the online network.

    Returns:
        The updated target network.
    """
    tau = config.train.target_tau

    def move(old: Array, new: Array) -> Array:
        return old + tau * (new - old) if eqx.is_inexact_array(old) else old

    return jax.tree.map(move, target_net, online)


def value_step(
    config: RunConfig,
    buffer: BufferState,
    logged_beliefs: LoggedBeliefs,
    train_state: TrainState,
    key: Key[Array, ""],
) -> tuple[TrainState, Metrics]:
    """Make one gradient step of the action values, on logged and imagined steps.

    Args:
        config: configuration of the run.
        buffer: the training episodes.
        logged_beliefs: beliefs of these episodes.
        train_state: the state before the step.
        key: key of the random draws.

    Returns:
        The state after the step, with every imagined game one step further, and metrics
        by name.
    """
    index_key, given_key, imagine_key, symmetry_key = jax.random.split(key, 4)
    train, world = config.train, train_state.world
    game = train_state.opponents.game
    index = draw_index(buffer, index_key, train.value_batch)
    at = gather(buffer, index)
    types = logged_types(config, at)
    logged = logged_steps(train, logged_beliefs, at, index, types, given_key)
    assert train_state.imagined_games is not None
    imagined_games, imagined = imagine_batch(
        train,
        world,
        train_state.opponents,
        buffer,
        train_state.imagined_games,
        imagine_key,
    )
    steps = jax.tree.map(lambda *x: jnp.concatenate(x), logged, imagined)
    steps = augmented_steps(config, game, steps, symmetry_key)
    y = jax.vmap(
        partial(improved_target, train, world, train_state.target_net, game)
    )(steps)

    def loss(value_net: PyTree) -> Float[Array, ""]:
        model = eqx.tree_at(lambda w: w.value_net, world, value_net)
        return jax.vmap(partial(value_loss, model))(
            steps.obs, steps.belief, steps.action, y
        ).mean()

    value, gradient = eqx.filter_value_and_grad(loss)(world.value_net)
    value_net, state = apply_gradient(
        optimiser(train, train.value_updates),
        train_state.value_optimiser,
        world.value_net,
        gradient,
    )
    target_net = follow(config, train_state.target_net.value_net, value_net)
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
            value_net,
            target_net,
            state,
            imagined_games,
            train_state.value_updates + 1,
        ),
    )
    return train_state, {"value/value": value}
