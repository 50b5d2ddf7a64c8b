"""Units of a sweep that differ in their seed alone, trained as one compiled batch: as many at once as memory allows.

Batches are for accelerators. A processor does the same work either way (docs/sweeps.md); and all
seeds share one compiled program, in a batch or not.
"""

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bestreply.config import RunConfig
from bestreply.utils.console import console

if TYPE_CHECKING:
    from bestreply.sweeps.unit import Unit
    from bestreply.train import Training

SHARE = 0.5
"""What a batch may take of the memory that is free: what a gradient step holds meanwhile is but roughly known."""

COPIES = 3
"""Of all that a seed learns from, at most: its own, its place in the batch, and what the batch is made from."""


STEP = 128 << 20
"""Bytes that a seed's gradient step is taken to hold meanwhile, with networks and batches of the sizes of the presets."""


def by_setting(units: Sequence["Unit"]) -> list[list["Unit"]]:
    """`units` in groups that differ in their seed alone; a unit that has to be trained alone is a group of its own."""
    groups: dict[Any, list[Unit]] = {}
    for unit in units:
        setting = (
            dataclasses.replace(unit.config, seed=0)
            if can_batch(unit.config)
            else unit.path
        )
        groups.setdefault(setting, []).append(unit)
    return list(groups.values())


def can_batch(config: RunConfig) -> bool:
    """Whether several seeds can be trained side by side: not of a method that plays while it learns, or between two rounds of it, nor
    where each is to be a run of Weights & Biases, of which a process has one at a time."""
    from bestreply.run import load_method

    alone = config.improve.rounds or config.train.wandb
    return load_method(config.method).can_batch and not alone


def usual_batch() -> int | None:
    """Seeds at once where nobody says: on a processor one after another, else as many as memory allows."""
    import jax

    return 1 if jax.default_backend() == "cpu" else None


def train_batch(
    units: Sequence["Unit"], command: str | None, most: int | None
) -> int:
    """Trains the first of `units` of one setting, at most `most` and as many as memory allows, to their last checkpoints; how many.

    Those that have made as many updates as one another train side by side. What cannot be trained here is left as it is: a unit's own
    turn, which goes on from its newest checkpoint, will train it or say what is wrong.
    """
    from bestreply.train import train_together

    trainings, count = _open(units, command, most)
    lots: dict[int, list[Training]] = {}
    for training in trainings:
        if training.left:
            lots.setdefault(training.made(training.train_state), []).append(
                training
            )
    for lot in lots.values():
        if len(lot) > 1:
            console.print(f"train: {len(lot)} seeds as one batch")
            try:
                train_together(lot)
            except Exception as error:
                console.print(
                    f"the batch failed, its seeds are trained one by one: {error}",
                    markup=False,
                )
    return count


def _open(
    units: Sequence["Unit"], command: str | None, most: int | None
) -> tuple[list["Training"], int]:
    """The first of `units`, opened for training, and how many were tried: one that cannot be opened counts too."""
    from bestreply.data.store import open_store
    from bestreply.train import open_training

    found: list[Training] = []
    limit = len(units) if most is None else min(most, len(units))
    tried = 0
    while tried < limit:
        unit = units[tried]
        tried += 1
        try:
            data = open_store(unit.data)
            training = open_training(
                data, unit.config, path=unit.path, resume=True, command=command
            )
        except Exception:  # which its own turn will meet again, and tell
            continue
        found.append(training)
        if len(found) == 1:
            limit = min(limit, seeds_at_once(training))
    return found, tried


def seeds_at_once(training: "Training") -> int:
    """How many seeds like this one the free memory has room for, at least 1."""
    return max(int(SHARE * free_memory()) // bytes_of_seed(training), 1)


def bytes_of_seed(training: "Training") -> int:
    """An estimate of the memory that one more seed takes, from what it learns from and what training changes."""
    import jax

    run, buffer, train_state = (
        training.run,
        training.buffer,
        training.train_state,
    )
    further = run.method.fit_arrays(run, buffer, train_state)
    arrays = jax.tree.leaves((buffer, train_state, further))
    return STEP + COPIES * sum(x.size * x.dtype.itemsize for x in arrays)


def free_memory() -> int:
    """Bytes that this process may still take: of the device, or of this machine where the device is its processor."""
    import jax

    device: Any = jax.local_devices()[0]
    if device.platform != "cpu" and (stats := device.memory_stats()):
        return stats["bytes_limit"] - stats["bytes_in_use"]
    meminfo = Path("/proc/meminfo")
    if not meminfo.exists():
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    lines = dict(line.split(":") for line in meminfo.read_text().splitlines())
    free = int(lines["MemAvailable"].split()[0]) * 1024
    try:  # a container may be allowed less
        group = Path("/sys/fs/cgroup")
        limit, used = (
            int((group / name).read_text())
            for name in ("memory.max", "memory.current")
        )
    except (OSError, ValueError):
        return free
    return min(free, max(limit - used, 0))
