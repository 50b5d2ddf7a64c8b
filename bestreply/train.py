"""Training: from a dataset to a run, by the method that the configuration names."""

import contextlib
import dataclasses
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Bool, PyTree

from bestreply.config import RunConfig, checked_config, to_dict
from bestreply.data.store import Store, open_store
from bestreply.data.validate import validate
from bestreply.games import make_game
from bestreply.methods.compatibility import check_fit
from bestreply.methods.contract import check_state, check_updates
from bestreply.planning.levels import measured_levels
from bestreply.players.callback import player_errors
from bestreply.replay.loading import Loaded, load
from bestreply.replay.moa_buffer import BufferState, filled
from bestreply.run import METHODS, Run, claimed, load_method, open_run
from bestreply.training.divergence import Diverged, check_measures
from bestreply.training.epochs import UPDATES, with_epochs_limited
from bestreply.training.metrics_log import MetricsLog
from bestreply.training.phases import Write, stack, unstack
from bestreply.training.step_limit import with_measured_limit
from bestreply.types import ABSENT, Episodes
from bestreply.utils import checkpoint
from bestreply.utils.big_arrays import free_device_memory
from bestreply.utils.compilation import cache_compilations, check_flags
from bestreply.utils.console import log
from bestreply.utils.files import remove_leftovers, write_json
from bestreply.utils.untrusted import free_memory, size_text

Callback = Callable[[str, int, dict[str, Any]], None]
"""A function of phase, update and metrics by name."""

HOLDOUT_FRACTION = 0.1
"""Fraction of the episodes that is kept for diagnostics."""
MAX_HELD_OUT = 25_000
"""Largest number of held-out episodes that diagnostics read."""
CHECKED_BYTES = 1 << 28
"""Size of training data from which on beliefs and labels are compared with the memory."""
COPIES = 2
"""Largest number of copies of beliefs and labels while they are computed."""
HELD_OUT_STREAM = 1_299_709
"""Number of the stream of random draws that chooses held-out episodes."""
MAX_RETURN = 1e15
"""Largest absolute sum of rewards of an episode: float32 holds sums of its squares."""
SHOWN_PROBLEMS = 5
"""Problems of a dataset that an error shows."""


def split_episodes(
    episodes: Episodes, holdout: float, seed: int
) -> tuple[Episodes, Episodes]:
    """Return training and held-out episodes, at least one of each.

    Whether an episode is held out depends on the seed and its place alone, so it does
    not change when episodes are added.

    Args:
        episodes: E episodes.
        holdout: expected fraction of held-out episodes.
        seed: seed of the run.

    Returns:
        The training episodes and the held-out episodes.

    Raises:
        ValueError: fewer than 2 episodes.
    """
    held_out = held_out_episodes(len(episodes.length), holdout, seed)
    return (
        jax.tree.map(lambda x: x[~held_out], episodes),
        jax.tree.map(lambda x: x[held_out], episodes),
    )


def held_out_episodes(
    total: int, holdout: float, seed: int
) -> Bool[np.ndarray, " E"]:
    """Return which episodes `split_episodes` holds out.

    Args:
        total: the number of episodes.
        holdout: expected fraction of held-out episodes.
        seed: seed of the run.

    Raises:
        ValueError: fewer than 2 episodes.
    """
    if total < 2:
        raise ValueError(
            f"episodes={total}: expected at least 2, one of them held out"
        )
    # A stream of its own: the players of the data were drawn from `seed` too.
    draws = np.random.default_rng([seed, HELD_OUT_STREAM]).random(total)
    held_out = draws < holdout
    if held_out.all() or not held_out.any():
        held_out = np.arange(total) == 0
    return held_out


_valid_data: set[str] = set()  # fingerprints of datasets that were validated


def check_data(data: Store) -> None:
    """Refuse a dataset that `bestreply data validate` refuses.

    Args:
        data: the dataset; one of the same fingerprint is validated once a process.

    Raises:
        ValueError: the dataset has errors; the first ones are listed.
    """
    if data.fingerprint in _valid_data:
        return
    if problems := validate(data.path):
        lines = [str(problem) for problem in problems[:SHOWN_PROBLEMS]]
        raise ValueError(
            f"{data.path}: expected a valid dataset ('bestreply data validate "
            f"{data.path}' lists all errors):\n" + "\n".join(lines)
        )
    _valid_data.add(data.fingerprint)


def check_rewards(data: Store, episodes: Episodes) -> None:
    """Refuse rewards whose squares float32 cannot sum.

    Args:
        data: the dataset, for the error.
        episodes: its episodes.

    Raises:
        ValueError: the rewards of an episode sum to more than `MAX_RETURN`.
    """
    reward = np.abs(np.asarray(episodes.reward))
    total = reward.sum(1, dtype=np.float64).max(initial=0)
    if not total <= MAX_RETURN:
        raise ValueError(
            f"{data.path}: rewards of an episode sum to {total:.2g}: expected at most "
            f"{MAX_RETURN:g}, as float32 sums their squares. Scale the rewards"
        )


def check_goals(data: Store, episodes: Episodes) -> None:
    """Refuse data without a single goal, where goals are to be the types of players.

    Args:
        data: the dataset, for the error.
        episodes: its episodes.

    Raises:
        ValueError: no step has a goal.
    """
    acted = np.asarray(episodes.action) != ABSENT
    if not (acted & (np.asarray(episodes.goal) != ABSENT)).any():
        raise ValueError(
            f"model.opponent_types=goal: expected steps with a goal; {data.path} has "
            "none. Use model.opponent_types=player, or a dataset of "
            "bestreply.store_from_arrays(goals=...)"
        )


@dataclasses.dataclass(frozen=True)
class Training:
    """A run that is open for training, with its data and its log."""

    run: Run
    buffer: BufferState
    held_out: Episodes
    log: MetricsLog
    train_state: PyTree
    """The state that training starts or continues from."""

    @property
    def left(self) -> int:
        """The number of updates still to be made."""
        updates = self.run.method.updates(self.run.config, self.train_state)
        return sum(max(total - made, 0) for made, total in updates.values())

    def made(self, train_state: PyTree) -> int:
        """Return the number of updates that a train state counts, over all phases.

        Args:
            train_state: a train state of the run's method.

        Returns:
            The number of updates.
        """
        updates = self.run.method.updates(self.run.config, train_state)
        return sum(made for made, _ in updates.values())

    def save(self, train_state: PyTree) -> None:
        """Write a checkpoint and the metrics logged so far.

        Args:
            train_state: a train state of the run's method.
        """
        self.log.flush()
        checkpoint.save_checkpoint(
            self.run.path / "checkpoints", self.made(train_state), train_state
        )

    def explained(self) -> contextlib.AbstractContextManager[None]:
        """Add run, rewards and kept checkpoint to the error of a training that diverges.

        The metrics logged so far are then written. After any error the log is released.

        Returns:
            A context manager that keeps no reference to the data.

        Raises:
            Diverged: with the additions.
        """
        reward = np.asarray(self.buffer.episodes.reward)
        largest = max(reward.max(initial=0), -reward.min(initial=0))
        return _explained(self.run.path, self.log, float(largest))


@contextlib.contextmanager
def _explained(path: Path, log: MetricsLog, reward: float) -> Iterator[None]:
    try:
        yield
    except (Diverged, FloatingPointError) as error:  # or JAX's debug_nans
        log.close()
        raise Diverged(_explanation(path, reward, error)) from None
    finally:
        log.release()


def _explanation(path: Path, reward: float, error: Exception) -> str:
    steps = checkpoint.list_checkpoints(path / "checkpoints")
    kept = "no checkpoint was written"
    if steps:
        kept = f"the checkpoint of {steps[-1]} updates is finite and is kept"
    return (
        f"{path}: training diverged. {str(error).rstrip('.')}; rewards here are up to "
        f"{reward:.3g}. {kept.capitalize()}; --resume with the same settings fails at "
        "the same update"
    )


def open_training(
    data: Store,
    config: RunConfig,
    *,
    path: str | Path,
    start: Run | None = None,
    resume: bool = False,
    command: str | None = None,
) -> Training:
    """Open a new run for training, or one at its newest checkpoint.

    Args:
        data, config, path, start, resume, command: as in `train`.

    Returns:
        The open run; its train state is that of the newest checkpoint, or the first.

    Raises:
        FileExistsError, ValueError: as in `train`.
    """
    check_flags()
    method = load_method(config.method)
    config = method.configure(config)
    check_fit(config, data.roster)
    check_data(data)
    loaded = _load(data, config, Path(path))
    check_rewards(data, loaded.training)
    check_rewards(data, loaded.held_out)
    episodes = jax.tree.map(lambda x: x[: loaded.filled], loaded.training)
    if config.model.opponent_types == "goal":
        check_goals(data, episodes)
    config = with_measured_limit(config, episodes, start and start.config)
    config = _with_epochs_limited(config, data.manifest.rows)
    run = open_run(
        path,
        config,
        data,
        resume=resume,
        command=command,
        levels=measured_levels(episodes) if method.plans else None,
    )
    remove_leftovers(run.path)
    if resume and checkpoint.list_checkpoints(run.path / "checkpoints"):
        train_state = run.restored().train_state
    else:
        train_state = method.begin(run, episodes, start)
    updates = method.updates(config, train_state)
    if config.method not in METHODS:
        check_updates(config.method, updates)
    log = MetricsLog(
        run.path,
        data.manifest.steps,
        {phase: total for phase, (_, total) in updates.items()},
        start and start.path,
        wandb=config.train.wandb,
        config=to_dict(config),
    )
    log.rewind({phase: made for phase, (made, _) in updates.items()})
    buffer = filled(loaded.training, loaded.filled)
    check_fit_memory(run, buffer, train_state)
    return Training(run, buffer, loaded.held_out, log, train_state)


def _with_epochs_limited(config: RunConfig, rows: int) -> RunConfig:
    """Return `with_epochs_limited`, and say what it changed."""
    limited = with_epochs_limited(config, rows)
    changes = [
        f"{name} {before:,} -> {after:,}"
        for name in UPDATES
        if (after := getattr(limited.train, name))
        != (before := getattr(config.train, name))
    ]
    if changes:
        log.info(
            "train: %s logged steps, at most %s passes over them (train.max_epochs): %s",
            f"{rows:,}",
            config.train.max_epochs,
            ", ".join(changes),
        )
    return limited


def _load(data: Store, config: RunConfig, path: Path) -> Loaded:
    """Return the episodes of a dataset, split into training and held-out ones.

    The number of held-out episodes depends on the seed. Training arrays have room for
    all episodes, so that every seed has the same shapes, hence the same programs.
    """
    held_out = held_out_episodes(
        data.manifest.episodes, HOLDOUT_FRACTION, config.seed
    )
    binary = make_game(config.game).binary
    if (
        binary.shape != data.manifest.obs_shape
    ):  # refused when the run is opened
        binary = np.zeros(data.manifest.obs_shape, bool)
    folder = path.absolute()
    while not folder.exists():
        folder = folder.parent
    return load(data, binary, held_out, MAX_HELD_OUT, folder)


def check_fit_memory(
    run: Run, buffer: BufferState, train_state: PyTree
) -> None:
    """Refuse data whose beliefs and labels do not fit into the free memory.

    Args:
        run: the run.
        buffer: its training episodes; small ones are not checked.
        train_state: its train state.

    Raises:
        ValueError: they do not fit; the error says how many episodes do.
    """
    count = len(buffer.number)
    if _bytes(buffer) < CHECKED_BYTES:
        return
    needed = COPIES * _bytes(run.method.fit_arrays(run, buffer, train_state))
    device = free_device_memory()
    free = free_memory() if device is None else device
    if needed > free:
        raise ValueError(
            f"{run.path}: episodes={count:,}: expected at most "
            f"{int(free / needed * count):,}: the beliefs and labels of the opponent "
            f"model take {size_text(needed)}, and {size_text(free)} are free. Free "
            "some memory, or train on fewer episodes"
        )


def _bytes(arrays: PyTree) -> int:
    return sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(arrays))


@player_errors()
def train(
    data: Store | str | os.PathLike,
    config: RunConfig,
    *,
    path: str | Path | None = None,
    start: Run | None = None,
    resume: bool = False,
    command: str | None = None,
    callback: Callback | None = None,
) -> Run:
    """Train the method of a configuration on a dataset, and write a run directory.

    Args:
        data: the dataset, or its path; its game must be the configuration's.
        config: configuration of the run.
        path: the run directory; by default a new one in ``runs/``.
        start: a run whose networks to begin with, of the same configuration and roster.
        resume: continue from the newest checkpoint in `path`; the result equals that of
            an uninterrupted run bit for bit.
        command: the command line, for provenance.
        callback: called with phase, update and metrics whenever metrics are logged
            (`train.log_every`). An exception of its own ends training, which can be
            resumed.

    Returns:
        The trained run.

    Raises:
        FileExistsError: there is a run in `path`, and `resume` is not set.
        BlockingIOError: another process writes to `path`.
        ValueError: settings that exclude each other or do not fit the game; another game than the dataset's;
            fewer than 2 episodes; a dataset with errors; `resume` finds another
            configuration or other data.
        Diverged: a loss, a parameter or a measure is not finite; the newest checkpoint
            is finite.
    """
    cache_compilations()
    data, config = open_store(data), checked_config(config)
    game = make_game(config.game)
    with claimed(path, game, resume=resume) as folder:
        training = open_training(
            data,
            config,
            path=folder,
            start=start,
            resume=resume,
            command=command,
        )
        method = training.run.method
        with training.explained():
            train_state = method.fit(
                training.run,
                training.buffer,
                training.train_state,
                training.save,
                _with_callback(training.log.write, callback),
            )
            if config.method not in METHODS:
                given = training.train_state
                check_state(config.method, "fit", train_state, given)
            run, log = training.run.with_train_state(train_state), training.log
            held_out = training.held_out
            del training  # diagnostics have the memory of the training data
            diagnostics = method.diagnose(run, held_out)
            check_measures(
                diagnostics,
                f"Lower train.learning_rate={config.train.learning_rate:g}",
            )
        write_json(run.path / "diagnostics.json", diagnostics)
        log.close()
        return run


def _with_callback(write: Write, callback: Callback | None) -> Write:
    if callback is None:
        return write

    def write_and_call(
        phase: str, update: int, values: Any, *further: Any, **named: Any
    ) -> None:
        write(phase, update, values, *further, **named)
        callback(phase, update, dict(values))

    return write_and_call


def train_together(trainings: Sequence[Training]) -> None:
    """Train runs as one compiled batch to their last checkpoints.

    Each run draws what it would draw alone; its numbers agree with those of a lone run
    to rounding. `train` with `resume` then finds no updates to make, and measures the
    networks.

    Args:
        trainings: runs of one configuration with different seeds, which have made the
            same number of updates.

    Raises:
        Diverged: a number of some seeds is not finite; the error names them. All seeds
            keep their newest checkpoint, and can be trained one by one.
    """
    first = trainings[0].run
    seeds = [training.run.config.seed for training in trainings]

    def save(train_state: PyTree) -> None:
        states = unstack(train_state)
        for training, state in zip(trainings, states, strict=True):
            training.save(state)

    def write(phase: str, update: int, values: dict[str, list[float]]) -> None:
        for row, training in enumerate(trainings):
            own = {name: numbers[row] for name, numbers in values.items()}
            training.log.write(phase, update, own)

    try:
        first.method.fit(
            first,
            stack([training.buffer for training in trainings]),
            stack([training.train_state for training in trainings]),
            save,
            write,
            seeds,
        )
    except Diverged:
        for training in trainings:
            training.log.flush()
        raise
    else:
        for training in trainings:
            training.log.close()
    finally:
        for training in trainings:
            training.log.release()
