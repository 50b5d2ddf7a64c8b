"""Steps per second of collection in a stateful environment, relative to the environment alone.

simple_tag of mpe2 with four random players. The bare environment is stepped in a loop,
with actions drawn by NumPy, and nothing is kept. Ours is `bestreply.collect`: players,
checks, logs and the dataset on disk included, in this process (0 workers) or with worker
processes. All take turns within a round; processes start before the clock. A ratio is
the median over rounds of ours to the bare environment in the same round.
"""

import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.timing import short
from benchmarks.timing import table as timing_table
from bestreply import collect, make_game
from bestreply.simulation.env_batch import WORKERS

GAME = "pettingzoo:mpe2.simple_tag_v3:parallel_env(max_cycles=25)"
WORKER_COUNTS = (0, 1, 2)


def bare(steps: int) -> float:
    """Return the steps per second of the environment alone.

    Args:
        steps: steps to make, whole episodes.
    """
    from mpe2 import simple_tag_v3

    env, rng = (
        simple_tag_v3.parallel_env(max_cycles=25),
        np.random.default_rng(0),
    )
    done, begin = 0, time.perf_counter()
    while done < steps:
        env.reset(seed=done)
        while env.agents:
            drawn = rng.integers(5, size=len(env.agents)).tolist()
            env.step(dict(zip(env.agents, drawn, strict=True)))
            done += 1
    return done / (time.perf_counter() - begin)


def ours(workers: int, episodes: int) -> float:
    """Return the steps per second of collection.

    Args:
        workers: worker processes; 0: none.
        episodes: episodes of 25 steps.
    """
    os.environ[WORKERS] = str(workers)
    game, folder = make_game(GAME), Path(tempfile.mkdtemp())
    players = ["random"] * game.num_players
    try:
        collect(game, players, episodes, 1, path=folder / "warm")
        begin = time.perf_counter()
        store = collect(game, players, episodes, 0, path=folder / "data")
        return store.manifest.steps / (time.perf_counter() - begin)
    finally:
        shutil.rmtree(folder)
        del os.environ[WORKERS]


def measure(quick: bool) -> dict[str, Any]:
    """Return the rows of the suite.

    Args:
        quick: one short round.
    """
    rounds, episodes = (1, 32) if quick else (7, 256)
    contenders: dict[str, Callable[[], float]] = {
        "bare environment": lambda: bare(episodes * 10)
    }
    for workers in WORKER_COUNTS:
        contenders[f"collect, {workers} workers"] = lambda workers=workers: (
            ours(workers, episodes)
        )
    speeds: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, job in contenders.items():
            speeds[name].append(job())
    first = speeds["bare environment"]
    rows = {}
    for name, each in speeds.items():
        ratios = [x / y for x, y in zip(each, first, strict=True)]
        rows[name] = {
            "per_second": statistics.median(each),
            "least": min(each),
            "greatest": max(each),
            "ratio": statistics.median(ratios),
            "ratios": ratios,
        }
    return {"game": GAME, "rounds": rounds, "episodes": episodes, "rows": rows}


def table(found: dict[str, Any]) -> str:
    """Return the table of the page.

    Args:
        found: what `measure` returned.
    """
    columns = ["", "median", "lowest", "highest", "ratio to bare (range)"]
    lines = [
        [
            name,
            *(short(row[k]) for k in ("per_second", "least", "greatest")),
            f"{row['ratio']:.2f} ({min(row['ratios']):.2f} to {max(row['ratios']):.2f})",
        ]
        for name, row in found["rows"].items()
    ]
    return "\n".join(
        [
            f"`{found['game']}`, {found['rounds']} rounds of {found['episodes']} episodes:",
            "",
            timing_table(columns, lines),
        ]
    )
