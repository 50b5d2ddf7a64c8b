"""Measure speed and memory: `python -m benchmarks SUITE|all [--quick]` writes results/benchmarks/."""

import argparse
import importlib.metadata
import json
import os
import sys
from pathlib import Path
from typing import Any

import jax

from benchmarks import (
    adapters,
    exact,
    games,
    gpu,
    host,
    latency,
    memory,
    planning,
    players,
    report,
    scale,
    search,
    startup,
    statistics_libraries,
    step,
    sweep,
    timing,
    training,
)
from bestreply.utils.compilation import cache_compilations
from bestreply.utils.files import write_json, write_text
from experiments import regret

SUITES = {
    "games": games,
    "host": host,
    "adapters": adapters,
    "players": players,
    "training": training,
    "step": step,
    "scale": scale,
    "planning": planning,
    "latency": latency,
    "startup": startup,
    "search": search,
    "exact": exact,
    "report": report,
    "sweep": sweep,
    "statistics": statistics_libraries,
    "memory": memory,
}
OUT = Path("results") / "benchmarks"
TITLES = {
    "games": "Environment steps per second, random play",
    "adapters": "Steps per second of compiled adapters and of their environments",
    "host": "Steps per second of collection in a stateful environment",
    "players": "Steps per second of play with players that are NumPy functions",
    "training": "Gradient steps of the world model per second",
    "step": "Time of a gradient step, and of its matrix products alone",
    "scale": "Training, collection and decisions against batch, players, board and belief",
    "planning": "One-step plans per second",
    "latency": "Milliseconds of one decision",
    "startup": "Seconds until the first answer, cold and warm",
    "search": "Decisions by tree search per second",
    "exact": "Layouts of grid games solved exactly per second",
    "report": "Seconds for a report over many runs",
    "sweep": "Seeds as one compiled batch, and the overhead of a sweep",
    "statistics": "Statistics of verdicts: our code and libraries",
    "memory": "Peak memory of collection and training, relative to the rows",
}


def jobs_for_memory() -> dict[str, Any]:
    """Return functions that make a job for a process of its own, by name."""
    jobs: dict[str, Any] = {
        "games: nothing but the imports": lambda: lambda: 0.0
    }
    for name, make in games.contenders(quick=False).items():
        jobs[f"games: {name}, batch 1024"] = lambda make=make: make(1024)
    jobs |= {
        f"training: {name}": make
        for name, make in training.contenders().items()
    }
    many = {
        name: make
        for name, make in planning.contenders().items()
        if name.endswith(f"{planning.MANY} observations")
    }
    jobs |= {f"planning: {name}": make for name, make in many.items()}
    jobs |= {
        f"search: {name}": make for name, make in search.contenders().items()
    }
    return jobs | {
        f"exact: {name}": make for name, make in exact.contenders().items()
    }


def surroundings() -> dict[str, Any]:
    """Return the conditions of a measurement, without identifying the machine."""
    versions = {}
    for name in (
        "jax",
        "equinox",
        "optax",
        "jaxmarl",
        "torch",
        "open_spiel",
        "pettingzoo",
        "mpe2",
        "scipy",
        "statsmodels",
    ):
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = None
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    return {
        "python": sys.version.split()[0],
        "versions": versions,
        "cores": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
        "device": jax.default_backend(),
        "load_at_start": load,
    }


def run(suite: str, quick: bool) -> None:
    """Measure one suite and write its file."""
    before = surroundings()
    found = SUITES[suite].measure(quick)
    memory = {
        name.partition(": ")[2]: timing.peak_memory(name, quick)
        for name in jobs_for_memory()
        if name.startswith(suite + ": ")
    }
    OUT.mkdir(parents=True, exist_ok=True)
    write_json(
        OUT / f"{suite}.json",
        {
            "suite": suite,
            "quick": quick,
            **before,
            **found,
            "peak_megabytes": memory,
        },
    )
    charts = getattr(SUITES[suite], "charts", None)
    for name, text in (charts(found) if charts else {}).items():
        write_text(OUT / name, text)


def summary() -> str:
    """Return the page of results/benchmarks/, from its files."""
    parts = [
        "# Benchmarks",
        "",
        "Written by `python -m benchmarks`. Methods: `benchmarks/README.md`.",
        "",
    ]
    for suite, title in TITLES.items():
        path = OUT / f"{suite}.json"
        if not path.exists():
            continue
        found = json.loads(path.read_text())
        versions = ", ".join(
            f"{name} {v}" for name, v in found["versions"].items() if v
        )
        load = found["load_at_start"]
        parts += [f"## {title}", ""]
        parts += [
            f"{found['cores']} cores, Python {found['python']}, {versions}; load at start {load:.1f}.",
            "",
        ]
        if found["quick"]:
            parts += [
                "**A quick run of the script: do not quote these figures.**",
                "",
            ]
        if own_table := getattr(SUITES[suite], "table", None):
            parts += [own_table(found), ""]
            continue
        if suite == "games":
            parts += [f"Ratio: relative to {found['fastest_of_jaxmarl']}.", ""]
            columns = ["game", "batch", "median", "lowest", "highest", "ratio"]
            ratio, middle = "to_fastest_of_jaxmarl", True
        else:
            difference = found.get(
                "losses_agree_to", found.get("scores_agree_to")
            )
            parts += [
                f"Ratio: bestreply relative to the row. Both sides agree to {difference:.1e}.",
                "",
            ]
            columns, ratio, middle = (
                ["", "median", "lowest", "highest", "ratio"],
                "ours_to_this",
                False,
            )
        rows = []
        for name, row in found["rows"].items():
            numbers = [
                timing.short(row[k])
                for k in ("per_second", "least", "greatest")
            ]
            rows.append(
                [
                    name,
                    *([row["batch"] or "-"] if middle else []),
                    *numbers,
                    f"{row[ratio]:.3g}",
                ]
            )
        parts += [
            timing.table(columns, rows),
            "",
            "Peak memory of a process, imports included:",
            "",
        ]
        memory = [
            [name, timing.short(megabytes)]
            for name, megabytes in found["peak_megabytes"].items()
        ]
        parts += [timing.table(["", "MB"], memory), ""]
        parts += quality(found)
    return "\n".join(parts)


def quality(found: dict[str, Any]) -> list[str]:
    """Return the tables on the quality of play, if the suite has them."""
    parts: list[str] = []
    if "play" in found:
        names = list(next(iter(found["play"].values())))
        body = [
            [budget, *(timing.short(row[n]) for n in names)]
            for budget, row in found["play"].items()
        ]
        parts += [
            "Mean return from the same starts:",
            "",
            timing.table(["", *names], body),
            "",
        ]
    if "regret" in found:
        heading, *body = regret.rows(found["regret"])
        heading = [cell.replace(" other", " opponent") for cell in heading]
        parts += [
            "Regret of the chosen action in small random games, by opponents:",
            "",
        ]
        parts += [timing.table(heading, body), ""]
    return parts


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__
    )
    parser.add_argument("suite", choices=[*SUITES, "all", "gpu", "memory-of"])
    parser.add_argument("name", nargs="?", help="with memory-of: the contender")
    parser.add_argument(
        "--quick",
        action="store_true",
        help="tiny sizes, to check that everything runs",
    )
    arguments = parser.parse_args()
    cache_compilations()
    if arguments.suite == "memory-of":
        job = jobs_for_memory()[arguments.name]()
        for _ in range(3):
            job()
        print(json.dumps({"megabytes": timing.own_peak()}))
        return
    if arguments.suite == "gpu":  # in a folder of its own, and not in "all"
        gpu.run(arguments.quick)
        print(gpu.OUT / "README.md")
        return
    for suite in SUITES if arguments.suite == "all" else [arguments.suite]:
        print(f"{suite} ...", flush=True)
        run(suite, arguments.quick)
    (OUT / "README.md").write_text(summary())
    print(OUT / "README.md")


if __name__ == "__main__":
    main()
