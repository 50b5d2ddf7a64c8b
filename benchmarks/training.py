"""Gradient steps per second of the world model, compared with the same step in PyTorch on
the same batches.

A step contains TD targets from the target network, all losses, the gradient, clipping,
AdamW with its schedule and the update of the target network. Batches are drawn in
advance and equal on both sides. Both sides must first compute the same losses from the
same weights over several updates. The full step of `bestreply.train`, which also draws,
augments and gathers each batch, is timed too.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

from benchmarks import setting
from benchmarks.timing import Job, take_turns
from bestreply.replay.moa_buffer import draw_index, gather, gather_window
from bestreply.training.loop import WORLD
from bestreply.training.losses import data_target
from bestreply.training.phases import run_updates
from bestreply.training.state import TrainState, optimiser, trainable
from bestreply.training.targets import Targets, n_step_return
from bestreply.training.world_updates import world_loss
from bestreply.types import Transition

BATCHES = 16
CHECKED = 8
TOLERANCE = 1e-4


class Batch(NamedTuple):
    """The data of one update, before targets."""

    windows: Transition  # [B, 1, ...]
    obs: Any  # [V, *obs_shape]
    belief: Any  # [V, N-1, G]
    own: Any  # [V, K] bool, the head of the player that acted
    weight: Any  # [V, K]
    ends: tuple[
        Any, Any
    ]  # for n steps and for one: reward [V], discount [V], observation and belief after


def draw_batch(key: jax.Array) -> Batch:
    """Return a batch as `world_step` draws it, without augmentation."""
    config = setting.config()
    _, buffer, logged_beliefs = setting.logged()
    window_key, value_key = jax.random.split(key)
    index = draw_index(buffer, value_key, config.train.value_batch)
    at = gather(buffer, index)
    own = jax.nn.one_hot(at.player[:, 0], len(setting.PLAYERS)) > 0

    def end(n: int) -> Any:
        reward, discount, t = n_step_return(
            config.train, buffer.episodes, index, n
        )
        return (
            reward,
            discount,
            buffer.episodes.obs[index.row, t, index.seat],
            logged_beliefs.beliefs[index.row, t, index.seat],
        )

    return Batch(
        gather_window(
            buffer, draw_index(buffer, window_key, config.train.batch), 1
        ),
        at.obs,
        logged_beliefs.beliefs[index],
        own,
        jnp.where(own, 1.0, logged_beliefs.ratios[index])
        if logged_beliefs.ratios is not None
        else own.astype(jnp.float32),
        (end(config.train.n_step), end(1)),
    )


def our_step(
    train_state: TrainState, batch: Batch
) -> tuple[TrainState, jax.Array]:
    """Make the part of `world_step` after the batch is drawn."""
    config = setting.config()

    def bootstrapped(end: Any) -> jax.Array:
        reward, discount, obs, belief = end
        value = jax.vmap(
            lambda o, b: train_state.target_net.value(
                train_state.target_net.encode(o), o, b
            )
        )(obs, belief)
        return data_target(reward[:, None], discount[:, None], value)

    y = jnp.where(batch.own, *map(bootstrapped, batch.ends))
    targets = Targets(y, batch.weight, batch.belief)
    (total, _), gradient = eqx.filter_value_and_grad(world_loss, has_aux=True)(
        train_state.world, config, batch.windows, batch.obs, targets
    )
    weights = trainable(train_state.world)
    gradient = trainable(gradient, train_state.world)
    change, state = optimiser(config.train, config.train.updates).update(
        gradient, train_state.world_optimiser, weights
    )
    world = eqx.apply_updates(train_state.world, change)
    rate = config.train.target_tau
    slow = jax.tree.map(
        lambda old, new: (
            old + rate * (new - old) if eqx.is_inexact_array(old) else old
        ),
        train_state.target_net,
        world,
    )
    return eqx.tree_at(
        lambda s: (s.world, s.target_net, s.world_optimiser),
        train_state,
        (world, slow, state),
    ), total


@jax.jit
def our_updates(
    train_state: TrainState, batches: Batch
) -> tuple[TrainState, jax.Array]:
    return jax.lax.scan(our_step, train_state, batches)


def batches() -> Batch:
    """Return batches [BATCHES, ...]."""
    setting.logged()  # made before the trace, not inside it
    return jax.block_until_ready(
        jax.jit(jax.vmap(draw_batch))(
            jax.random.split(jax.random.key(0), BATCHES)
        )
    )


def our_job() -> Job:
    train_state, data = setting.logged()[0], batches()

    def job() -> float:
        nonlocal train_state
        train_state, total = our_updates(train_state, data)
        jax.block_until_ready(total)
        return BATCHES

    return job


def whole_job() -> Job:
    """Return a job of the compiled loop of `bestreply.train`, with drawing and augmentation."""
    config = setting.config()
    train_state, buffer, logged_beliefs = setting.logged()
    train_state = jax.tree.map(jnp.copy, train_state)
    seed = jax.random.key(0)

    def job() -> float:
        nonlocal train_state
        train_state, metrics = run_updates(
            config,
            WORLD.step,
            (buffer, logged_beliefs),
            train_state,
            seed,
            jnp.int32(0),
            50,
        )
        jax.block_until_ready(metrics)
        return 50

    return job


# -- PyTorch -------------------------------------------------------------------------------------------------


def tensors(batch: Batch) -> dict[str, Any]:
    """Return one batch as PyTorch tensors."""
    import torch  # pyright: ignore[reportMissingImports]

    w = jax.tree.map(lambda x: np.asarray(x[:, 0]), batch.windows)
    count, entries = len(batch.obs), w.obs[0].size
    arrays = {
        "obs": w.obs.reshape(-1, entries),
        "next_obs": w.next_obs.reshape(-1, entries),
        "joint": np.concatenate([w.action[:, None], w.others], 1),
        "reward": w.reward,
        "goes_on": (~(w.terminated | w.truncated)).astype(
            np.float32
        ),  # at_limit="zero"
        "legal": w.legal.astype(np.float32),
        "next_legal": w.next_legal.astype(np.float32),
        "value_obs": np.asarray(batch.obs).reshape(count, -1),
        "belief": np.asarray(batch.belief).reshape(count, -1),
        "own": np.asarray(batch.own),
        "weight": np.asarray(batch.weight),
    }
    for name, (reward, discount, obs, belief) in zip(
        "n1", batch.ends, strict=True
    ):
        arrays |= {
            f"reward_{name}": np.asarray(reward),
            f"discount_{name}": np.asarray(discount, np.float32),
        }
        arrays |= {f"end_obs_{name}": np.asarray(obs).reshape(count, -1)}
        arrays |= {f"end_belief_{name}": np.asarray(belief).reshape(count, -1)}
    return {name: torch.tensor(x) for name, x in arrays.items()}


def trainer(compiled: bool) -> tuple[Any, list[dict[str, Any]]]:
    from benchmarks.plain_torch import Trainer

    config = setting.config().train
    peak, warm = config.learning_rate, max(config.updates // 50, 1)
    schedule = optax.warmup_cosine_decay_schedule(
        0.0, peak, warm, config.updates, peak / 20
    )
    rates = np.asarray(schedule(jnp.arange(config.updates)))
    data = batches()
    each = [
        tensors(jax.tree.map(lambda x, k=k: x[k], data)) for k in range(BATCHES)
    ]
    return Trainer(setting.logged()[0].world, config, rates, compiled), each


def their_job(compiled: bool) -> Job:
    model, data = trainer(compiled)

    def job() -> float:
        for batch in data:
            model.update(batch)
        model.step %= 4000
        return len(data)

    return job


def agreement() -> float:
    """Return the largest relative difference of the loss over `CHECKED` updates from the same weights; raise above `TOLERANCE`."""
    train_state, data = setting.logged()[0], batches()
    _, ours = our_updates(
        train_state, jax.tree.map(lambda x: x[:CHECKED], data)
    )
    model, each = trainer(compiled=False)
    theirs = np.array([float(model.update(batch)) for batch in each[:CHECKED]])
    apart = float(np.abs(np.asarray(ours) / theirs - 1).max())
    if apart > TOLERANCE:
        raise AssertionError(
            f"losses apart by {apart:.2e}: {ours} against {theirs}; expected: at most {TOLERANCE}"
        )
    return apart


def contenders() -> dict[str, Callable[[], Job]]:
    return {
        "bestreply": our_job,
        "PyTorch, eager": partial(their_job, False),
        "PyTorch, torch.compile": partial(their_job, True),
        "bestreply, with drawing, symmetries and gathering": whole_job,
    }


def measure(quick: bool) -> dict[str, Any]:
    apart = agreement()
    jobs = {name: make() for name, make in contenders().items()}
    rates = take_turns(
        jobs, rounds=2 if quick else 7, seconds=0.2 if quick else 1.0
    )
    ours = rates["bestreply"]["per_second"]
    rows = {
        name: {**figures, "ours_to_this": ours / figures["per_second"]}
        for name, figures in rates.items()
    }
    return {
        "unit": "gradient steps a second",
        "losses_agree_to": apart,
        "rows": rows,
    }
