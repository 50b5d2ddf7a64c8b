"""What a person waits for: from the start of a process to its first answer, with a cold and a warm cache.

Every measurement is a process of its own. Cold: the folder of compiled programs is new; warm: it is
that of an earlier process of the same row, with another folder of results. Rows marked `inside` are
measured after the imports; all others from the start of the process to its end, imports included.
Processor seconds are those of the whole row, all threads; peak memory is the kernel's `VmHWM`.
"""

import contextlib
import dataclasses
import io
import json
import os
import resource
import runpy
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks import timing

MEGABYTE = 1_000_000
ROUNDS, QUICK_ROUNDS = 5, 1
LONG_ROUNDS = 3
CACHE, PROFILE = "XDG_CACHE_HOME", "BESTREPLY_PROFILE"
EXAMPLE = Path(__file__).parents[1] / "examples" / "quickstart.py"
HELP = "from bestreply.cli.main import run_command; run_command(['--help'])"
SMALL = (
    "stag_hunt(height=3, width=3, hunters=2, stags=1, hares=2, max_steps=12)"
)
GAMES = 4

Start = tuple[float, float]
"""Seconds by the clock and of the processor at the start of what is measured."""


class Seen(Exception):
    """Ends training at its first update."""


def now() -> Start:
    return time.perf_counter(), time.process_time()


# -- the rows, each in a process of its own --------------------------------------------


def load(folder: Path, path: Path) -> Start | None:
    from bestreply.methods.agent import AgentMethod
    from bestreply.run import load_run

    assert AgentMethod.plans
    start = now()
    load_run(folder / "run")
    return start


def plan(folder: Path, path: Path) -> Start | None:
    import numpy as np

    from bestreply.methods.agent import AgentMethod
    from bestreply.run import load_run

    assert AgentMethod.plans
    run = load_run(folder / "run")
    obs = np.zeros(run.game.obs_shape, np.float32)
    legal = np.ones(run.game.num_actions, bool)
    agent = run.agent()
    start = now()
    int(agent.plan(obs, legal).action)
    return start


def collect_games(folder: Path, path: Path) -> Start | None:
    from bestreply.collect import collect
    from bestreply.games import make_game

    start = now()
    players = ["mixture(nearest_stag, nearest_hare, random)"] * 2
    collect(make_game(SMALL), players, GAMES, seed=0, path=path)
    return start


def first_update(folder: Path, path: Path) -> Start | None:
    from bestreply.config import preset
    from bestreply.data.store import open_store
    from bestreply.methods.agent import AgentMethod
    from bestreply.train import train

    assert AgentMethod.plans

    def callback(phase: str, update: int, values: dict[str, Any]) -> None:
        raise Seen

    demo = preset("demo")
    config = dataclasses.replace(
        demo, train=dataclasses.replace(demo.train, log_every=1)
    )
    start = now()
    with contextlib.suppress(Seen):
        train(open_store(folder / "data"), config, path=path, callback=callback)
    return start


def evaluate_agent(folder: Path, path: Path) -> Start | None:
    from bestreply.evaluate import evaluate
    from bestreply.methods.agent import AgentMethod
    from bestreply.run import load_run

    assert AgentMethod.plans
    run = load_run(folder / "run")
    players: list[Any] = [run.agent(), "nearest_stag"]
    players += ["nearest_stag"] * (run.game.num_players - 2)
    start = now()
    evaluate(run.game, players, 500, seed=1)
    return start


def quickstart(folder: Path, path: Path) -> Start | None:
    sys.argv = [str(EXAMPLE), str(path)]
    runpy.run_path(str(EXAMPLE), run_name="__main__")
    return None


def debug_run(folder: Path, path: Path) -> Start | None:
    _command("run", "--preset", "debug", "--out", str(path))
    return None


def demo_run(folder: Path, path: Path) -> Start | None:
    _command("run", "--preset", "demo", "--out", str(path))
    return None


def _command(*words: str) -> None:
    from bestreply.cli.main import run_command

    run_command(list(words))


class Row(NamedTuple):
    """What is measured."""

    run: Callable[[Path, Path], Start | None] | str
    """Returns the start of what is measured; None: that of the process. Or code, which
    compiles nothing."""
    asked: tuple[float | None, float | None] = (None, None)
    """Seconds that it may take, cold and warm."""
    rounds: int = ROUNDS
    before: tuple[float | None, float | None] = (None, None)
    """Seconds that it took on two idle cores before programs were made few and small."""


ROWS = {
    "import bestreply": Row("import bestreply"),
    "bestreply --help": Row(HELP),
    "load_run, inside": Row(load, (1.0, 1.0), before=(7.9, None)),
    "first agent.plan, inside": Row(plan, (None, 0.5), before=(None, 1.6)),
    f"collect, {GAMES} games of at most 12 steps, inside": Row(
        collect_games, (2.0, None), before=(6.0, None)
    ),
    "train of the demo to its first update, inside": Row(
        first_update, (3.0, None), LONG_ROUNDS, (10.0, None)
    ),
    "evaluate of the demo, 500 games, inside": Row(
        evaluate_agent, (3.0, None), LONG_ROUNDS, (10.0, None)
    ),
    "examples/quickstart.py": Row(
        quickstart, (30.0, None), LONG_ROUNDS, (105.0, None)
    ),
    "bestreply run --preset debug": Row(
        debug_run, (30.0, 10.0), LONG_ROUNDS, (155.0, 65.0)
    ),
    "bestreply run --preset demo": Row(
        demo_run, (200.0, 100.0), 1, (348.0, None)
    ),
}
QUICK = (
    "import bestreply",
    "bestreply --help",
    "load_run, inside",
    "first agent.plan, inside",
)
"""Rows of a quick run."""


def prepare(folder: Path, episodes: int) -> None:
    """Collect the dataset of the demo, and make a run of its networks with few updates."""
    from bestreply.config import preset
    from bestreply.run_data import collect_for
    from bestreply.train import train

    demo = preset("demo")
    collect = dataclasses.replace(demo.collect, episodes=episodes)
    few = dataclasses.replace(demo.train, opponent_updates=20, updates=20)
    config = dataclasses.replace(demo, collect=collect, train=few)
    data = collect_for(config, folder / "data")
    train(data, config, path=folder / "run")


def measured(name: str, folder: Path, path: Path) -> dict[str, float]:
    """Make a row in this process."""
    make = ROWS[name].run
    assert not isinstance(make, str)
    start = make(folder, path)
    clock, processor = now()
    found = {"megabytes": timing.own_peak() * 1024**2 / MEGABYTE}
    if start is not None:
        found["seconds"] = clock - start[0]
    found["processor"] = processor - (0 if start is None else start[1])
    profile = sys.modules.get("bestreply.utils.profile")
    if profile is not None and profile._profiles:
        rows = profile._profiles[0].rows()
        found["programs"] = sum(row.programs for row in rows)
        found["compiling"] = sum(row.seconds for row in rows)
    return found


# -- the suite -------------------------------------------------------------------------


def of_code(code: str) -> dict[str, float]:
    """Return the seconds of a new process that runs code."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    begin = time.perf_counter()
    command = [sys.executable, "-c", code]
    subprocess.run(command, capture_output=True, check=True)
    seconds = time.perf_counter() - begin
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    processor = after.ru_utime + after.ru_stime
    processor -= before.ru_utime + before.ru_stime
    return {"seconds": seconds, "processor": processor}


def in_process(cache: Path, *words: str) -> dict[str, float]:
    """Return what a new process measures; seconds of the whole process by default."""
    command = [sys.executable, "-m", "benchmarks.startup", *words]
    environment = os.environ | {CACHE: str(cache), PROFILE: "1"}
    environment.pop("JAX_COMPILATION_CACHE_DIR", None)
    begin = time.perf_counter()
    out = subprocess.run(
        command, capture_output=True, text=True, env=environment, check=False
    )
    seconds = time.perf_counter() - begin
    if out.returncode:
        raise RuntimeError(f"{words}: {out.stderr[-2000:]}")
    return {"seconds": seconds} | json.loads(out.stdout.splitlines()[-1])


def row_of(name: str, rounds: int, prepared: Path) -> dict[str, Any]:
    """Return the medians of a row, with a cold and a warm cache."""
    make = ROWS[name].run
    kinds = ("-",) if isinstance(make, str) else ("cold", "warm")
    each: dict[str, list[dict[str, float]]] = {kind: [] for kind in kinds}
    for _ in range(rounds):
        if isinstance(make, str):
            each["-"].append(of_code(make))
            continue
        with tempfile.TemporaryDirectory() as folder:
            for kind in kinds:
                words = ("row", name, str(prepared), str(Path(folder) / kind))
                cache = Path(folder) / "cache"
                each[kind].append(in_process(cache, *words))
    cold, warm = ROWS[name].asked
    asked = {"cold": cold, "warm": warm}
    cold, warm = ROWS[name].before
    before = {"cold": cold, "warm": warm}
    return {
        kind: {
            "rounds": rounds,
            "asked": asked.get(kind),
            "before": before.get(kind),
            "least": min(one["seconds"] for one in found),
            "greatest": max(one["seconds"] for one in found),
            **{
                key: statistics.median(one[key] for one in found)
                for key in found[0]
            },
        }
        for kind, found in each.items()
    }


def measure(quick: bool) -> dict[str, Any]:
    rows = {}
    with tempfile.TemporaryDirectory() as folder:
        prepared = Path(folder)
        episodes = 256 if quick else 20_000
        in_process(prepared / "cache", "prepare", folder, str(episodes))
        for name in QUICK if quick else ROWS:
            rounds = QUICK_ROUNDS if quick else ROWS[name].rounds
            rows[name] = row_of(name, rounds, prepared)
            print(f"  {name}: {_short_line(rows[name])}", flush=True)
    return {"unit": "seconds", "rows": rows}


def _short_line(row: dict[str, Any]) -> str:
    return ", ".join(
        f"{kind} {one['seconds']:.2f} s (processor {one['processor']:.2f})"
        for kind, one in row.items()
    )


def _target(one: dict[str, Any]) -> str:
    asked = one["asked"]
    missed = asked is not None and one["seconds"] > asked
    return timing.short(asked) + ", missed" * missed


def table(found: dict[str, Any]) -> str:
    """Return the table of the suite."""
    columns = [
        "",
        "cache",
        "s, by the clock",
        "lowest to highest",
        "before",
        "target",
        "processor, s",
        "programs",
        "compiling, s",
        "peak, MB",
        "runs",
    ]
    body = [
        [
            name,
            kind,
            f"{one['seconds']:.2f}",
            f"{one['least']:.2f} to {one['greatest']:.2f}",
            timing.short(one["before"]),
            _target(one),
            f"{one['processor']:.2f}",
            timing.short(one.get("programs")),
            timing.short(one.get("compiling")),
            timing.short(one.get("megabytes")),
            one["rounds"],
        ]
        for name, row in found["rows"].items()
        for kind, one in row.items()
    ]
    note = (
        "Medians of processes of their own. Cold: no program is compiled yet; warm: by an "
        "earlier process. `inside`: after the imports; else from start to end of the "
        "process. Before: on two idle cores, before the library compiled few and small "
        "programs (of the quickstart processor seconds; of the demo `make demo`, set-up "
        "included). Target: by the clock. Compiling: tracing, lowering, and XLA or reading from the cache, by "
        "the clock."
    )
    return "\n".join([note, "", timing.table(columns, body)])


if __name__ == "__main__":
    what, *words = sys.argv[1:]
    with (
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
    ):
        if what == "prepare":
            prepare(Path(words[0]), int(words[1]))
            result: dict[str, float] = {}
        else:
            result = measured(words[0], Path(words[1]), Path(words[2]))
    print(json.dumps(result))
