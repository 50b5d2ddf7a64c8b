"""Regret of several runs of one configuration: one table, with seeds as the unit."""

import json
import math
from collections.abc import Mapping, Sequence
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
"""The columns of each opponent set."""

EXPECTED = "expected runs of one configuration that differ in their seed alone"


def check_comparable(runs: Sequence["Run"]) -> None:
    """Check that runs differ in their seed alone.

    Args:
        runs: one run or several.

    Raises:
        ValueError: a setting, the game, the players or the amount of data differ, or a seed
            occurs twice.
    """
    first = runs[0]
    for run in runs[1:]:
        if differences := _differences(first, run):
            listed = [f"{name}: {a} and {b}" for name, a, b in differences]
            raise ValueError(
                f"{first.path} and {run.path} are not comparable: {'; '.join(listed)}: "
                f"{EXPECTED}. Diagnose these one by one"
            )
    by_seed: dict[int, Path] = {}
    for run in runs:
        seed = run.config.seed
        if seed in by_seed:
            raise ValueError(
                f"{by_seed[seed]} and {run.path} both have seed {seed}: {EXPECTED}"
            )
        by_seed[seed] = run.path


def _differences(a: "Run", b: "Run") -> list[tuple[str, Any, Any]]:
    """Return (name, in `a`, in `b`) for all that must be equal and is not."""
    pairs = [(_facts(a), _facts(b))]
    steps = [int(run.provenance.get("env_steps", 0)) for run in (a, b)]
    if abs(steps[0] - steps[1]) > STEPS_TOLERANCE * max(steps):
        name = "environment steps"
        pairs.append(({name: f"{steps[0]:,}"}, {name: f"{steps[1]:,}"}))
    pairs.append((_settings(a), _settings(b)))
    return [
        (name, one[name], two[name])
        for one, two in pairs
        for name in one
        if one[name] != two[name]
    ]


def _settings(run: "Run") -> dict[str, Any]:
    """Return the configuration by dotted name, without the seed and the text of the game."""
    settings = _flat(to_dict(run.config))
    return {k: v for k, v in settings.items() if k not in ("seed", "game")}


def _facts(run: "Run") -> dict[str, Any]:
    game = run.provenance["game"]
    players = [f"{entry['name']} v{entry['version']}" for entry in run.roster]
    return {
        "game": game["name"],
        "version of the game": game["version"],
        **{f"game.{name}": value for name, value in game["settings"].items()},
        "players of the data": ", ".join(players),
    }


def _flat(document: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in document.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


# -- the table -------------------------------------------------------------------------


def regret_over_runs(
    paths: Sequence[Path], seeds: Sequence[int]
) -> dict[str, Any]:
    """Return several ``regret.json`` files as one table.

    Args:
        paths: of the files.
        seeds: of their runs.

    Returns:
        Plain data (docs/files.md). With several runs each number is a mean over runs with a
        95 % confidence interval (Student's t); with one run it has a standard error over
        episodes.
    """
    documents = [json.loads(path.read_text()) for path in paths]
    several = len(paths) > 1
    rows = []
    by_set = zip(*(one["against"] for one in documents), strict=True)
    for entries in by_set:
        row: dict[str, Any] = {
            "opponents": entries[0]["opponents"],
            "episodes": entries[0]["episodes"],
        }
        for name in COLUMNS:
            row[name] = (
                _over_seeds(entries, name)
                if several
                else _over_episodes(entries[0], name)
            )
        rows.append(row)
    return {
        "runs": [
            {"path": str(path.parent), "seed": seed}
            for path, seed in zip(paths, seeds, strict=True)
        ],
        "unit": "seeds" if several else "episodes",
        **{name: documents[0][name] for name in ("planner", "gamma", "types")},
        "against": rows,
    }


def _over_seeds(
    entries: Sequence[dict[str, Any]], name: str
) -> dict[str, float | None]:
    from scipy.special import stdtrit

    values = [(e["parts"] if name in PARTS else e)[name] for e in entries]
    if None in values:  # a share of a best reply that earns nothing
        return dict.fromkeys(("mean", "low", "high"))
    mean, n = fmean(values), len(values)
    half = float(stdtrit(n - 1, 0.975)) * stdev(values) / math.sqrt(n)
    return {"mean": mean, "low": mean - half, "high": mean + half}


def _over_episodes(entry: dict[str, Any], name: str) -> dict[str, float | None]:
    if name in PARTS:
        parts, errors = entry["parts"], entry["parts_stderr"]
        return {"mean": parts[name], "stderr": errors[name]}
    if f"{name}_stderr" in entry:
        return {"mean": entry[name], "stderr": entry[f"{name}_stderr"]}
    return {"mean": entry[name]}


def regret_table(regret: Mapping[str, Any]) -> Table:
    """Return the table of `regret_over_runs` for a terminal.

    Args:
        regret: as `regret_over_runs` returns it.

    Returns:
        A table with a row for each opponent set.
    """
    runs = regret["runs"]
    name = f"{len(runs)} runs"
    caption = (
        f"Mean over runs [95 % interval, Student's t]: {len(runs)} training seeds "
        f"({', '.join(str(run['seed']) for run in runs)}). Seeds are the unit, not episodes."
    )
    if len(runs) == 1:
        name = Path(runs[0]["path"]).name
        caption = "Mean ± standard error over episodes. One training seed: no claim about others."
    table = Table(
        title=f"{name}: discounted return lost to the exact best reply "
        f"({regret['planner']}, types {regret['types']}, gamma {regret['gamma']})",
        caption=caption,
    )
    for column in ("against", "best reply", *COLUMNS[1:]):
        justify = "left" if column == "against" else "right"
        table.add_column(column, justify=justify)
    for row in regret["against"]:
        cells = [_cell(row[name], bare=name == "best") for name in COLUMNS]
        table.add_row(row["opponents"], *cells)
    return table


def _cell(value: dict[str, float | None], bare: bool) -> str:
    if value["mean"] is None:
        return "-"
    mean = f"{value['mean']:.3f}"
    if "low" in value and not bare:
        # Two lines, as a terminal is narrow.
        return f"{mean}\n[{value['low']:.2f}, {value['high']:.2f}]"
    stderr = value.get("stderr")
    return mean if stderr is None else f"{mean} ± {stderr:.3f}"
