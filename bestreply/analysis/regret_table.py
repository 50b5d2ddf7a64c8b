"""What several runs of one configuration lose to the best reply: one table in which seeds are the unit of replication."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Any

from rich.table import Table

from bestreply.analysis.regret import PARTS
from bestreply.config import to_dict
from bestreply.scores.compare import STEPS_TOLERANCE

if TYPE_CHECKING:
    from bestreply.run import Run

COLUMNS = ("best", "share", "lost", *PARTS)
"""What the table tells of each opponent set."""


def check_comparable(runs: Sequence["Run"]) -> None:
    """Raises ValueError that names what differs between `runs` besides the seed, or which seed comes twice."""
    first = runs[0]
    wanted = (
        "Expected: runs of one configuration that differ in their seed alone"
    )
    for run in runs[1:]:
        apart = list(_differences(first, run))
        if apart:
            told = "; ".join(
                f"{name}: {here} and {there}" for name, here, there in apart
            )
            raise ValueError(
                f"{first.path} and {run.path} are not comparable: {told}. {wanted}; diagnose these one by one"
            )
    by_seed: dict[int, Path] = {}
    for run in runs:
        seed = run.config.seed
        if seed in by_seed:
            raise ValueError(
                f"{by_seed[seed]} and {run.path} both have seed {seed}. {wanted}"
            )
        by_seed[seed] = run.path


def _differences(a: "Run", b: "Run") -> list[tuple[str, Any, Any]]:
    """(what, in `a`, in `b`) for all that differs and must not: game and version, players, steps of the data, configuration."""
    found = []
    facts = [_facts(run) for run in (a, b)]
    for name in facts[0]:
        if facts[0][name] != facts[1][name]:
            found.append((name, facts[0][name], facts[1][name]))
    steps = [int(run.provenance.get("env_steps", 0)) for run in (a, b)]
    if abs(steps[0] - steps[1]) > STEPS_TOLERANCE * max(steps):
        found.append(("environment steps", f"{steps[0]:,}", f"{steps[1]:,}"))
    configs = [_flat(to_dict(run.config)) for run in (a, b)]
    skipped = {
        "seed",
        "game",
    }  # the game's settings are compared as they were read
    for name in configs[0]:
        if name not in skipped and configs[0][name] != configs[1][name]:
            found.append((name, configs[0][name], configs[1][name]))
    return found


def _facts(run: "Run") -> dict[str, Any]:
    game, roster = run.provenance["game"], run.roster
    return {
        "game": game["name"],
        "version of the game": game["version"],
        **{f"game.{name}": value for name, value in game["settings"].items()},
        "players of the data": ", ".join(
            f"{entry['name']} v{entry['version']}" for entry in roster
        ),
    }


def _flat(document: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    found = {}
    for key, value in document.items():
        found |= (
            _flat(value, f"{prefix}{key}.")
            if isinstance(value, dict)
            else {f"{prefix}{key}": value}
        )
    return found


# -- the table -----------------------------------------------------------------------------------------------------------------


def regret_over_runs(
    paths: Sequence[Path], seeds: Sequence[int]
) -> dict[str, Any]:
    """The ``regret.json`` files of `paths` as one table, plain data (docs/files.md).

    With several runs each number has its mean over runs and the 95 % interval of that by Student's t; with one run, its standard error
    over episodes.
    """
    found = [json.loads(path.read_text()) for path in paths]
    rows = []
    for entries in zip(*(one["against"] for one in found), strict=True):
        row: dict[str, Any] = {
            "opponents": entries[0]["opponents"],
            "episodes": entries[0]["episodes"],
        }
        for name in COLUMNS:
            row[name] = (
                _several(entries, name)
                if len(paths) > 1
                else _single(entries[0], name)
            )
        rows.append(row)
    return {
        "runs": [
            {"path": str(p.parent), "seed": s}
            for p, s in zip(paths, seeds, strict=True)
        ],
        "unit": "seeds" if len(paths) > 1 else "episodes",
        **{name: found[0][name] for name in ("planner", "gamma", "types")},
        "against": rows,
    }


def _several(entries: Sequence[dict[str, Any]], name: str) -> dict[str, float]:
    from scipy.special import stdtrit

    values = [
        entry["parts"][name] if name in PARTS else entry[name]
        for entry in entries
    ]
    mean, n = fmean(values), len(values)
    half = float(stdtrit(n - 1, 0.975)) * stdev(values) / math.sqrt(n)
    return {"mean": mean, "low": mean - half, "high": mean + half}


def _single(entry: dict[str, Any], name: str) -> dict[str, float]:
    if name in PARTS:
        return {
            "mean": entry["parts"][name],
            "stderr": entry["parts_stderr"][name],
        }
    errors = (
        {"stderr": entry[f"{name}_stderr"]} if f"{name}_stderr" in entry else {}
    )
    return {"mean": entry[name], **errors}


def regret_table(found: dict[str, Any]) -> Table:
    """What `regret_over_runs` gives, for a terminal."""
    runs = found["runs"]
    names = (
        Path(runs[0]["path"]).name if len(runs) == 1 else f"{len(runs)} runs"
    )
    table = Table(
        title=f"{names}: discounted return lost to the exact best reply ({found['planner']}, types {found['types']}, "
        f"gamma {found['gamma']})",
        caption=_caption(found),
    )
    for name in ("against", "best reply", *COLUMNS[1:]):
        table.add_column(name, justify="left" if name == "against" else "right")
    for row in found["against"]:
        table.add_row(
            row["opponents"],
            *(_cell(row[name], bare=name == "best") for name in COLUMNS),
        )
    return table


def _caption(found: dict[str, Any]) -> str:
    runs = found["runs"]
    if len(runs) == 1:
        return "Mean ± standard error over episodes. One training seed: no claim about others."
    seeds = ", ".join(str(run["seed"]) for run in runs)
    return f"Mean over runs [95 % interval, Student's t]: {len(runs)} training seeds ({seeds}). Seeds are the unit, not episodes."


def _cell(value: dict[str, float], bare: bool) -> str:
    if "low" in value and not bare:
        return f"{value['mean']:.3f}\n[{value['low']:.2f}, {value['high']:.2f}]"  # two lines: a terminal is narrow
    return f"{value['mean']:.3f}" + (
        f" ± {value['stderr']:.3f}" if "stderr" in value else ""
    )
