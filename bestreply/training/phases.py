"""A phase of training: gradient steps of one kind, in compiled blocks with logs and checkpoints."""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int32, Key, PyTree

from bestreply.config import RunConfig
from bestreply.training.divergence import check_finite
from bestreply.utils.console import meter
from bestreply.utils.quick import QuickProgram

State = TypeVar("State")
"""The train state of a method: a PyTree."""
Metrics = dict[str, Array]
"""Scalars by name, such as `world/reward`."""
Step = Callable[[RunConfig, Any, Any, Array], tuple[Any, Metrics]]
"""One gradient step: (config, data, train state, key) -> (train state, metrics)."""
Write = Callable[..., None]
"""Logs metrics: (phase, updates made, values by name, environment steps or None), as
`MetricsLog.write`."""
Seeds = Sequence[int] | None
"""Seeds of S runs that are trained as one batch, with states and data stacked [S, ...];
None: one run, with the seed of its configuration."""


class Phase(NamedTuple):
    """One kind of gradient step."""

    name: str
    step: Step
    counter: str
    """Name of the number of updates: to make in `TrainConfig`, made in the train state."""
    stream: int
    """Number of its stream of random draws."""


MAX_QUICK_WORK = 2**20
"""Largest number of updates, times examples, times units of a layer, of a phase whose
program is compiled quickly: optimised, it takes longer to compile than it saves."""

_SETTINGS: dict[str, Any] = {
    "static_argnames": ("config", "step", "updates"),
    "donate_argnames": ("train_state",),
}


def _run_updates(
    config: RunConfig,
    step: Step,
    data: PyTree,
    train_state: State,
    seed: Key[Array, "*S"],
    first: Int32[Array, ""],
    updates: int,
) -> tuple[State, dict[str, Float[Array, "*S"]]]:
    """Make gradient steps as one compiled program.

    Args:
        config: configuration of the run.
        step: one gradient step.
        data: the data that every step draws from.
        train_state: the state to continue from; its buffers are donated.
        seed: key of the random draws; update u draws from (seed, u) alone. With S
            keys, S runs are trained side by side, each with the result that it has
            alone; `data` and `train_state` are then stacked [S, ...].
        first: number of the first update.
        updates: number of gradient steps.

    Returns:
        The train state, and the mean of each metric over the steps.
    """

    def one_run(
        data: PyTree, train_state: State, seed: Key[Array, ""]
    ) -> tuple[State, Metrics]:
        def update(
            train_state: State, number: Int32[Array, ""]
        ) -> tuple[State, Metrics]:
            key = jax.random.fold_in(seed, number)
            return step(config, data, train_state, key)

        numbers = first + jnp.arange(updates)
        train_state, metrics = jax.lax.scan(update, train_state, numbers)
        return train_state, jax.tree.map(lambda x: x.mean(0), metrics)

    run = jax.vmap(one_run) if seed.ndim else one_run
    return run(data, train_state, seed)


run_updates = jax.jit(_run_updates, **_SETTINGS)
_run_few_updates = QuickProgram(_run_updates, **_SETTINGS)


def program_of(config: RunConfig, updates: int) -> Callable[..., Any]:
    """Return `run_updates`, or for a short phase the same, compiled quickly.

    Args:
        config: configuration of the run.
        updates: gradient steps of the phase, those already made among them.

    Returns:
        The program; it depends on the settings alone, so that a resumed run has the
        same.
    """
    examples = max(config.train.batch, config.train.opponent_batch)
    work = updates * examples * config.model.width
    return _run_few_updates if work <= MAX_QUICK_WORK else run_updates


def run_phase(
    phase: Phase,
    config: RunConfig,
    data_for: Callable[[State], PyTree],
    train_state: State,
    save: Callable[[State], None],
    write: Write,
    save_every: int,
    seeds: Seeds = None,
) -> State:
    """Train to the end of a phase, in blocks of `log_every` or `save_every` updates.

    Args:
        phase: the phase.
        config: configuration of the run.
        data_for: the data for a train state; called at the start and after each
            checkpoint, so that a resumed run has the same data.
        train_state: the state to continue from. With several `seeds` all runs have
            made the same number of updates.
        save: writes a checkpoint.
        write: logs the metrics of a block; with several `seeds` a list of S numbers
            for each name.
        save_every: gradient steps between two checkpoints.
        seeds: seeds of S runs that are trained as one batch; None: one run.

    Returns:
        The train state after the last update of the phase.

    Raises:
        Diverged: a metric or a parameter is not finite after a block; the block is
            logged, and no checkpoint is written.
    """
    total = getattr(config.train, phase.counter)
    made = updates_made(train_state, phase.counter)
    program = program_of(config, total)
    seed = keys(config, seeds, phase.stream)
    # The seed is in the keys: all seeds share one program.
    config = dataclasses.replace(config, seed=0)
    data = None
    with meter(f"train: {phase.name}", total - made, "updates") as progress:
        while made < total:
            data = data_for(train_state) if data is None else data
            block = min(config.train.log_every, save_every, total - made)
            train_state, metrics = program(
                config,
                phase.step,
                data,
                train_state,
                seed,
                jnp.int32(made),
                block,
            )
            made += block
            values = {
                name: np.asarray(value).tolist()
                for name, value in metrics.items()
            }
            write(phase.name, made, values)
            check_finite(
                phase.name,
                made - block + 1,
                made,
                values,
                train_state,
                f"Lower train.learning_rate={config.train.learning_rate:g}",
                seeds,
            )
            if made % save_every < block or made == total:
                save(train_state)
                data = None
            progress.advance(block)
    return train_state


def updates_made(train_state: PyTree, counter: str) -> int:
    """Return the number of gradient steps that a counter of the train state holds.

    Args:
        train_state: the train state of one run, or of several, stacked.
        counter: name of the counter.

    Returns:
        The number; of a stacked state that of its runs.
    """
    return int(np.max(getattr(train_state, counter)))


def updates_left(config: RunConfig, train_state: PyTree, phase: Phase) -> int:
    """Return the number of gradient steps that a phase has still to make.

    Args:
        config: configuration of the run.
        train_state: its train state.
        phase: the phase.

    Returns:
        The number, at least 0.
    """
    total = getattr(config.train, phase.counter)
    return max(total - updates_made(train_state, phase.counter), 0)


def keys(config: RunConfig, seeds: Seeds, stream: int) -> Key[Array, "*S"]:
    """Return the key of a stream of random draws, or one key for each seed.

    Args:
        config: its seed is used where `seeds` is None.
        seeds: seeds of S runs.
        stream: number of the stream.

    Returns:
        A key [], or keys [S].
    """
    one = [
        jax.random.fold_in(jax.random.key(seed), stream)
        for seed in ([config.seed] if seeds is None else seeds)
    ]
    return one[0] if seeds is None else jnp.stack(one)


def of_each(
    function: Callable[..., Any], config: RunConfig, seeds: Seeds, *trees: Any
) -> Any:
    """Return ``function(config, *trees)``, or the stacked results of every seed.

    Args:
        function: called with the configuration of one run and its part of `trees`.
        config: configuration of the runs.
        seeds: seeds of S runs; None: one run.
        trees: PyTrees, stacked [S, ...] with several seeds.

    Returns:
        The result [...], or the results [S, ...].
    """
    if seeds is None:
        return function(config, *trees)
    results = [
        function(dataclasses.replace(config, seed=seed), *row)
        for seed, row in zip(seeds, unstack(trees), strict=True)
    ]
    return stack(results)


def stack(trees: Sequence[State]) -> State:
    """Return S PyTrees of arrays [...] as one of arrays [S, ...].

    Args:
        trees: the PyTrees, of one structure.

    Returns:
        The stacked PyTree.
    """
    return jax.tree.map(lambda *x: jnp.stack(x), *trees)


def unstack(trees: State) -> Iterator[State]:
    """Yield each of the PyTrees that were stacked.

    Args:
        trees: a PyTree of arrays [S, ...].

    Returns:
        The S PyTrees of arrays [...].
    """
    for row in range(len(jax.tree.leaves(trees)[0])):
        yield jax.tree.map(lambda x, row=row: x[row], trees)
