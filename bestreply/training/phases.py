"""A stretch of training: gradient steps of one kind in compiled blocks, logged and saved as it goes."""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from bestreply.config import RunConfig
from bestreply.utils.console import meter

Step = Callable[[RunConfig, Any, Any, Array], tuple[Any, dict[str, Array]]]
"""One gradient step: (config, data, train_state, key) -> the train_state, and what was measured by name."""
Write = Callable[..., None]
"""Takes a phase's name, its updates made, what was measured, and the environment steps if they are known (`MetricsLog.write`)."""
Seeds = Sequence[int] | None
"""Of learners that are trained side by side, stacked [S, ...] with all that is theirs; None: one train_state, of the configuration's seed."""


class Phase(NamedTuple):
    """`counter` names its updates, both those to make (`TrainConfig`) and those made (of the train_state); `stream` its random draws."""

    name: str
    step: Step
    counter: str
    stream: int


@partial(
    jax.jit,
    static_argnames=("config", "step", "updates"),
    donate_argnames=("train_state",),
)
def run_updates(
    config: RunConfig,
    step: Step,
    data: Any,
    train_state: Any,
    seed: Array,
    first: Array,
    updates: int,
) -> Any:
    """`updates` gradient steps as one program; update number u draws from a key made of (seed, u) alone.

    `seed` is a key, or [S] keys of as many learners, stacked like their data, each of which learns as it would alone.
    """

    def alone(
        data: Any, train_state: Any, seed: Array
    ) -> tuple[Any, dict[str, Array]]:
        def body(
            train_state: Any, number: Array
        ) -> tuple[Any, dict[str, Array]]:
            return step(
                config, data, train_state, jax.random.fold_in(seed, number)
            )

        train_state, metrics = jax.lax.scan(
            body, train_state, first + jnp.arange(updates)
        )
        return train_state, jax.tree.map(lambda x: x.mean(0), metrics)

    return (jax.vmap(alone) if seed.ndim else alone)(data, train_state, seed)


def run_phase(
    phase: Phase,
    config: RunConfig,
    data_for: Callable[[Any], Any],
    train_state: Any,
    save: Callable[[Any], None],
    write: Write,
    save_every: int,
    seeds: Seeds = None,
) -> Any:
    """Trains to the end of `phase` in blocks of `log_every`, or of `save_every` where that is less; logs after each block, saves after each
    `save_every` updates.

    What to learn from is asked for at the start and after each save, so that a resumed run learns from the same. Learners of several
    `seeds` have made as many updates as one another, and what was measured is written as a list of numbers, one for each.
    """
    done, updates = (
        updates_made(train_state, phase.counter),
        getattr(config.train, phase.counter),
    )
    seed = keys(config, seeds, phase.stream)
    config = dataclasses.replace(
        config, seed=0
    )  # it is in the keys: all seeds have one program
    data = None
    with meter(f"train: {phase.name}", updates - done, "updates") as progress:
        while done < updates:
            data = data_for(train_state) if data is None else data
            block = min(config.train.log_every, save_every, updates - done)
            train_state, metrics = run_updates(
                config,
                phase.step,
                data,
                train_state,
                seed,
                jnp.int32(done),
                block,
            )
            done += block
            write(
                phase.name,
                done,
                {
                    name: np.asarray(value).tolist()
                    for name, value in metrics.items()
                },
            )
            saving = done % save_every < block or done == updates
            if saving:
                save(train_state)
                data = None
            progress.advance(block)
    return train_state


def updates_made(train_state: Any, counter: str) -> int:
    """The gradient steps that `counter` of a train_state, or of learners stacked, has counted."""
    return int(np.max(getattr(train_state, counter)))


def keys(config: RunConfig, seeds: Seeds, stream: int) -> Array:
    """A stream of random draws of the configuration's seed [], or of each of `seeds` [S]."""
    one = [
        jax.random.fold_in(jax.random.key(s), stream)
        for s in ([config.seed] if seeds is None else seeds)
    ]
    return one[0] if seeds is None else jnp.stack(one)


def of_each(
    function: Callable[..., Any], config: RunConfig, seeds: Seeds, *trees: Any
) -> Any:
    """``function(config, *trees)``; for several `seeds` for each in turn, with its configuration and its part of the `trees`, stacked."""
    if seeds is None:
        return function(config, *trees)
    rows = zip(seeds, unstack(trees), strict=True)
    return stack(
        [
            function(dataclasses.replace(config, seed=seed), *row)
            for seed, row in rows
        ]
    )


def stack(trees: Sequence[Any]) -> Any:
    """Trees of arrays [...] as one of arrays [S, ...]."""
    return jax.tree.map(lambda *x: jnp.stack(x), *trees)


def unstack(trees: Any) -> Iterator[Any]:
    """Each of the trees that were stacked."""
    for row in range(len(jax.tree.leaves(trees)[0])):
        yield jax.tree.map(lambda x, row=row: x[row], trees)
