"""Training. Of the agent: first the model of the others, then the world model and its value, which is told what that model believes."""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from bestreply.baselines import (
    configure,
    diagnose_policy,
    fit_policy,
    policy_updates,
)
from bestreply.config import RunConfig, to_dict
from bestreply.opponents.filtering import follow_beliefs, policy_ratios
from bestreply.opponents.labels import label_weights, labels_change
from bestreply.opponents.learned import LearnedOpponents
from bestreply.opponents.opponent_types import opponent_types
from bestreply.opponents.subgoals import updates_by_play
from bestreply.replay.histories import Seatings, seatings
from bestreply.replay.moa_buffer import BufferState, fill
from bestreply.training.imagination import imagine_starts
from bestreply.training.metrics_log import MetricsLog
from bestreply.training.phases import (
    Phase,
    Seeds,
    Write,
    of_each,
    run_phase,
    stack,
    unstack,
    updates_made,
)
from bestreply.training.state import TrainState, initial_train_state, set_units
from bestreply.training.targets import LoggedBeliefs
from bestreply.training.updates import (
    history_step,
    opponent_step,
    subgoal_step,
    value_step,
    world_step,
)
from bestreply.types import Episodes
from bestreply.utils import checkpoint
from bestreply.utils.compilation import cache_compilations

if TYPE_CHECKING:
    from bestreply.data.store import Store
    from bestreply.run import Run


IMPORTANCE_CLIP = 10.0
"""Largest importance ratio of an off-policy step in the value head of another player."""
RELABEL_EVERY = 200
"""Gradient steps of the opponent model between two computations of posterior labels or codes; each comes with a checkpoint."""


def _opponent_phase(
    config: RunConfig, data: Any, train_state: TrainState, key: Array
) -> Any:
    buffer, weights = data
    if config.model.subgoals:
        return subgoal_step(config, buffer, weights, train_state, key)
    return opponent_step(config, buffer, weights, train_state, key)


def _world_phase(
    config: RunConfig, data: Any, train_state: TrainState, key: Array
) -> Any:
    buffer, logged_beliefs = data
    return world_step(config, buffer, logged_beliefs, train_state, key)


def _value_phase(
    config: RunConfig, data: Any, train_state: TrainState, key: Array
) -> Any:
    buffer, logged_beliefs = data
    return value_step(config, buffer, logged_beliefs, train_state, key)


def _history_phase(
    config: RunConfig, data: Any, train_state: TrainState, key: Array
) -> Any:
    buffer, where, weights = data
    return history_step(config, buffer, where, weights, train_state, key)


OPPONENTS = Phase("opponents", _opponent_phase, "opponent_updates", stream=1)
WORLD = Phase("world", _world_phase, "updates", stream=2)
VALUE = Phase("value", _value_phase, "value_updates", stream=3)
HISTORY = Phase("history", _history_phase, "history_updates", stream=6)


def _phases(config: RunConfig) -> tuple[Phase, ...]:
    history = (
        (HISTORY,)
        if config.model.opponents in ("recurrent", "in_context")
        else ()
    )
    return (OPPONENTS, WORLD, *_value_phases(config), *history)


def _value_phases(config: RunConfig) -> tuple[Phase, ...]:
    return (VALUE,) if config.train.target == "improved" else ()


def fit_opponents(
    config: RunConfig,
    buffer: BufferState,
    train_state: TrainState,
    save: Callable[[TrainState], None],
    write: Write,
    seeds: Seeds = None,
) -> TrainState:
    """The phase of the model of the others. Where it tells goals apart, its prior becomes what the labels of first steps come to."""

    def weights(train_state: TrainState) -> Array:
        return of_each(_weights, config, seeds, train_state, buffer)

    def data(train_state: TrainState) -> tuple[BufferState, Array | None]:
        shown = config.model.subgoals and updates_made(
            train_state, OPPONENTS.counter
        ) >= updates_by_play(config)
        if shown:  # what a step counts for each code changes with every update
            return buffer, None
        return buffer, weights(train_state) if fixed is None else fixed

    move = labels_change(config)
    fixed = None if move else weights(train_state)
    every = config.train.checkpoint_every
    train_state = run_phase(
        OPPONENTS,
        config,
        data,
        train_state,
        save,
        write,
        min(RELABEL_EVERY, every) if move else every,
        seeds,
    )
    if not opponent_types(config.model).inferred:
        return train_state
    total = (weights(train_state) if fixed is None else fixed)[
        ..., 0, :, :
    ].sum((-3, -2))
    prior = total / jnp.maximum(total.sum(-1, keepdims=True), 1e-6)
    return eqx.tree_at(lambda s: s.opponents.prior, train_state, prior)


def _weights(
    config: RunConfig, train_state: TrainState, buffer: BufferState
) -> Array:
    """[E, T, N, G] `label_weights`, by the model of the others as far as it is trained."""
    made, model = int(train_state.opponent_updates), train_state.opponents
    if made < updates_by_play(config):
        model = dataclasses.replace(model, subgoal=None)
    return jnp.asarray(
        label_weights(config, model, buffer.episodes, trained=made > 0)
    )


def fit_history(
    config: RunConfig,
    buffer: BufferState,
    train_state: TrainState,
    save: Callable[[TrainState], None],
    write: Write,
    seeds: Seeds = None,
) -> TrainState:
    """The phase of the model that reads the others' history, after that of their types."""
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
) -> tuple[Seatings, Array]:
    """Who sat where, and what each step counts for each goal or type."""
    return seatings(buffer.episodes), _weights(config, train_state, buffer)


def beliefs_of(
    config: RunConfig, model: LearnedOpponents, episodes: Episodes
) -> LoggedBeliefs:
    """What the trained model of the others makes of `episodes`."""
    wanted = (
        config.train.off_policy > 0
        and config.model.value_heads == "player"
        and opponent_types(config.model).players
    )
    ratios = policy_ratios(model, episodes, IMPORTANCE_CLIP) if wanted else None
    if ratios is not None:
        ratios = ratios * (
            model.prior > 0
        )  # a player without play in the data has no value to be taught yet
    return LoggedBeliefs(follow_beliefs(model, episodes), ratios)


HOLDOUT_FRACTION = 0.1
"""Fraction of the episodes that is kept for diagnostics."""
HELD_OUT = 1_299_709
"""Tells the stream that draws held-out episodes from all others of the same seed."""


def split_episodes(
    episodes: Episodes, holdout: float, seed: int
) -> tuple[Episodes, Episodes]:
    """Training and held-out episodes, drawn by `seed`; at least one of each. ValueError for fewer than 2."""
    total = len(episodes.length)
    if total < 2:
        raise ValueError(
            f"{total} episodes to learn from; expected: at least 2, one of them held out"
        )
    # A stream of its own: who played was drawn from `seed` too. An episode's lot does not change when more are added.
    held = np.random.default_rng([seed, HELD_OUT]).random(total) < holdout
    if held.all() or not held.any():
        held = np.arange(total) == 0
    return jax.tree.map(lambda x: x[~held], episodes), jax.tree.map(
        lambda x: x[held], episodes
    )


@dataclasses.dataclass(frozen=True)
class Training:
    """A run that is opened for training, and all that it takes."""

    run: "Run"
    buffer: BufferState
    held_out: Episodes
    log: MetricsLog
    train_state: Any
    """As it is when training begins, or goes on."""

    @property
    def left(self) -> int:
        """The updates still to be made."""
        return sum(
            max(total - done, 0)
            for done, total in _counted(self.run, self.train_state).values()
        )

    def made(self, train_state: Any) -> int:
        """The updates of all phases that were made."""
        return sum(done for done, _ in _counted(self.run, train_state).values())

    def save(self, train_state: Any) -> None:
        """Writes a checkpoint, and what was measured so far."""
        self.log.flush()
        checkpoint.save_checkpoint(
            self.run.path / "checkpoints", self.made(train_state), train_state
        )


def open_training(
    data: "Store",
    config: RunConfig,
    *,
    path: str | Path | None = None,
    start: "Run | None" = None,
    resume: bool = False,
    command: str | None = None,
) -> Training:
    """A new run, or with `resume` one as its newest checkpoint left it; as `train` takes them."""
    from bestreply.run import needs_types, no_types, open_run

    config = configure(config)
    if (config.train.target == "improved") != (
        config.model.value_heads == "action"
    ):
        raise ValueError(
            f'train.target="{config.train.target}" with model.value_heads="{config.model.value_heads}"; expected: "improved" with '
            '"action", or neither'
        )
    if config.model.code_horizon < 0:
        raise ValueError(
            f"model.code_horizon={config.model.code_horizon}; expected: 0 for ways to act, or the steps after which a state shows a subgoal"
        )
    if config.model.opponents in ("recurrent", "in_context") and needs_types(
        config.train.change_rate, config.planner
    ):
        raise ValueError(
            no_types(
                config.model.opponents, config.train.change_rate, config.planner
            )
        )
    run = open_run(path, config, data, resume=resume, command=command)
    everything = data.episodes()
    episodes, held_out = split_episodes(
        everything, HOLDOUT_FRACTION, config.seed
    )
    train_state = _begin(run, start, episodes) if run.plans else run.start()
    if resume and checkpoint.list_checkpoints(run.path / "checkpoints"):
        train_state = run.restore(train_state)
    counted = _counted(run, train_state)
    log = MetricsLog(
        run.path,
        data.manifest.steps,
        {name: total for name, (_, total) in counted.items()},
        start and start.path,
        wandb=config.train.wandb,
        config=to_dict(config),
    )
    log.rewind({name: done for name, (done, _) in counted.items()})
    # With room for all episodes: how many are held out differs by seed, and each shape would be compiled apart.
    buffer = fill(episodes, capacity=len(everything.length))
    return Training(run, buffer, held_out, log, train_state)


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
    from bestreply.analysis.model_diagnostics import diagnose

    cache_compilations()
    training = open_training(
        data, config, path=path, start=start, resume=resume, command=command
    )
    train_state = _fit(
        training.run,
        training.buffer,
        training.train_state,
        training.save,
        training.log.write,
    )
    run = training.run.with_train_state(train_state)
    (diagnose if run.plans else diagnose_policy)(run, training.held_out)
    training.log.close()
    return run


def train_together(trainings: Sequence[Training]) -> None:
    """Trains runs that differ in their seed alone and have made as many updates, as one compiled batch, to their last checkpoints.

    Each run draws what it would draw alone; its numbers agree with those of a lone run to rounding. `train` with `resume` then finds
    nothing left to train, and measures the models.
    """
    seeds = [training.run.config.seed for training in trainings]

    def save(train_state: Any) -> None:
        for training, one in zip(trainings, unstack(train_state), strict=True):
            training.save(one)

    def write(phase: str, update: int, values: dict[str, list[float]]) -> None:
        for row, training in enumerate(trainings):
            training.log.write(
                phase,
                update,
                {name: of_all[row] for name, of_all in values.items()},
            )

    buffer = stack([training.buffer for training in trainings])
    train_state = stack([training.train_state for training in trainings])
    _fit(trainings[0].run, buffer, train_state, save, write, seeds)
    for training in trainings:
        training.log.close()


def _counted(run: "Run", train_state: Any) -> dict[str, tuple[int, int]]:
    """For each phase, the updates made and those to make."""
    if not run.plans:
        return policy_updates(run.config, train_state)
    train = run.config.train
    counters = {phase.name: phase.counter for phase in _phases(run.config)}
    return {
        name: (updates_made(train_state, c), getattr(train, c))
        for name, c in counters.items()
    }


def _fit(
    run: "Run",
    buffer: BufferState,
    train_state: Any,
    save: Callable[[Any], None],
    write: Write,
    seeds: Seeds = None,
) -> Any:
    """All phases of training, from where `train_state` is."""
    if not run.plans:
        return fit_policy(run, buffer, train_state, save, write, seeds)
    config, logged_beliefs = run.config, None
    train_state = fit_opponents(config, buffer, train_state, save, write, seeds)
    for phase in (WORLD, *_value_phases(config)):
        done = updates_made(train_state, phase.counter)
        if done >= getattr(config.train, phase.counter):
            continue
        logged_beliefs = (
            of_each(_logged_beliefs, config, seeds, train_state, buffer)
            if logged_beliefs is None
            else logged_beliefs
        )
        if phase is VALUE and not done:
            train_state = of_each(
                _start_imagination, config, seeds, train_state, buffer
            )
        data, every = (buffer, logged_beliefs), config.train.checkpoint_every
        train_state = run_phase(
            phase,
            config,
            lambda _, data=data: data,
            train_state,
            save,
            write,
            every,
            seeds,
        )
    return (
        train_state
        if train_state.sequence is None
        else fit_history(config, buffer, train_state, save, write, seeds)
    )


def _logged_beliefs(
    config: RunConfig, train_state: TrainState, buffer: BufferState
) -> LoggedBeliefs:
    return beliefs_of(config, train_state.opponents, buffer.episodes)


def _start_imagination(
    config: RunConfig, train_state: TrainState, buffer: BufferState
) -> TrainState:
    """The first imagined games, and a target_net value network that starts as the online one."""
    key = jax.random.fold_in(jax.random.key(config.seed), 4)
    imagined_games = imagine_starts(
        config.train,
        train_state.opponents,
        buffer,
        key,
        config.train.imagined_games,
    )
    target_net = jax.tree.map(jnp.copy, train_state.world)
    return eqx.tree_at(
        lambda s: (s.imagined_games, s.target_net),
        train_state,
        (imagined_games, target_net),
    )


def _begin(run: "Run", start: "Run | None", episodes: Episodes) -> TrainState:
    """Fresh networks, or those of `start` with fresh optimisers and counters."""
    train_state = jax.tree.map(
        jnp.copy, initial_train_state(run.config, run.game, run.roster)
    )  # donated: nothing shared
    if start is not None and start.train_state is not None:
        nets = jax.tree.map(
            jnp.copy,
            (
                start.train_state.opponents,
                start.train_state.world,
                start.train_state.target_net,
            ),
        )
        train_state = eqx.tree_at(
            lambda s: (s.opponents, s.world, s.target_net), train_state, nets
        )
        if (
            train_state.sequence is not None
            and start.train_state.sequence is not None
        ):
            read = jax.tree.map(jnp.copy, start.train_state.sequence.model)
            train_state = eqx.tree_at(
                lambda s: s.sequence.model, train_state, read
            )
    return set_units(train_state, run.config, episodes)
