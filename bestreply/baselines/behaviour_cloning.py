"""Behaviour cloning (Pomerleau, 1989): one policy, fitted to the actions of all logged players."""

from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int32, Key, PyTree

from bestreply.baselines.policy import ActorCritic, OfflineMethod
from bestreply.config import RunConfig
from bestreply.games.base import Game
from bestreply.replay.moa_buffer import (
    BufferState,
    all_indices,
    draw_index,
    fill,
    gather,
)
from bestreply.run import Run
from bestreply.training.augmentation import augmented
from bestreply.training.phases import Metrics
from bestreply.training.state import apply_gradient, optimiser, trainable
from bestreply.types import ABSENT, Episodes, Transition


class CloningState(eqx.Module):
    """The state that training changes. The critic of `net` is not trained."""

    net: ActorCritic
    optimiser: PyTree
    updates: Int32[Array, ""]  # gradient steps made


class BehaviourCloning(OfflineMethod):
    """Fits a policy to the logged actions of all seats."""

    greedy = False

    def init(
        self, config: RunConfig, game: Game, key: Key[Array, ""]
    ) -> CloningState:
        net = ActorCritic.create(game, config.model, recurrent=False, key=key)
        transform = optimiser(config.train, config.train.updates)
        return CloningState(net, transform.init(trainable(net)), jnp.int32(0))

    def step(
        self,
        config: RunConfig,
        game: Game,
        buffer: BufferState,
        train_state: CloningState,
        key: Key[Array, ""],
    ) -> tuple[CloningState, Metrics]:
        draw_key, symmetry_key = jax.random.split(key)
        index = draw_index(buffer, draw_key, config.train.batch)
        batch, _ = augmented(
            config, game, gather(buffer, index), None, symmetry_key
        )
        loss, gradient = eqx.filter_value_and_grad(
            lambda net: log_loss(net, batch).mean()
        )(train_state.net)
        net, state = apply_gradient(
            optimiser(config.train, config.train.updates),
            train_state.optimiser,
            train_state.net,
            gradient,
        )
        train_state = CloningState(net, state, train_state.updates + 1)
        return train_state, {"policy/log_loss": loss}

    def diagnose(self, run: Run, held_out: Episodes) -> dict[str, Any]:
        """Return the log-loss of held-out steps, in nats a step.

        Args:
            run: the trained run.
            held_out: episodes that it was not trained on.

        Returns:
            The content of diagnostics.json.
        """
        steps = gather(fill(held_out), all_indices(held_out))
        losses = jax.jit(partial(log_loss, run.train_state.net))(steps)
        return {"heldout": {"policy": float(np.mean(losses))}}


def log_loss(net: ActorCritic, batch: Transition) -> Float[Array, " B"]:
    """Return -log pi(a_i | o) of logged steps.

    Args:
        net: a policy without memory.
        batch: steps [B, ...].

    Returns:
        The loss of each step, in nats.
    """
    before = jnp.full(batch.present.shape[-1], ABSENT)
    policy = jax.vmap(
        lambda obs, legal: net(net.start(), obs, legal, before)[1]
    )
    log_probs = policy(batch.obs, batch.legal)
    return -jnp.take_along_axis(log_probs, batch.action[:, None], 1)[:, 0]
