"""Run a sweep: play, train and evaluate the units that are not complete."""

import dataclasses
import json
import time
import traceback
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from bestreply.config import (
    RunConfig,
    differences,
    from_dict,
)
from bestreply.sweeps.batch import default_batch, group_by_setting, train_batch
from bestreply.sweeps.executors import (
    Job,
    Outcomes,
    attempt,
    run_here,
    run_in_processes,
    run_on_ray,
)
from bestreply.sweeps.sweep import Sweep
from bestreply.sweeps.unit import Unit
from bestreply.training.epochs import as_started
from bestreply.utils.console import log
from bestreply.utils.files import (
    locked,
    make_folder,
    read_text,
    remove,
    write_json,
    write_text,
)
from bestreply.utils.turns import clock, run_in_turns

EXECUTORS = ("local", "ray")
Executor = Callable[[Sequence[Job]], Outcomes]


def run_sweep(
    sweep: Sweep,
    *,
    workers: int = 1,
    executor: str = "local",
    address: str | None = None,
    batch: int | None = None,
    restart_changed: bool = False,
    command: str | None = None,
) -> list[Unit]:
    """Play, train and evaluate every unit that is not complete.

    A unit that fails leaves ``error.txt`` in its directory and does not stop the
    rest. The next call tries it again. A complete unit is evaluated again where the
    file now asks for another evaluation; one of another configuration fails.

    Args:
        sweep: the units.
        workers: units at a time on this machine; above 1 each has a process.
        executor: "local", or "ray": send the units to a Ray cluster.
        address: address of the cluster; None: a local one.
        batch: seeds of one setting trained and evaluated as one compiled batch, at
            most; 1: one after another; None: 1 on a CPU, else as many as memory allows.
        restart_changed: remove and restart a unit that was started with another
            configuration or other data.
        command: what was typed, for the provenance.

    Returns:
        The units that failed.

    Raises:
        BlockingIOError: another process runs the sweep.
        ValueError: the settings of the executor do not fit together.
    """
    run = _executor(executor, workers, address, batch)
    max_seeds = default_batch() if batch is None else batch
    if run is run_here and max_seeds != 1:
        run_units = partial(_run_in_batches, max_seeds=max_seeds)
    else:
        run_units = run
    make_folder(sweep.path)
    with locked(sweep.path, wait=False):
        return _run_missing(sweep, run, run_units, restart_changed, command)


def _run_missing(
    sweep: Sweep,
    run: Executor,
    run_units: Executor,
    restart_changed: bool,
    command: str | None,
) -> list[Unit]:
    missing = [
        unit
        for unit in sweep.units
        if not unit.is_complete or _differs_from_file(unit)
    ]
    complete = len(sweep.units) - len(missing)
    if complete:
        log.info("%s of %s units are complete", complete, len(sweep.units))
    needed = {unit.data for unit in missing}
    play = [
        Job(path.name, _collect, (path.absolute(), config, command))
        for path, config in sweep.data.items()
        if path in needed
    ]
    _run_all("play", play, run)
    if restart_changed:
        _remove_changed(missing)
    jobs = [
        Job(_name(sweep, unit), _run_unit, (_absolute(unit), command))
        for unit in missing
    ]
    failed = _run_all("runs", jobs, run_units)
    return [unit for unit in missing if _name(sweep, unit) in failed]


def _executor(
    executor: str, workers: int, address: str | None, batch: int | None
) -> Executor:
    if executor not in EXECUTORS:
        raise ValueError(
            f"executor={executor!r}: expected one of {', '.join(EXECUTORS)}"
        )
    if workers < 1:
        raise ValueError(f"workers={workers}: expected at least 1")
    if batch is not None and batch < 1:
        raise ValueError(f"batch={batch}: expected at least 1")
    in_one_process = executor == "local" and workers == 1
    if (batch or 1) > 1 and not in_one_process:
        raise ValueError(
            f"batch={batch}: expected executor='local' and workers=1, since a "
            "batch runs in one process"
        )
    if address and executor != "ray":
        raise ValueError(f"address={address!r}: expected executor='ray'")
    if executor == "ray":
        return partial(run_on_ray, address=address)
    if workers == 1:
        return run_here
    return partial(run_in_processes, workers=workers)


def _name(sweep: Sweep, unit: Unit) -> str:
    return str(unit.path.relative_to(sweep.path))


def _absolute(unit: Unit) -> Unit:
    """Return the unit with paths that hold in other processes."""
    return dataclasses.replace(
        unit, path=unit.path.absolute(), data=unit.data.absolute()
    )


def _collect(path: Path, config: RunConfig, command: str | None) -> None:
    from bestreply.data.store import open_store
    from bestreply.run_data import collect_for

    make_folder(path)
    with locked(path):  # another sweep may share the data
        has_data = (path / "manifest.json").exists()
        if not (has_data and open_store(path).manifest.parts):
            collect_for(config, path, command)


def _differs_from_file(unit: Unit) -> bool:
    """Return whether a complete unit has another configuration than its sweep's file."""
    try:
        text = read_text(unit.started_config)
        started = from_dict(RunConfig, json.loads(text))
        return started != as_started(started, unit.config)
    except (ValueError, OSError, RecursionError):  # of another version
        return False


def _remove_changed(units: Sequence[Unit]) -> None:
    """Remove started units of another configuration, format or dataset."""
    for unit in units:
        if unit.is_started and _has_changed(unit):
            remove(unit.path)


def _has_changed(unit: Unit) -> bool:
    from bestreply.data.store import open_store

    try:
        text = unit.started_config.read_text("utf-8")
        started = from_dict(RunConfig, json.loads(text))
        folder = unit.started_config.parent
        facts = json.loads((folder / "provenance.json").read_text("utf-8"))
        learned_from = facts["data"]["fingerprint"]
    except (ValueError, KeyError, TypeError, OSError):  # another version
        return True
    evaluation = unit.config.evaluate  # it may change
    started = dataclasses.replace(started, evaluate=evaluation)
    if differences(started, as_started(started, unit.config)):
        return True
    if not (unit.data / "manifest.json").exists():
        return True
    has_rounds = unit.config.improve.rounds > 0  # their data grows
    return not has_rounds and learned_from != open_store(unit.data).fingerprint


def _run_in_batches(jobs: Sequence[Job], max_seeds: int | None) -> Outcomes:
    """Train and evaluate the seeds of each setting in batches."""
    job_of = {job.arguments[0]: job for job in jobs}
    command = jobs[0].arguments[1] if jobs else None
    for units in group_by_setting(list(job_of)):
        while units:
            start = time.perf_counter()
            was_started = {unit: unit.is_started for unit in units}
            count = 1
            if len(units) > 1:
                count = train_batch(units, command, max_seeds)
            seconds = (time.perf_counter() - start) / count
            batch = [
                job_of[unit]._replace(
                    arguments=(
                        *job_of[unit].arguments,
                        seconds,
                        was_started[unit],
                    ),
                    ends_batch=number == count,
                )
                for number, unit in enumerate(units[:count], 1)
            ]
            yield from zip(batch, _attempt_all(batch), strict=True)
            units = units[count:]


def _attempt_all(jobs: Sequence[Job]) -> list[str | None]:
    """Run jobs of one setting; their matches are played as one batch."""
    if len(jobs) == 1:
        return [attempt(jobs[0])]
    return run_in_turns([partial(attempt, job) for job in jobs])


def _run_unit(
    unit: Unit,
    command: str | None,
    batch_seconds: float = 0.0,
    was_started: bool | None = None,
) -> None:
    """Train and evaluate a unit; continue where it has been started.

    `batch_seconds` were spent on it in a batch, `was_started` is whether it had
    been started before that.
    """
    from bestreply.data.store import open_store
    from bestreply.pipeline import evaluate_run, learn
    from bestreply.report import write_report

    start = clock()
    unit.path.mkdir(parents=True, exist_ok=True)
    try:
        with locked(unit.path, wait=False):
            resumed = unit.is_started if was_started is None else was_started
            open_store(
                unit.data
            )  # missing play is an error, not collected again
            run = learn(
                unit.config, unit.path, unit.data, resume=True, command=command
            )
            evaluate_run(run, command)
            write_report(unit.path)
    except BlockingIOError:  # the process that uses it writes its own files
        raise
    except Exception:
        write_text(unit.error, traceback.format_exc())
        raise
    unit.error.unlink(missing_ok=True)
    seconds = batch_seconds + clock() - start
    facts = {"seconds": seconds, "resumed": resumed}
    write_json(unit.path / "unit.json", facts)


def _run_all(what: str, jobs: list[Job], run: Executor) -> set[str]:
    """Run jobs, print each outcome and an estimate of the time left.

    Returns:
        The names of the jobs that failed.
    """
    start = time.monotonic()
    failed = set()
    for count, (job, error) in enumerate(run(jobs), 1):
        seconds = (time.monotonic() - start) / count * (len(jobs) - count)
        state = "complete"
        if error is not None:
            state = f"failed: {error}"
            failed.add(job.name)
        shows_time = count < len(jobs) and job.ends_batch
        left = f", about {seconds / 60:.0f} min left" if shows_time else ""
        line = f"{what} {count}/{len(jobs)}{left}: {job.name} {state}"
        log.info("%s", line)
    return failed
