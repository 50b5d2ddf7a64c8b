"""What many runs were measured to have, as one table."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
from rich.table import Table

from bestreply.scores.returns import Scores
from bestreply.utils.files import replacing

SCHEMA = pa.schema(
    [
        (
            "folder",
            pa.string(),
        ),  # of the run's method: a run's folder is named by its seed in a sweep
        ("run", pa.string()),
        ("game", pa.string()),
        ("game_version", pa.int64()),
        ("seed", pa.int64()),  # of training
        (
            "method",
            pa.string(),
        ),  # in the scores: "agent" is what the run trained
        ("opponents", pa.string()),
        ("episodes", pa.int64()),
        ("mean", pa.float64()),
        ("stderr", pa.float64()),  # over episodes
        (
            "share",
            pa.float64(),
        ),  # of the best reply's return; null without a reference
        (
            "reference",
            pa.string(),
        ),  # one of `bestreply.scores.references.KINDS`
        ("env_steps", pa.int64()),
        (
            "seconds",
            pa.float64(),
        ),  # of a sweep's unit; null where it was stopped in between
        ("git_revision", pa.string()),
    ]
)

REQUIRED_COLUMNS = (
    "folder",
    "game",
    "seed",
    "method",
    "opponents",
    "episodes",
    "mean",
    "env_steps",
)
"""Columns that a table from elsewhere must have."""


def sweep_results(
    folders: Sequence[str | Path],
    methods: Sequence[str] = (),
    opponents: Sequence[str] = (),
) -> list[dict[str, Any]]:
    """A row (`SCHEMA`) for every run under `folders`, method and opponent set; only `methods` and `opponents` where some are given."""
    files = sorted(
        {
            file
            for folder in folders
            for file in Path(folder).rglob("scores.parquet")
        }
    )
    rows = [row for file in files for row in _rows(file)]
    return [
        row
        for row in rows
        if (not methods or row["method"] in methods)
        and (not opponents or row["opponents"] in opponents)
    ]


def _rows(file: Path) -> list[dict[str, Any]]:
    scores = Scores.load(file)
    run, seconds = (
        scores.provenance.get("config", {}),
        _seconds(file.with_name("unit.json")),
    )
    game = run.get("game", {})
    settings = ", ".join(
        f"{name}={value}" for name, value in game.get("settings", {}).items()
    )
    table = {
        name: np.array(scores.table[name].to_pylist())
        for name in ("method", "opponents", "return", "seed")
    }
    rows = []
    for method in dict.fromkeys(table["method"].tolist()):
        for against in dict.fromkeys(
            table["opponents"][table["method"] == method].tolist()
        ):
            returns = table["return"][
                (table["method"] == method) & (table["opponents"] == against)
            ]
            reference = scores.references.get(against)
            known = reference is not None and not reference.missing
            n = len(returns)
            rows.append(
                {
                    "folder": str(file.parent.parent),
                    "run": file.parent.name,
                    "game": f"{game.get('name', '')}({settings})",
                    "game_version": game.get("version"),
                    "seed": int(run.get("seed", table["seed"][0])),
                    "method": method,
                    "opponents": against,
                    "episodes": n,
                    "mean": float(returns.mean()),
                    "stderr": float(returns.std(ddof=1) / n**0.5)
                    if n > 1
                    else None,
                    "share": scores.share(method, against)[0]
                    if known
                    else None,
                    "reference": reference.kind
                    if known and reference is not None
                    else None,
                    "env_steps": int(run.get("env_steps", 0)),
                    "seconds": seconds,
                    "git_revision": run.get("git_revision", ""),
                }
            )
    return rows


def _seconds(unit: Path) -> float | None:
    """What a unit of a sweep took, as its ``unit.json`` has it."""
    found = (
        json.loads(unit.read_text("utf-8"))
        if unit.exists()
        else {"taken_up_again": True}
    )
    return None if found["taken_up_again"] else float(found["seconds"])


def is_results(path: Path) -> bool:
    """Whether it is a table such as `save_results` writes, by its name and columns."""
    return path.suffix == ".csv" or (
        path.suffix == ".parquet"
        and path.is_file()
        and "folder" in pq.read_schema(path).names
    )


def load_results(path: str | Path) -> list[dict[str, Any]]:
    """The rows that `save_results` wrote. Raises ValueError that names the columns of another table."""
    read = (
        pyarrow.csv.read_csv if Path(path).suffix == ".csv" else pq.read_table
    )
    table = read(path)
    if missing := [
        name for name in REQUIRED_COLUMNS if name not in table.column_names
    ]:
        raise ValueError(
            f"{path} has no column {', '.join(missing)}; expected: a table that `bestreply results --out` wrote"
        )
    return table.to_pylist()


def of_method(
    rows: Sequence[dict[str, Any]], method: str
) -> list[dict[str, Any]]:
    """The rows of what was trained in the folder `method`, or one whose path ends so; else of whoever is called so in the scores."""
    trained = [
        r
        for r in rows
        if r["method"] == "agent" and f"/{r['folder']}".endswith(f"/{method}")
    ]
    return trained or [r for r in rows if r["method"] == method]


def methods_in(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Who can be asked for by `of_method`: trained methods by the last part of their folder."""
    return list(
        dict.fromkeys(
            Path(r["folder"]).name if r["method"] == "agent" else r["method"]
            for r in rows
        )
    )


def results_table(rows: Sequence[dict[str, Any]]) -> Table:
    """Means over the seeds of a folder, for a terminal: what a method had in all runs of one folder."""
    table = Table(
        caption="Means over seeds ± their standard error; `bestreply compare` says what can be concluded."
    )
    for name in (
        "folder",
        "method",
        "against",
        "seeds",
        "mean return",
        "share",
    ):
        text = name in ("folder", "method", "against")
        table.add_column(
            name,
            justify="left" if text else "right",
            overflow="fold",
            no_wrap=not text,
        )
    here = os.path.commonpath([row["folder"] for row in rows]) if rows else ""
    groups: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault(
            (row["folder"], row["method"], row["opponents"]), []
        ).append(row)
    for (folder, method, against), found in groups.items():
        means = np.array([row["mean"] for row in found])
        spread = (
            f" ± {means.std(ddof=1) / len(means) ** 0.5:.3f}"
            if len(means) > 1
            else ""
        )
        shares = [row["share"] for row in found]
        bound = (
            "≥ "
            if any(row["reference"] not in (None, "exact") for row in found)
            else ""
        )
        share = "–" if None in shares else f"{bound}{np.mean(shares):.3f}"
        place = os.path.relpath(folder, here)
        table.add_row(
            place,
            method,
            against,
            str(len(found)),
            f"{means.mean():.3f}{spread}",
            share,
        )
    return table


def save_results(rows: Sequence[dict[str, Any]], path: str | Path) -> Path:
    """Writes the rows as Parquet or CSV, as the name ends; atomic. Raises ValueError for another ending."""
    path = Path(path)
    table = pa.Table.from_pylist(list(rows), SCHEMA)
    if path.suffix not in (".csv", ".parquet"):
        raise ValueError(
            f"{path}: expected: a name that ends in .csv or .parquet"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as beside:
        if path.suffix == ".csv":
            pyarrow.csv.write_csv(table, beside)
        else:
            pq.write_table(table, beside)
    return path
