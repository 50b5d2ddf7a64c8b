"""The preset `full` for 16 seeds as one batch on a GPU, beside the CPU of the same machine.

Ten minutes at most: `python -m benchmarks gpu` starts a process for each device, which
prints its rows as it measures them, and ends it when its time is over. Rates count
updates, plans and steps of all seeds together. A CPU takes its seeds one after another,
which is faster there (docs/sweeps.md). Beside the games of `bestreply` are those of
JaxMARL where it is installed, each at its own best batch.
"""

import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import step
from benchmarks.games import OURS, our_job, their_job
from benchmarks.timing import Job, rate, short, take_turns
from benchmarks.timing import table as as_table
from bestreply.models.symmetry_ensemble import averaged_over_symmetries
from bestreply.planning.agent import Agent
from bestreply.training.loop import agent_phases
from bestreply.training.phases import Phase, keys, run_updates, stack
from bestreply.utils.compilation import cache_compilations
from bestreply.utils.files import make_folder, write_json, write_text

OUT = Path("results") / "gpu"
COMMAND = "python -m benchmarks gpu"
DEVICES = ("gpu", "cpu")
SECONDS = 285
"""Seconds of the process of one device; twice as many in all."""
SEEDS, QUICK_SEEDS = 16, 2
PLANS = 256
"""Observations of each seed that are planned at once."""
BATCHES = (1024, 4096, 16_384, 65_536)
GAMES = {
    "stag_hunt of the preset": "",
    "stag_hunt 8x8, 4h1s, blocks": OURS[
        "stag_hunt 8x8, 4h1s, blocks, 35 steps"
    ],
}
THEIRS = {"JaxMARL coin_game": "coin_game", "JaxMARL overcooked": "overcooked"}


def settings(seeds: int, episodes: int) -> list[step.Setting]:
    """Return the preset with the networks of each seed, on the same play."""
    return [step.setting("full", episodes, seed) for seed in range(seeds)]


def update_job(of: list[step.Setting], phase: Phase, updates: int) -> Job:
    """Return a job that makes updates of all seeds as one batch, or of one."""
    config = of[0].config
    pairs = [step.data_of(one, phase) for one in of]
    data, state = pairs[0] if len(of) == 1 else stack(pairs)
    state = jax.tree.map(jnp.copy, state)
    seeds = None if len(of) == 1 else range(len(of))
    key, first = keys(config, seeds, phase.stream), jnp.int32(0)

    def job() -> float:
        nonlocal state
        state, metrics = run_updates(
            config, phase.step, data, state, key, first, updates
        )
        jax.block_until_ready(metrics)
        return updates * len(of)

    return job


def agent_of(of: step.Setting) -> Agent:
    """Return the agent of a setting, as `Run.agent` makes it."""
    state, config = of.train_state, of.config
    game = state.opponents.game
    averages = config.planner.symmetry_averages
    return Agent(
        world=averaged_over_symmetries(state.world, game, averages),
        opponents=state.opponents,
        game=game,
        config=config.planner,
        gamma=config.train.gamma,
    )


@jax.jit
def plan_all(agents: Agent, obs: jax.Array, legal: jax.Array) -> Any:
    """Return the plans [S, B] of S agents at B observations each."""
    return jax.vmap(lambda one: jax.vmap(one.plan)(obs, legal))(agents)


def plan_job(of: list[step.Setting], count: int) -> Job:
    """Return a job that plans at `count` observations for every seed."""
    agents = stack([agent_of(one) for one in of])
    episodes: Any = of[0].buffer.episodes
    rows = np.arange(count)
    seats = rows % episodes.action.shape[2]
    rows = rows % len(episodes.length)
    obs = jax.device_put(np.asarray(episodes.obs)[rows, 0, seats])
    legal = jax.device_put(np.asarray(episodes.legal)[rows, 0, seats])

    def job() -> float:
        jax.block_until_ready(plan_all(agents, obs, legal))
        return count * len(of)

    return job


def steps_row(make: Callable[[int], Job], quick: bool) -> dict[str, Any]:
    """Return the rate of environment steps at the best batch."""
    tried = {}
    for batch in BATCHES[:1] if quick else BATCHES:
        job = make(batch)
        job()
        tried[batch] = rate(job, 0.05 if quick else 0.4)
    best = max(tried, key=lambda batch: tried[batch])
    return _row(lambda: make(best), quick) | {"batch": best}


def _row(make: Callable[[], Job], quick: bool) -> dict[str, Any]:
    rounds, seconds = (2, 0.02) if quick else (5, 0.5)
    return take_turns({"": make()}, rounds=rounds, seconds=seconds)[""]


Measure = Callable[[], dict[str, Any]]


def rows(quick: bool) -> Iterator[tuple[str, Measure]]:
    """Yield the measurements of this process's device, the shortest first."""
    is_cpu = jax.default_backend() == "cpu"
    # A CPU is measured with a batch in a quick run alone, to try the script.
    counts = [1, QUICK_SEEDS] if quick else [1] if is_cpu else [1, SEEDS]
    of = settings(counts[-1], 200 if quick else 2000)
    steps = 20_000 if quick else 2_000_000
    for name, spec in GAMES.items():
        make = partial(our_job, spec or of[0].config.game, steps=steps)
        yield f"environment steps, {name}", partial(steps_row, make, quick)
    for name, game in THEIRS.items():
        make = partial(their_job, game, False, steps=steps)
        yield f"environment steps, {name}", partial(steps_row, make, quick)
    for seeds in counts:
        some = of[:seeds]
        plan = partial(plan_job, some, 16 if quick else PLANS)
        yield f"plans, seeds {seeds}", partial(_row, plan, quick)
        for phase in agent_phases(of[0].config):
            job = partial(update_job, some, phase, 5 if quick else 25)
            name = f"updates, {phase.name}, seeds {seeds}"
            yield name, partial(_row, job, quick)


def child(quick: bool) -> None:
    """Print device and rows of this process, a line of JSON each."""
    cache_compilations()
    device, kind = jax.default_backend(), jax.devices()[0].device_kind
    facts = {"device": device, "kind": kind, "jax": jax.__version__}
    print(json.dumps(facts | {"cores": os.cpu_count()}), flush=True)
    if device == "cpu" and os.environ.get("JAX_PLATFORMS") != "cpu":
        return  # no GPU here
    for name, row in rows(quick):
        try:
            line = {"name": name, **row()}
        except Exception as error:  # such as no memory, or no JaxMARL
            line = {"name": name, "error": str(error).partition("\n")[0]}
        print(json.dumps(line), flush=True)


def lines_of(device: str, quick: bool) -> list[dict[str, Any]]:
    """Return what the process of a device prints within its time."""
    environment = dict(os.environ)
    environment.pop("JAX_PLATFORMS", None)
    if device == "cpu":
        environment["JAX_PLATFORMS"] = "cpu"
    command = [sys.executable, "-m", "benchmarks.gpu"]
    process = subprocess.Popen(
        command + (["--quick"] if quick else []),
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    found: queue.Queue[str | None] = queue.Queue()

    def read() -> None:
        for line in process.stdout or ():
            found.put(line)
        found.put(None)

    threading.Thread(target=read, daemon=True).start()
    lines, end = [], time.monotonic() + SECONDS
    try:
        while line := found.get(timeout=max(end - time.monotonic(), 0.01)):
            print(line.strip(), flush=True)
            if line.startswith("{"):  # JaxMARL prints too
                lines.append(json.loads(line))
    except queue.Empty:
        print(f"{device}: its {SECONDS} s are over", flush=True)
    finally:
        process.kill()
        process.wait()
    return lines


def run(quick: bool, out: Path = OUT) -> None:
    """Measure both devices, and write their files and the page."""
    make_folder(out)
    for device in DEVICES:
        load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
        facts, *measured = lines_of(device, quick) or [{}]
        if device == "gpu" and facts.get("device", "cpu") == "cpu":
            print("no GPU: its rows are left out", flush=True)
            continue
        document = {
            "quick": quick,
            **facts,
            "load_at_start": load,
            "rows": {row.pop("name"): row for row in measured},
        }
        write_json(out / f"{device}.json", document)
    write_text(out / "README.md", page(out))


def page(out: Path = OUT) -> str:
    """Return the page of the folder, from its files."""
    found = {
        device: json.loads((out / f"{device}.json").read_text("utf-8"))
        for device in DEVICES
        if (out / f"{device}.json").exists()
    }
    parts = [
        "# Training, planning and play on a GPU",
        "",
        f"`{COMMAND}` writes this page, in at most ten minutes. It measures the preset "
        f"`full`: {SEEDS} seeds as one batch on the GPU, and on the CPU of the same "
        "machine one after another.",
        "",
    ]
    if "gpu" not in found:
        parts += [
            "**There are no rows of a GPU yet: none was available.** On a machine with one:",
            "",
            f"    pip install -e '.[bench]' 'jax[cuda12]'\n    {COMMAND}",
            "",
        ]
    if not found:
        return "\n".join(parts)
    for device, document in found.items():
        load = document["load_at_start"]
        cores = f", {document['cores']} cores" if device == "cpu" else ""
        at = "" if load is None else f", load at start {load:.1f}"
        parts.append(
            f"- {device}: {document['kind']}{cores}, jax {document['jax']}{at}"
        )
    if any(document["quick"] for document in found.values()):
        parts += [
            "",
            "**A quick run of the script: do not quote these figures.**",
        ]
    names = dict.fromkeys(n for d in found.values() for n in d["rows"])
    body = [
        [name, *(_cell(found[device]["rows"].get(name)) for device in found)]
        for name in names
    ]
    heading = ["a second", *found]
    note = (
        "Sums over all seeds. In brackets: lowest and highest of five rounds."
    )
    return "\n".join([*parts, "", note, "", as_table(heading, body), ""])


def _cell(row: dict[str, Any] | None) -> str:
    if row is None or "error" in row:
        return "-"
    numbers = [short(row[key]) for key in ("per_second", "least", "greatest")]
    batch = f", batch {row['batch']:,}" if "batch" in row else ""
    return f"{numbers[0]} ({numbers[1]} to {numbers[2]}{batch})"


if __name__ == "__main__":
    child("--quick" in sys.argv[1:])
