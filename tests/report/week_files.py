"""Small sweeps of synthetic runs, as in docs/files.md."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

SETS = ("1 nearest_stag", "1 random")
PARTS = ("others", "dynamics", "depth", "value")


def make_unit(
    path,
    seed,
    means,
    *,
    sets=SETS,
    episodes=20,
    env_steps=10_000,
    height=4,
    started="2026-11-20T10:00:00+00:00",
    revision="a" * 40,
    command="bestreply sweep little.toml",
    config=None,
    others=(),
    steps=(1000, 2000, 4000, 10_000),
    level=1.0,
    scale=1.0,
):
    """Write a finished unit of a sweep; `others` are (method, means) beside the agent."""
    path.mkdir(parents=True)
    facts = {
        "command": command,
        "seed": seed,
        "started": started,
        "git_revision": revision,
        "game": {
            "name": "stag_hunt",
            "version": 1,
            "settings": {"height": height, "width": 4},
        },
        "method": "agent",
        "env_steps": env_steps,
        "data": {"roster": [], "episodes": 500},
    }
    spec = f"stag_hunt(height={height}, width=4)"
    document = {"game": spec, "seed": seed, "train": {"updates": 100}} | (
        config or {}
    )
    (path / "provenance.json").write_text(json.dumps(facts))
    (path / "config.json").write_text(json.dumps(document))
    (path / "unit.json").write_text(
        json.dumps({"seconds": 60.0, "resumed": False})
    )
    rows = [
        (
            method,
            name,
            seed + 1,
            e,
            e % 2,
            12,
            float(mean + scale * (-1) ** (e // 2)),
        )
        for method, row in (("agent", means), *others)
        for name, mean in zip(sets, row, strict=True)
        for e in range(episodes)
    ]
    names = (
        "method",
        "opponents",
        "seed",
        "episode",
        "seat",
        "length",
        "return",
    )
    table = pa.table(dict(zip(names, zip(*rows, strict=True), strict=True)))
    metadata = json.dumps({"seed": seed + 1, "config": facts})
    pq.write_table(
        table.replace_schema_metadata({"provenance": metadata}),
        path / "scores.parquet",
    )
    metrics = [
        {
            "env_steps": at,
            "update": 10 * (k + 1),
            "name": name,
            "value": level * value + 0.01 * seed,
        }
        for name in ("world/obs", "opponent/log_loss")
        for k, (at, value) in enumerate(
            zip(steps, (2.0, 1.2, 1.04, 1.0), strict=True)
        )
    ]
    pq.write_table(pa.Table.from_pylist(metrics), path / "metrics.parquet")
    make_diagnostics(path)
    return path


def make_diagnostics(path, ece=0.02, counts=(300, 200), recall=0.9):
    moves = [
        {"moves": k, "accuracy": 0.5 + 0.1 * k, "bits": 0.1 * k, "count": 90}
        for k in (0, 1, 2)
    ]
    opponent = [
        {
            "player": p,
            "top1": 0.75,
            "log_loss": 0.61,
            "log_loss_true_type": 0.42,
            "count": n,
        }
        for p, n in zip(("nearest_stag", "random"), counts, strict=True)
    ]
    document = {
        "belief": {
            "moves": moves,
            "ece": ece,
            "reliability": [
                {"confidence": 0.85, "accuracy": 0.81, "count": 70}
            ],
        },
        "opponent": opponent,
        "open_loop": [
            {
                "steps": 3,
                "entity": "hunter_1",
                "accuracy": 0.9,
                "recall": recall,
                "count": 50,
            }
        ],
    }
    (path / "diagnostics.json").write_text(json.dumps(document))


def make_loss(path, parts=(0.1, 0.0, 0.7, 0.2), opponents="nearest_stag"):
    lost = dict(zip(PARTS, parts, strict=True))
    entry = {
        "opponents": opponents,
        "best": 4.0,
        "lost": sum(parts),
        "parts": lost,
        "costliest": [],
    }
    (path / "regret.json").write_text(
        json.dumps({"planner": "one_step", "against": [entry]})
    )


def make_best(path, best=4.0):
    known = {
        "best": best,
        "best_stderr": 0.0,
        "kind": "exact",
        "layouts": 8,
        "random": 0.5,
        "random_stderr": 0.0,
    }
    entry = {"opponents": SETS[0], **known, "random_from": "exact"}
    (path / "references.json").write_text(
        json.dumps({"gamma": 1.0, "against": [entry], "provenance": {}})
    )


def make_sweep(folder, seeds=8, gap=1.0, **settings):
    """Write a sweep of two methods in one game.

    `ours` is `gap` better than `blue` against nearest_stag, and equal against random.
    """
    for seed in range(seeds):
        wave, wiggle = np.sin(seed), 0.1 * np.cos(seed)
        same = (("random", (0.2, 0.1)), ("uniform_others", (1.0 + wave, 1.0)))
        ours = make_unit(
            folder / "hunt" / "ours" / str(seed),
            seed,
            (2 + wave + gap + wiggle, 1.0),
            others=same,
            **settings,
        )
        make_loss(ours)
        make_best(ours)
        config = {"model": {"opponent_types": "none"}}
        make_unit(
            folder / "hunt" / "blue" / str(seed),
            seed,
            (2 + wave, 1.0),
            others=same,
            config=config,
            level=2.0,
            **settings,
        )
    return folder
