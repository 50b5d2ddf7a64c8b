"""A stretch of training: gradient steps of one kind in compiled blocks, logged and saved as it goes."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array

from bestreply.config import RunConfig
from bestreply.console import meter

Step = Callable[[RunConfig, Any, Any, Array], tuple[Any, dict[str, Array]]]
"""One gradient step: (config, data, learner, key) -> the learner, and what was measured by name."""
Write = Callable[..., None]
"""Takes a phase's name, its updates made, what was measured, and the environment steps if they are known (`MetricsLog.write`)."""


class Phase(NamedTuple):
    """`counter` names its updates, both those to make (`TrainConfig`) and those made (of the learner); `stream` its random draws."""

    name: str
    step: Step
    counter: str
    stream: int


@partial(jax.jit, static_argnames=("config", "step", "updates"), donate_argnames=("learner",))
def run_updates(
    config: RunConfig, step: Step, data: Any, learner: Any, seed: Array, first: Array, updates: int
) -> Any:
    """`updates` gradient steps as one program; update number u draws from a key made of (seed, u) alone."""

    def body(learner: Any, number: Array) -> tuple[Any, dict[str, Array]]:
        return step(config, data, learner, jax.random.fold_in(seed, number))

    learner, metrics = jax.lax.scan(body, learner, first + jnp.arange(updates))
    return learner, jax.tree.map(lambda x: x.mean(0), metrics)


def run_phase(
    phase: Phase,
    config: RunConfig,
    data_for: Callable[[Any], Any],
    learner: Any,
    save: Callable[[Any], None],
    write: Write,
    save_every: int,
) -> Any:
    """Trains to the end of `phase` in blocks of `log_every`; logs after each block, saves after each `save_every` updates.

    What to learn from is asked for at the start and after each save, so that a resumed run learns from the same.
    """
    done, updates = int(getattr(learner, phase.counter)), getattr(config.train, phase.counter)
    seed = jax.random.fold_in(jax.random.key(config.seed), phase.stream)
    data = None
    with meter(f"train: {phase.name}", updates - done, "updates") as progress:
        while done < updates:
            data = data_for(learner) if data is None else data
            block = min(config.train.log_every, updates - done)
            learner, metrics = run_updates(config, phase.step, data, learner, seed, jnp.int32(done), block)
            done += block
            write(phase.name, done, {name: float(value) for name, value in metrics.items()})
            saving = done % save_every < block or done == updates
            if saving:
                save(learner)
                data = None
            progress.advance(block)
    return learner
