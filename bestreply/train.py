"""Training: first the model of the others, then the world model and its value, which is told what that model believes."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from bestreply import checkpoint
from bestreply.compilation import cache_compilations
from bestreply.config import RunConfig, TrainConfig
from bestreply.console import meter
from bestreply.data.moa_buffer import BufferState, fill
from bestreply.learner import Learner, set_units, start_learner
from bestreply.metrics import MetricsLog
from bestreply.model.dreams import begin_many
from bestreply.model.labels import label_weights
from bestreply.model.opponent import LearnedOpponents
from bestreply.model.targets import (
    Minds,
    follow_beliefs,
    policy_ratios,
)
from bestreply.types import Episodes
from bestreply.updates import opponent_step, value_step, world_step

if TYPE_CHECKING:
    from bestreply.data.store import Store
    from bestreply.run import Run

Step = Callable[[RunConfig, Any, Learner, Array], tuple[Learner, dict[str, Array]]]
Write = Callable[[str, int, dict[str, float]], None]
"""Takes a phase's name, its updates made, and what was measured (`MetricsLog.write`)."""


@partial(jax.jit, static_argnames=("config", "step", "updates"), donate_argnames=("learner",))
def _updates(
    config: RunConfig, step: Step, data: Any, learner: Learner, seed: Array, first: Array, updates: int
) -> Any:
    """`updates` gradient steps as one program; update number u draws from a key made of (seed, u) alone."""

    def body(learner: Learner, number: Array) -> tuple[Learner, dict[str, Array]]:
        return step(config, data, learner, jax.random.fold_in(seed, number))

    learner, metrics = jax.lax.scan(body, learner, first + jnp.arange(updates))
    return learner, jax.tree.map(lambda x: x.mean(0), metrics)


def _opponent_phase(config: RunConfig, data: Any, learner: Learner, key: Array) -> Any:
    buffer, weights = data
    return opponent_step(config, buffer, weights, learner, key)


def _world_phase(config: RunConfig, data: Any, learner: Learner, key: Array) -> Any:
    buffer, minds = data
    return world_step(config, buffer, minds, learner, key)


def _value_phase(config: RunConfig, data: Any, learner: Learner, key: Array) -> Any:
    buffer, minds = data
    return value_step(config, buffer, minds, learner, key)


class Phase(NamedTuple):
    """A stretch of training. `counter` names its updates, both those to make (`TrainConfig`) and those made (`Learner`)."""

    name: str
    step: Step
    counter: str


OPPONENTS = Phase("opponents", _opponent_phase, "opponent_updates")
WORLD = Phase("world", _world_phase, "updates")
VALUE = Phase("value", _value_phase, "value_updates")


def _phases(config: TrainConfig) -> tuple[Phase, ...]:
    return (OPPONENTS, WORLD, VALUE) if config.target == "improved" else (OPPONENTS, WORLD)


def _run_phase(
    phase: Phase,
    config: RunConfig,
    data_for: Callable[[Learner], Any],
    learner: Learner,
    save: Callable[[Learner], None],
    write: Write,
    save_every: int,
) -> Learner:
    """Trains to the end of `phase` in blocks of `log_every`; logs after each block, saves after each `save_every` updates.

    What to learn from is asked for at the start and after each save, so that a resumed run learns from the same.
    """
    done, updates = int(getattr(learner, phase.counter)), getattr(config.train, phase.counter)
    seed = jax.random.fold_in(
        jax.random.key(config.seed), {"opponents": 1, "world": 2, "value": 3}[phase.name]
    )
    data = None
    with meter(f"train: {phase.name}", updates - done, "updates") as progress:
        while done < updates:
            data = data_for(learner) if data is None else data
            block = min(config.train.log_every, updates - done)
            learner, metrics = _updates(config, phase.step, data, learner, seed, jnp.int32(done), block)
            done += block
            write(phase.name, done, {name: float(value) for name, value in metrics.items()})
            saving = done % save_every < block or done == updates
            if saving:
                save(learner)
                data = None
            progress.advance(block)
    return learner


def fit_opponents(
    config: RunConfig,
    buffer: BufferState,
    learner: Learner,
    save: Callable[[Learner], None],
    write: Write,
) -> Learner:
    """The phase of the model of the others. Where it tells goals apart, its prior becomes what the labels of first steps come to."""

    def weights(learner: Learner) -> Array:
        trained = int(learner.opponent_updates) > 0
        return jnp.asarray(label_weights(config, learner.opponents, buffer.episodes, trained=trained))

    move = config.model.opponent_goal == "goal" and config.train.labels == "posterior"
    fixed = None if move else weights(learner)
    learner = _run_phase(
        OPPONENTS,
        config,
        lambda learner: (buffer, weights(learner) if fixed is None else fixed),
        learner,
        save,
        write,
        min(config.train.relabel_every, config.train.checkpoint_every)
        if move
        else config.train.checkpoint_every,
    )
    if config.model.opponent_goal != "goal":
        return learner
    total = (weights(learner) if fixed is None else fixed)[:, 0].sum((0, 1))
    return eqx.tree_at(lambda s: s.opponents.prior, learner, total / jnp.maximum(total.sum(), 1e-6))


def read_minds(config: RunConfig, model: LearnedOpponents, episodes: Episodes) -> Minds:
    """What the trained model of the others makes of `episodes`."""
    wanted = (
        config.train.off_policy > 0 and config.model.value_heads == "player" == config.model.opponent_goal
    )
    ratios = policy_ratios(model, episodes, config.train.most_ratio) if wanted else None
    if ratios is not None:
        ratios = ratios * (model.prior > 0)  # a player without play in the data has no value to be taught yet
    return Minds(follow_beliefs(model, episodes), ratios)


HELD_OUT = 1_299_709
"""Tells the stream that draws held-out episodes from all others of the same seed."""


def split_episodes(episodes: Episodes, holdout: float, seed: int) -> tuple[Episodes, Episodes]:
    """Training and held-out episodes, drawn by `seed`; at least one of each. ValueError for fewer than 2."""
    total = len(episodes.length)
    if total < 2:
        raise ValueError(f"{total} episodes to learn from; wanted: at least 2, one of them held out")
    # A stream of its own: who played was drawn from `seed` too. An episode's lot does not change when more are added.
    held = np.random.default_rng([seed, HELD_OUT]).random(total) < holdout
    if held.all() or not held.any():
        held = np.arange(total) == 0
    return jax.tree.map(lambda x: x[~held], episodes), jax.tree.map(lambda x: x[held], episodes)


def train(
    data: "Store",
    config: RunConfig,
    *,
    path: str | Path | None = None,
    start: "Run | None" = None,
    resume: bool = False,
    command: str | None = None,
) -> "Run":
    """Fits the models to a store and writes a run directory.

    Args:
        data: the play to learn from; its game is the configuration's.
        path: the run directory; by default a new one in ``runs/``.
        start: a run whose networks to begin with, of the same configuration and roster.
        resume: go on from the newest checkpoint in `path`, to the same bits as an uninterrupted run.

    Raises ValueError where the configuration names another game than the store's, or `resume` finds another configuration.
    """
    from bestreply.diagnostics import diagnose
    from bestreply.run import open_run

    if (config.train.target == "improved") != (config.model.value_heads == "action"):
        raise ValueError(
            f'train.target="{config.train.target}" with model.value_heads="{config.model.value_heads}"; wanted: "improved" with '
            '"action", or neither'
        )
    cache_compilations()
    run = open_run(path, config, data, resume=resume, command=command)
    episodes, held_out = split_episodes(data.episodes(), config.train.holdout, config.seed)
    buffer = fill(episodes)
    learner = _begin(run, start, episodes)
    if resume and checkpoint.list_checkpoints(run.path / "checkpoints"):
        learner = run.restore(learner)
    phases = _phases(config.train)

    def made(learner: Learner) -> dict[str, int]:
        return {phase.name: int(getattr(learner, phase.counter)) for phase in phases}

    wanted = {phase.name: getattr(config.train, phase.counter) for phase in phases}
    log = MetricsLog(run.path, data.manifest.steps, wanted, start and start.path)
    log.rewind(made(learner))

    def save(learner: Learner) -> None:
        log.flush()
        checkpoint.save_checkpoint(run.path / "checkpoints", sum(made(learner).values()), learner)

    learner = fit_opponents(config, buffer, learner, save, log.write)
    minds = read_minds(config, learner.opponents, buffer.episodes)
    for phase in phases[1:]:
        if phase is VALUE and not int(learner.value_updates):
            learner = _fall_asleep(config, learner, buffer)
        learner = _run_phase(
            phase, config, lambda _: (buffer, minds), learner, save, log.write, config.train.checkpoint_every
        )
    log.close()
    run = run.with_learner(learner)
    diagnose(run, held_out)
    return run


def _fall_asleep(config: RunConfig, learner: Learner, buffer: BufferState) -> Learner:
    """The first imagined games, and a slow value network that starts as the online one."""
    key = jax.random.fold_in(jax.random.key(config.seed), 4)
    dreams = begin_many(config.train, learner.opponents, buffer, key, config.train.dreams)
    slow = jax.tree.map(jnp.copy, learner.world)
    return eqx.tree_at(lambda s: (s.dreams, s.slow), learner, (dreams, slow))


def _begin(run: "Run", start: "Run | None", episodes: Episodes) -> Learner:
    """Fresh networks, or those of `start` with fresh optimisers and counters."""
    learner = jax.tree.map(
        jnp.copy, start_learner(run.config, run.game, run.roster)
    )  # donated: nothing shared
    if start is not None and start.learner is not None:
        nets = jax.tree.map(jnp.copy, (start.learner.opponents, start.learner.world, start.learner.slow))
        learner = eqx.tree_at(lambda s: (s.opponents, s.world, s.slow), learner, nets)
    return set_units(learner, run.config, episodes)
