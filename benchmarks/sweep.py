"""Seeds trained as one compiled batch and one after another; the overhead of a sweep; Ray
and a single process.

Each is measured in a process of its own. `first` includes compilation without a cache;
`again` is the median of further rounds in the same process. Processor seconds are
reported beside wall time, which other work on the machine lengthens.
"""

import contextlib
import dataclasses
import io
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import timing
from bestreply.config import RunConfig, preset, to_dict
from bestreply.data.store import Store, open_store
from bestreply.pipeline import evaluate_run, resolve
from bestreply.report import write_report
from bestreply.run_data import collect_for
from bestreply.sweeps.run_sweep import run_sweep
from bestreply.sweeps.sweep import Sweep
from bestreply.sweeps.unit import Unit
from bestreply.train import open_training, train, train_together

GAME = "stag_hunt(height=3, width=3, hunters=2, stags=1, hares=2, max_steps=10)"
SMALL = "matrix(table=chicken, rounds=4)"  # short units, so that the overhead is visible
SIZES = {"debug": 50, "demo": 20}
"""Presets for networks and batches, and updates of each phase."""


def config(name: str, game: str, seed: int) -> RunConfig:
    """Return a small configuration with the networks and batches of a preset."""
    base, updates = preset(name), SIZES[name]
    train_config = dataclasses.replace(
        base.train,
        opponent_updates=updates,
        updates=updates,
        log_every=updates,
        augment=False,
    )
    return resolve(
        dataclasses.replace(
            base,
            game=game,
            seed=seed,
            collect=dataclasses.replace(base.collect, episodes=500),
            train=train_config,
            evaluate=dataclasses.replace(
                base.evaluate,
                episodes=32,
                methods=("agent",),
                reference_layouts=0,
            ),
        )
    )


def train_seeds(
    data: Store, name: str, seeds: int, together: bool, folder: Path
) -> None:
    """Train seeds 0, 1, ... of one setting, with every checkpoint."""

    def opened(seed: int) -> Any:
        return open_training(
            data, config(name, GAME, seed), path=folder / str(seed)
        )

    if together:
        train_together([opened(seed) for seed in range(seeds)])
        return
    for seed in range(seeds):
        one = opened(seed)
        one.run.method.fit(
            one.run, one.buffer, one.train_state, one.save, one.log.write
        )
        one.log.close()


def units(folder: Path, data: Path, seeds: int) -> list[Unit]:
    return [
        Unit(folder / str(seed), data, config("debug", SMALL, seed))
        for seed in range(seeds)
    ]


def run_unit(unit: Unit) -> None:
    """Run the content of a unit without the sweep."""
    evaluate_run(train(open_store(unit.data), unit.config, path=unit.path), "")
    write_report(unit.path)


def timed(job: Callable[[], Any]) -> tuple[float, float]:
    """Return wall and processor seconds of one call."""
    clock, processor = time.perf_counter(), time.process_time()
    job()
    return time.perf_counter() - clock, time.process_time() - processor


# -- what runs in a process of its own -----------------------------------------------------------------------------------------


def child_training(
    name: str, seeds: int, together: bool, rounds: int
) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        data = collect_for(config(name, GAME, 0), Path(folder) / "data")
        each = [
            timed(
                lambda k=k: train_seeds(
                    data, name, seeds, together, Path(folder) / str(k)
                )
            )
            for k in range(1 + rounds)
        ]
    first, *again = each
    return {
        "first": first[0],
        "first_of_processor": first[1],
        "again": statistics.median(clock for clock, _ in again) / seeds,
        "again_of_processor": statistics.median(
            processor for _, processor in again
        )
        / seeds,
        "megabytes": timing.own_peak(),
    }


def child_overhead(seeds: int, rounds: int) -> dict[str, Any]:
    """Return seconds per unit, called directly and in a sweep, measured in turns."""
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        collect_for(config("debug", SMALL, 0), data)
        direct, in_sweep = [], []
        for number in range(
            1 + 2 * rounds
        ):  # the first compiles; who goes first takes turns
            here, there = (
                Path(folder) / f"{how}-{number}" for how in ("direct", "sweep")
            )
            sweep = Sweep(there, tuple(units(there, data, seeds)))
            jobs = [
                (
                    direct,
                    lambda here=here: [
                        run_unit(unit) for unit in units(here, data, seeds)
                    ],
                ),
                (
                    in_sweep,
                    lambda sweep=sweep: run_sweep(sweep, batch=1, command=""),
                ),
            ]
            for found, job in reversed(jobs) if number % 2 else jobs:
                found.append(timed(job))
    apart = [b[1] - a[1] for a, b in zip(direct[1:], in_sweep[1:], strict=True)]
    return {
        "unit": statistics.median(processor for _, processor in direct[1:])
        / seeds,
        "added": statistics.median(apart) / seeds,
        "unit_by_the_clock": statistics.median(clock for clock, _ in direct[1:])
        / seeds,
    }


def child_executor(how: str, seeds: int) -> dict[str, Any]:
    settings: dict[str, dict[str, Any]] = {
        "one after another": {"batch": 1},
        "one batch": {"batch": seeds},
        "two processes": {"workers": 2},
        "ray": {"executor": "ray"},
    }
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        collect_for(config("debug", SMALL, 0), data)
        sweep = Sweep(
            Path(folder) / "runs",
            tuple(units(Path(folder) / "runs", data, seeds)),
        )
        seconds, _ = timed(
            lambda: run_sweep(sweep, command="", **settings[how])
        )
        return {
            "seconds": seconds,
            "failed": sum(not unit.is_complete for unit in sweep.units),
        }


def child(
    what: str, *arguments: Any, cache: str | None = None
) -> dict[str, Any]:
    """Return the result of ``child_WHAT(*arguments)`` in a new process, with or without a compilation cache."""
    surroundings = {
        k: v for k, v in os.environ.items() if k != "JAX_COMPILATION_CACHE_DIR"
    }
    surroundings["JAX_ENABLE_COMPILATION_CACHE"] = str(
        cache is not None
    ).lower()
    if cache is not None:
        surroundings |= {
            "JAX_COMPILATION_CACHE_DIR": cache,
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        }
    command = [
        sys.executable,
        "-m",
        "benchmarks.sweep",
        what,
        json.dumps(arguments),
    ]
    out = subprocess.run(
        command, capture_output=True, text=True, env=surroundings, check=False
    )
    if out.returncode:
        raise RuntimeError(f"{what} {arguments}: {out.stderr[-2000:]}")
    return json.loads(out.stdout.strip().splitlines()[-1])


# -- the suite -----------------------------------------------------------------------------------------------------------------


def measure(quick: bool) -> dict[str, Any]:
    rounds = 1 if quick else 3
    rows = {}
    sizes = (
        [("debug", 1), ("debug", 4)]
        if quick
        else [("debug", 1), ("debug", 4), ("debug", 16), ("demo", 4)]
    )
    for name, seeds in sizes:
        for together in (False, True) if seeds > 1 else (False,):
            way = (
                ("one batch" if together else "one after another")
                if seeds > 1
                else "alone"
            )
            rows[f"{name}, {seeds} seeds, {way}"] = child(
                "training", name, seeds, together, rounds
            )
    with tempfile.TemporaryDirectory() as cache:
        executors = ["one after another", "one batch", "two processes"]
        if has_ray():
            executors.append("ray")
        seeds = 2 if quick else 4
        for how in executors:  # compiled once before anything is timed
            child("executor", how, seeds, cache=cache)
        found = {
            how: child("executor", how, seeds, cache=cache) for how in executors
        }
        overhead = child("overhead", 2, rounds, cache=cache)
    return {
        "unit": "seconds",
        "updates": {name: 2 * count for name, count in SIZES.items()},
        "rows": rows,
        "overhead": overhead,
        "executors": found,
        "executor_units": seeds,
        "setting": to_dict(config("debug", GAME, 0))["game"],
    }


def has_ray() -> bool:
    try:
        import ray  # pyright: ignore[reportMissingImports]  # noqa: F401
    except ImportError:
        return False
    return True


def table(found: dict[str, Any]) -> str:
    """Return the figures as Markdown."""
    columns = [
        "networks, seeds",
        "first, s",
        "again, s a seed",
        "processor, s a seed",
        "peak, MB",
    ]
    names = ("first", "again", "again_of_processor", "megabytes")
    body = [
        [name, *(timing.short(row[k]) for k in names)]
        for name, row in found["rows"].items()
    ]
    over = found["overhead"]
    share = 100 * over["added"] / over["unit"]
    ways = [
        [how, timing.short(row["seconds"])]
        for how, row in found["executors"].items()
    ]
    ray = (
        ""
        if "ray" in found["executors"]
        else " Ray is not installed and was not measured."
    )
    return "\n".join(
        [
            f"{found['updates']['debug']} updates a seed with the networks of `debug`, {found['updates']['demo']} with those of `demo`; "
            "`first` compiles, without a cache.",
            "",
            timing.table(columns, body),
            "",
            f"A sweep adds {1000 * over['added']:.0f} ms of processor time to a unit of {over['unit']:.2f} s ({share:.1f} %).",
            "",
            f"A sweep of {found['executor_units']} small units with a full compilation cache, wall time:{ray}",
            "",
            timing.table(["executor", "seconds"], ways),
        ]
    )


if __name__ == "__main__":
    with contextlib.redirect_stdout(io.StringIO()):
        result = globals()[f"child_{sys.argv[1]}"](*json.loads(sys.argv[2]))
    print(json.dumps(result))
