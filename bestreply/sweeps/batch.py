"""Train units that differ in their seed alone as one compiled batch.

Batches are for accelerators. A CPU does the same work either way
(docs/sweeps.md), and all seeds share one compiled program, batched or not.
"""

import dataclasses
from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING

from bestreply.config import RunConfig, TrainConfig
from bestreply.sweeps.unit import Unit
from bestreply.utils.big_arrays import free_device_memory
from bestreply.utils.console import log
from bestreply.utils.untrusted import free_memory as main_memory

if TYPE_CHECKING:  # reading a sweep's file needs no JAX
    from bestreply.train import Training

MEMORY_FRACTION = 0.5
"""Fraction of the free memory that a batch may take; the estimate below is rough."""
COPIES = 3
"""Copies of a seed's data, at most: its own, its row of the batch, the batch's source."""
STEP_BYTES = 128 << 20
"""Bytes of a seed's gradient step, with networks and batches of the presets' sizes."""


def group_by_setting(units: Sequence[Unit]) -> list[list[Unit]]:
    """Return units in groups that differ in their seed alone.

    Args:
        units: units of a sweep.

    Returns:
        Groups in the order of their first unit. A unit that cannot be batched
        is a group of its own.
    """
    groups: dict[Hashable, list[Unit]] = {}
    for unit in units:
        setting: Hashable = unit.path
        if can_batch(unit.config):
            setting = dataclasses.replace(unit.config, seed=0)
        groups.setdefault(setting, []).append(unit)
    return list(groups.values())


def can_batch(config: RunConfig) -> bool:
    """Return whether several seeds of a configuration can be trained in parallel.

    Not of a method that plays while it learns, not with rounds of own play, and
    not with Weights & Biases, which allows one run a process.

    Args:
        config: the configuration.
    """
    from bestreply.run import load_method

    if config.improve.rounds or config.train.wandb:
        return False
    return load_method(config.method).can_batch


def default_batch() -> int | None:
    """Return the default number of seeds at once: 1 on a CPU, else None (as many as fit)."""
    import jax

    return 1 if jax.default_backend() == "cpu" else None


def train_batch(
    units: Sequence[Unit], command: str | None, max_seeds: int | None
) -> int:
    """Train the first units of one setting together, to their last checkpoints.

    Units with equal numbers of updates are trained in one batch. A unit that
    cannot be trained here is left as it is; its own turn continues from its
    newest checkpoint, or reports the error.

    Args:
        units: units that differ in their seed alone.
        command: what was typed, for the provenance.
        max_seeds: upper bound on the batch; None: as many as memory allows.

    Returns:
        The number of units that were tried, the first ones.
    """
    from bestreply.train import train_together

    trainings, count = _open(units, command, max_seeds)
    batches: dict[tuple[int, TrainConfig], list[Training]] = {}
    for training in trainings:
        if training.left:
            updates = training.made(training.train_state)
            # Some settings are measured from each seed's data.
            settings = training.run.config.train
            batches.setdefault((updates, settings), []).append(training)
    for batch in batches.values():
        if len(batch) < 2:
            continue
        log.info("train: %s seeds as one batch", len(batch))
        try:
            train_together(batch)
        except Exception as error:
            log.warning(
                "the batch failed, its seeds are trained one by one: %s", error
            )
    return count


def _open(
    units: Sequence[Unit], command: str | None, max_seeds: int | None
) -> tuple[list["Training"], int]:
    """Return the first units opened for training, and how many were tried."""
    from bestreply.data.store import open_store
    from bestreply.train import open_training

    trainings: list[Training] = []
    limit = len(units) if max_seeds is None else min(max_seeds, len(units))
    tried = 0
    while tried < limit:
        unit = units[tried]
        tried += 1
        try:
            data = open_store(unit.data)
            training = open_training(
                data, unit.config, path=unit.path, resume=True, command=command
            )
        except Exception:  # reported when the unit has its own turn
            continue
        trainings.append(training)
        if len(trainings) == 1:
            limit = min(limit, seeds_that_fit(training))
    return trainings, tried


def seeds_that_fit(training: "Training") -> int:
    """Return how many seeds like this one fit into the free memory, at least 1.

    Args:
        training: one seed, opened for training.
    """
    budget = int(MEMORY_FRACTION * free_memory())
    return max(budget // bytes_per_seed(training), 1)


def bytes_per_seed(training: "Training") -> int:
    """Estimate the bytes that one more seed takes: its data and its train state.

    Args:
        training: one seed, opened for training.
    """
    import jax

    run, buffer, state = training.run, training.buffer, training.train_state
    further = run.method.fit_arrays(run, buffer, state)
    arrays = jax.tree.leaves((buffer, state, further))
    return STEP_BYTES + COPIES * sum(x.size * x.dtype.itemsize for x in arrays)


def free_memory() -> int:
    """Return the bytes that this process may still take, of its device or its machine."""
    device = free_device_memory()
    return main_memory() if device is None else device
