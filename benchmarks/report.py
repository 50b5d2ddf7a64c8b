"""Time of `bestreply report` over many synthetic runs, in a process of its own, imports
included.

Runs are laid out as sweeps of ten methods and ten seeds in several games, with every
file that the report reads, at the size of a small run: 4,000 episodes (five methods,
four opponent sets), eight metrics of sixty points, diagnostics, references, regret with
pictures. Returns are drawn so that methods differ and verdicts of all kinds occur.
"""

import json
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks import timing

METHODS, SEEDS = 10, 10
SETS = (
    "1 nearest_stag",
    "1 nearest_hare",
    "1 random",
    "1 mixture(nearest_stag, nearest_hare, random)",
)
MEASURED = ("agent", "uniform_others", "nearest_stag", "nearest_hare", "random")
PLAYERS = ("nearest_stag", "nearest_hare", "random")
EPISODES = 200
PARTS = ("others", "dynamics", "depth", "value")


def make_runs(folder: Path, count: int, seed: int = 0) -> None:
    """Write `count` finished runs to ``folder/sweep/GAME/METHOD/SEED``."""
    rng = np.random.default_rng(seed)
    for number in range(count):
        game, rest = divmod(number, METHODS * SEEDS)
        method, of_seed = divmod(rest, SEEDS)
        path = (
            folder / "sweep" / f"hunt{game}" / f"method_{method}" / str(of_seed)
        )
        path.mkdir(parents=True)
        make_run(path, game, method, of_seed, rng)


def make_run(
    path: Path, game: int, method: int, seed: int, rng: np.random.Generator
) -> None:
    settings = {
        "height": 4 + game,
        "width": 4,
        "hunters": 2,
        "stags": 1,
        "hares": 2,
        "max_steps": 12,
    }
    spec = f"stag_hunt({', '.join(f'{k}={v}' for k, v in settings.items())})"
    facts = {
        "command": "bestreply sweep sweep.toml",
        "seed": seed,
        "started": f"2026-11-{1 + seed:02d}T10:12:00+00:00",
        "git_revision": "0123456789abcdef0123456789abcdef01234567",
        "game": {"name": "stag_hunt", "version": 1, "settings": settings},
        "method": "agent",
        "env_steps": 250_000 + 100 * seed,
        "data": {
            "roster": [{"name": p, "version": 1} for p in PLAYERS],
            "episodes": 20_000,
        },
    }
    config = {
        "game": spec,
        "seed": seed,
        "train": {"updates": 3000 + 100 * method, "learning_rate": 0.01},
    }
    documents: dict[str, Any] = {
        "provenance.json": facts,
        "config.json": config,
        "unit.json": {"seconds": 100 + method, "taken_up_again": False},
        "diagnostics.json": diagnostics(rng),
        "references.json": references(),
        "regret.json": losses(rng),
    }
    for name, document in documents.items():
        (path / name).write_text(json.dumps(document), "utf-8")
    rules = np.random.default_rng(
        [game, seed]
    )  # scripted players have the same returns whatever the method
    pq.write_table(
        scores(method, seed, facts, rng, rules), path / "scores.parquet"
    )
    pq.write_table(metrics(method, rng), path / "metrics.parquet")


def scores(
    method: int,
    seed: int,
    facts: dict[str, Any],
    rng: np.random.Generator,
    rules: np.random.Generator,
) -> pa.Table:
    own = (
        np.array([1.0, 0.6, 0.5, 0.7])
        + 0.02 * method
        + rng.normal(0, 0.05, len(SETS))
    )
    planned = np.concatenate([own, own - 0.1])
    means = np.repeat(
        np.concatenate([planned, np.full(3 * len(SETS), 0.3)]), EPISODES
    )
    rows, learned = len(means), len(planned) * EPISODES
    drawn = np.concatenate([rng.random(learned), rules.random(rows - learned)])
    returns = np.select([drawn < 0.1, drawn < 0.1 + means / 2], [5.0, 1.0], 0.0)
    columns = {
        "method": np.repeat(MEASURED, EPISODES * len(SETS)),
        "opponents": np.tile(np.repeat(SETS, EPISODES), len(MEASURED)),
        "seed": np.full(rows, seed + 1),
        "episode": np.tile(np.arange(EPISODES), len(MEASURED) * len(SETS)),
        "seat": np.tile(np.arange(EPISODES) % 2, len(MEASURED) * len(SETS)),
        "length": np.full(rows, 12),
        "return": returns,
    }
    origin = {"seed": seed + 1, "config": facts}
    return pa.table(columns).replace_schema_metadata(
        {"provenance": json.dumps(origin)}
    )


def metrics(
    method: int, rng: np.random.Generator, points: int = 60
) -> pa.Table:
    names = [
        "opponent/log_loss",
        *(
            f"world/{n}"
            for n in (
                "obs",
                "reward",
                "value",
                "consistency",
                "continuation",
                "legal",
            )
        ),
    ]
    names.append("value/value")
    x = np.arange(1, points + 1) / points
    values = [
        (0.1 + np.exp(-(3 + 0.3 * method) * x))
        * (1 + 0.05 * rng.normal(size=points))
        for _ in names
    ]
    columns = {
        "env_steps": np.tile((250_000 * x).astype(int), len(names)),
        "update": np.tile(np.arange(1, points + 1) * 50, len(names)),
        "name": np.repeat(names, points),
        "value": np.concatenate(values),
    }
    return pa.table(columns)


def diagnostics(rng: np.random.Generator) -> dict[str, Any]:
    wobble = float(rng.normal(0, 0.01))
    moves = [
        {
            "moves": k,
            "accuracy": 1 - 0.5 / (k + 1) + wobble,
            "share": 0.5,
            "bits": 0.9,
            "entropy": 1.58,
            "count": 900,
        }
        for k in (0, 1, 2, 3, 5, 10)
    ]
    sure = [
        {"confidence": c / 10, "accuracy": c / 10 + wobble, "count": 80}
        for c in (5, 6, 7, 8, 9)
    ]
    ahead = [
        {
            "steps": k,
            "entity": e,
            "accuracy": 0.9,
            "recall": 0.95 + wobble,
            "count": 400,
        }
        for k in (1, 3, 5, 10)
        for e in ("self", "hunter_1", "stags", "hares")
    ]
    opponent = [
        {
            "player": p,
            "top1": 0.7 + wobble,
            "log_loss": 0.8,
            "log_loss_true_type": 0.7,
            "count": 3000,
        }
        for p in PLAYERS
    ]
    return {
        "heldout": {"obs": 0.1},
        "open_loop": ahead,
        "opponent": opponent,
        "belief": {
            "moves": moves,
            "informative": moves,
            "ece": 0.02,
            "reliability": sure,
        },
    }


def references() -> dict[str, Any]:
    known = {
        "best_stderr": 0.01,
        "kind": "exact",
        "layouts": 32,
        "random": 0.4,
        "random_stderr": 0.01,
    }
    against = [
        {"opponents": name, "best": 2.5, **known, "random_from": "exact"}
        for name in SETS
    ]
    return {"gamma": 1.0, "against": against, "provenance": {}}


def losses(rng: np.random.Generator) -> dict[str, Any]:
    decision = {
        "picture": "<svg>" + "<rect/>" * 400 + "</svg>",
        "text": "." * 100,
        "actions": list("ABCDEFG"),
    }
    against = []
    for player in PLAYERS:
        parts = dict(
            zip(PARTS, np.abs(rng.normal(0.2, 0.1, 4)).tolist(), strict=True)
        )
        against.append(
            {
                "opponents": player,
                "best": 2.4,
                "lost": sum(parts.values()),
                "parts": parts,
                "costliest": [decision] * 8,
            }
        )
    return {
        "planner": "one_step",
        "gamma": 0.99,
        "types": "inferred",
        "against": against,
    }


CODE = """
import sys
from bestreply.report import write_report_over_runs
pages = write_report_over_runs([sys.argv[1]], sys.argv[2])
print(*(page.stat().st_size for page in pages))
"""


def timed(folder: Path, lang: str) -> tuple[float, float, list[float]]:
    """Return wall and processor seconds of a process that makes the report, and bytes of page and text."""
    begun, used = (
        time.perf_counter(),
        resource.getrusage(resource.RUSAGE_CHILDREN),
    )
    said = subprocess.run(
        [sys.executable, "-c", CODE, str(folder), lang],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    spent, now = (
        time.perf_counter() - begun,
        resource.getrusage(resource.RUSAGE_CHILDREN),
    )
    cpu = now.ru_utime - used.ru_utime + now.ru_stime - used.ru_stime
    return spent, cpu, [float(x) for x in said]


def measure(quick: bool) -> dict[str, Any]:
    """Return seconds by number of runs: median of several rounds, after one to fill the disk's cache."""
    rows = {}
    for count in (20,) if quick else (10, 100, 1000):
        folder = Path(tempfile.mkdtemp())
        try:
            make_runs(folder, count)
            timed(folder, "en")
            rounds = [
                timed(folder, "zh" if k % 2 else "en")
                for k in range(2 if quick else 3)
            ]
        finally:
            shutil.rmtree(folder)
        seconds = [spent for spent, *_ in rounds]
        rows[f"{count} runs"] = {
            "seconds": statistics.median(seconds),
            "least": min(seconds),
            "greatest": max(seconds),
            "cpu_seconds": statistics.median(cpu for _, cpu, _ in rounds),
            "page_kilobytes": rounds[0][2][0] / 1000,
            "text_kilobytes": rounds[0][2][1] / 1000,
        }
    return {"unit": "seconds", "rows": rows}


def table(found: dict[str, Any]) -> str:
    """Return the rows as Markdown."""
    columns = [
        "",
        "median",
        "least",
        "greatest",
        "of processor",
        "page, kB",
        "Markdown, kB",
    ]
    names = (
        "seconds",
        "least",
        "greatest",
        "cpu_seconds",
        "page_kilobytes",
        "text_kilobytes",
    )
    rows = [
        [name, *(timing.short(row[k]) for k in names)]
        for name, row in found["rows"].items()
    ]
    return timing.table(columns, rows)
