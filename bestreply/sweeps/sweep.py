"""Many runs from one file: methods x games x seeds, a directory each, which a stopped sweep takes up again.

A unit is one method in one game with one seed: trained, and measured against all its opponent sets. Methods that ask for the same play
learn from the same dataset, so that they are compared on equal environment steps; one that adds rounds of its own play has its own.
"""

import dataclasses
import hashlib
import json
import shutil
import time
import tomllib
import traceback
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from bestreply.config import RunConfig, differences, from_dict, preset, to_dict
from bestreply.games import make_game
from bestreply.sweeps.batch import by_setting, train_batch, usual_batch
from bestreply.sweeps.executors import (
    Ended,
    Job,
    here,
    on_ray,
    processes,
    tried,
)
from bestreply.sweeps.unit import Unit
from bestreply.utils.console import console
from bestreply.utils.files import write_json, write_text

FIELDS = ("preset", "seeds", "game", "games", "config", "methods")
"""What a sweep's file may hold."""


@dataclasses.dataclass(frozen=True)
class Sweep:
    """All units of a sweep, in the order in which they are run: seed after seed, so that a stopped one can be looked at."""

    path: Path
    units: tuple[Unit, ...]

    @property
    def data(self) -> dict[Path, RunConfig]:
        """Every dataset, and a configuration that asks for it."""
        return {unit.data: unit.config for unit in reversed(self.units)}


def read_sweep(file: str | Path, out: str | Path | None = None) -> Sweep:
    """The sweep that a TOML file describes (docs/sweeps.md); its runs go into `out`, by default ``runs/NAME`` of the file's name.

    Raises ValueError that names what is wrong in the file.
    """
    file = Path(file)
    try:
        document = tomllib.loads(file.read_text("utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{file} is not TOML: {error}") from None
    if unknown := sorted(set(document) - set(FIELDS)):
        raise ValueError(
            f"{file} has {', '.join(unknown)}; a sweep has: {', '.join(FIELDS)}"
        )
    path = Path(out) if out is not None else Path("runs") / file.stem
    methods = document.get("methods", {})
    if not methods or not all(isinstance(m, dict) for m in methods.values()):
        raise ValueError(
            f"{file} has no methods; expected: a table [methods.NAME] for each, empty or with what it changes"
        )
    base = _merged(
        to_dict(preset(document.get("preset", "demo"))),
        document.get("config", {}),
        f"{file}: config",
    )
    units = []
    for seed in _seeds(file, document.get("seeds", 1)):
        for game_name, game in _games(file, document).items():
            for method, changes in methods.items():
                merged = _merged(base, changes, f"{file}: methods.{method}") | {
                    "game": game,
                    "seed": seed,
                }
                config = _config(file, method, merged)
                data = (
                    path
                    / game_name
                    / "data"
                    / f"{_fingerprint(method, config)}-{seed}"
                )
                units.append(
                    Unit(path / game_name / method / str(seed), data, config)
                )
    return Sweep(path, tuple(units))


def _seeds(file: Path, seeds: Any) -> list[int]:
    numbers: Any = list(range(seeds)) if type(seeds) is int else seeds
    whole = isinstance(numbers, list) and all(
        type(s) is int and s >= 0 for s in numbers
    )
    if not whole or not numbers or len(set(numbers)) < len(numbers):
        raise ValueError(
            f"{file} has seeds={seeds!r}; expected: how many, or a list of different whole numbers"
        )
    return numbers


def _games(file: Path, document: dict[str, Any]) -> dict[str, str]:
    games = document.get("games", {})
    if "game" in document:
        games = {
            make_game(document["game"]).name.replace(":", "-"): document[
                "game"
            ],
            **games,
        }
    if not games:
        raise ValueError(
            f"{file} names no game; expected: game, or a table games of NAME = SPEC"
        )
    for name, spec in games.items():
        if not name.replace("-", "").replace("_", "").isalnum():
            raise ValueError(
                f"{file} calls a game {name!r}; expected: letters, digits, - and _, since a folder is named so"
            )
        make_game(spec)
    return games


def _merged(
    base: dict[str, Any], changes: dict[str, Any], where: str
) -> dict[str, Any]:
    """`base` with the nested `changes`; a name that `base` has not is refused."""
    merged = dict(base)
    for name, value in changes.items():
        if name not in base:
            raise ValueError(
                f"{where} has {name}; there are: {', '.join(base)}"
            )
        nested = isinstance(base[name], dict)
        if nested != isinstance(value, dict):
            raise ValueError(
                f"{where}.{name} is {value!r}; expected: {'a table' if nested else 'a value like ' + repr(base[name])}"
            )
        merged[name] = (
            _merged(base[name], value, f"{where}.{name}") if nested else value
        )
    return merged


def _config(file: Path, method: str, merged: dict[str, Any]) -> RunConfig:
    from bestreply.pipeline import resolve

    try:
        config = resolve(from_dict(RunConfig, merged))
    except (ValueError, TypeError) as error:
        raise ValueError(f"{file}: methods.{method}: {error}") from error
    return config


def _fingerprint(method: str, config: RunConfig) -> str:
    """Eight digits of what decides the play to learn from; of everything where a unit adds play of its own."""
    asked: list[Any] = [config.game, dataclasses.asdict(config.collect)]
    if config.improve.rounds:
        asked = [method, to_dict(config)]
    return hashlib.sha256(
        json.dumps(asked, sort_keys=True).encode()
    ).hexdigest()[:8]


# -- run -----------------------------------------------------------------------------------------------------------------------


EXECUTORS = ("local", "ray")
Executor = Callable[[Sequence[Job]], Ended]


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
    """Plays, trains and measures what is not done yet; in this process, seeds of one setting as one compiled batch.

    A unit that fails leaves ``error.txt`` in its directory and does not stop the rest; the next call tries it again.

    Args:
        workers: units at a time on this machine, each in a process of its own where there are several.
        executor: "local", or "ray", which sends the same units to the Ray cluster at `address`, by default a local one.
        batch: most seeds to be trained at once in this process, as far as memory has room for them; 1: one after another. By default
            all of them on an accelerator, and one on a processor, where a batch is no faster.
        restart_changed: whether a unit that was begun with another configuration and not finished is removed and begun anew.

    Returns the units that failed.
    """
    run = _executor(executor, workers, address, batch)
    missing = [unit for unit in sweep.units if not unit.done]
    if len(missing) < len(sweep.units):
        console.print(
            f"{len(sweep.units) - len(missing)} of {len(sweep.units)} units are done already"
        )
    if restart_changed:
        _remove_changed(missing)
    wanted = {unit.data for unit in missing}
    datasets = [
        (path, config) for path, config in sweep.data.items() if path in wanted
    ]
    _all(
        "play",
        [
            Job(p.name, _collect, (p.absolute(), config, command))
            for p, config in datasets
        ],
        run,
    )
    jobs = [
        Job(_name(sweep, unit), _run_unit, (_absolute(unit), command))
        for unit in missing
    ]
    most = usual_batch() if batch is None else batch
    _all(
        "runs",
        jobs,
        partial(_in_batches, most=most) if run is here and most != 1 else run,
    )
    return [unit for unit in sweep.units if not unit.done]


def _name(sweep: Sweep, unit: Unit) -> str:
    return str(unit.path.relative_to(sweep.path))


def _absolute(unit: Unit) -> Unit:
    """As a process that runs elsewhere sees it."""
    return dataclasses.replace(
        unit, path=unit.path.absolute(), data=unit.data.absolute()
    )


def _collect(path: Path, config: RunConfig, command: str | None) -> None:
    from bestreply.data.store import open_store
    from bestreply.pipeline import collect_for

    if not (
        (path / "manifest.json").exists() and open_store(path).manifest.parts
    ):
        collect_for(config, path, command)


def _remove_changed(units: Sequence[Unit]) -> None:
    """Remove units that were begun with another configuration, or with one of another format."""
    for unit in units:
        if unit.begun and _changed(unit):
            shutil.rmtree(unit.path)


def _changed(unit: Unit) -> bool:
    try:
        there = from_dict(RunConfig, json.loads(unit.asked.read_text("utf-8")))
    except ValueError:  # fields of another version
        return True
    return bool(differences(there, unit.config))


def _in_batches(jobs: Sequence[Job], most: int | None) -> Ended:
    """One after another in this process, seeds of one setting once they have been trained together."""
    of_unit = {job.arguments[0]: job for job in jobs}
    for units in by_setting(list(of_unit)):
        while units:
            begun, again = (
                time.perf_counter(),
                {unit: unit.begun for unit in units},
            )
            count = (
                train_batch(units, jobs[0].arguments[1], most)
                if len(units) > 1
                else 1
            )
            seconds = (time.perf_counter() - begun) / count
            for number, unit in enumerate(units[:count], 1):
                job = of_unit[unit]
                job = job._replace(
                    arguments=(*job.arguments, seconds, again[unit]),
                    last=number == count,
                )
                yield job, tried(job)
            units = units[count:]


def _run_unit(
    unit: Unit,
    command: str | None,
    seconds: float = 0.0,
    again: bool | None = None,
) -> None:
    """Trains and measures one unit; what is there of it is taken up again.

    `seconds` were spent on it in a batch already; `again` is whether there was anything of it before that.
    """
    from bestreply.data.store import open_store
    from bestreply.pipeline import evaluate_run, learn
    from bestreply.report import write_report

    begun = time.perf_counter()
    unit.path.mkdir(parents=True, exist_ok=True)
    try:
        again = unit.begun if again is None else again
        open_store(
            unit.data
        )  # play that is lost is told of, not made by several units at once
        run = learn(
            unit.config, unit.path, unit.data, resume=True, command=command
        )
        evaluate_run(run, command)
        write_report(unit.path)
    except Exception:
        write_text(unit.error, traceback.format_exc())
        raise
    unit.error.unlink(missing_ok=True)
    seconds += time.perf_counter() - begun
    write_json(
        unit.path / "unit.json", {"seconds": seconds, "taken_up_again": again}
    )


def _all(what: str, jobs: list[Job], run: Executor) -> None:
    """Does `jobs`; says as each ends how many there are still, and about how long they will take."""
    begun = time.monotonic()
    for done, (job, error) in enumerate(run(jobs), 1):
        left = (time.monotonic() - begun) / done * (len(jobs) - done)
        state = "done" if error is None else f"failed: {error}"
        time_left = (
            f", about {left / 60:.0f} min left"
            if done < len(jobs) and job.last
            else ""
        )
        console.print(
            f"{what} {done}/{len(jobs)}{time_left}: {job.name} {state}",
            markup=False,
        )


def _executor(
    executor: str, workers: int, address: str | None, batch: int | None
) -> Executor:
    if executor not in EXECUTORS:
        raise ValueError(
            f"executor={executor!r}; there are: {', '.join(EXECUTORS)}"
        )
    if workers < 1:
        raise ValueError(f"{workers} workers; expected: at least 1")
    if batch is not None and batch < 1:
        raise ValueError(f"batch={batch}; expected: at least 1 seed at once")
    if (batch or 1) > 1 and (executor == "ray" or workers > 1):
        raise ValueError(
            f"batch={batch} with executor={executor}, workers={workers}; expected: batches in this process alone (workers=1), or units in "
            "processes of their own (batch=1)"
        )
    if executor == "ray":
        return partial(on_ray, address=address)
    if address:
        raise ValueError(
            f"address={address!r} with executor={executor}; expected: an address with executor=ray alone"
        )
    return here if workers == 1 else partial(processes, workers=workers)
