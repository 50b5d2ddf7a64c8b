"""Measured returns of many runs as one table."""

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
from rich.table import Table
from rich.text import Text

from bestreply.scores.returns import Scores
from bestreply.utils.checks import finite_number
from bestreply.utils.console import printable, warn
from bestreply.utils.files import replacing
from bestreply.utils.parquet import open_parquet
from bestreply.utils.untrusted import read_json

Row = dict[str, Any]
"""A row of `SCHEMA`."""

SCHEMA = pa.schema(
    [
        ("folder", pa.string()),
        ("run", pa.string()),
        ("game", pa.string()),
        ("game_version", pa.int64()),
        ("seed", pa.int64()),
        ("method", pa.string()),
        ("opponents", pa.string()),
        ("episodes", pa.int64()),
        ("mean", pa.float64()),
        ("stderr", pa.float64()),
        ("share", pa.float64()),
        ("reference", pa.string()),
        ("env_steps", pa.int64()),
        ("seconds", pa.float64()),
        ("git_revision", pa.string()),
    ]
)
"""Columns of the table.

- folder: folder of the runs of one method, whose names are their seeds in a sweep
- seed: seed of training
- method: method of the scores; "agent" is what the run trained
- stderr: standard error of `mean` over episodes
- share: mean / best reply; null without a reference
- reference: one of `bestreply.scores.references.KINDS`
- seconds: duration of a sweep's unit; null if it was interrupted
"""

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
"""Columns that a table must have; the rest are optional."""


def sweep_results(
    folders: Sequence[str | Path],
    methods: Sequence[str] = (),
    opponents: Sequence[str] = (),
) -> list[Row]:
    """Return a row (`SCHEMA`) for every run under the folders, method and opponent set.

    A run whose scores are those of another run in the same folder, as of a copy, is
    left out with a warning.

    Args:
        folders: searched at any depth for ``scores.parquet``.
        methods: only these methods of the scores; by default all.
        opponents: only these opponent sets; by default all.

    Returns:
        The rows, in order of path.

    Raises:
        ValueError: a file does not fit docs/files.md.
    """
    files: dict[Path, Path] = {}
    for folder in folders:
        for file in Path(folder).rglob("scores.parquet"):
            files.setdefault(file.resolve(), file)
    runs = [_rows(file) for file in sorted(files.values())]
    rows = [row for run in _without_copies(runs) for row in run]
    return [
        row
        for row in rows
        if (not methods or row["method"] in methods)
        and (not opponents or row["opponents"] in opponents)
    ]


def _without_copies(runs: Sequence[list[Row]]) -> list[list[Row]]:
    """Return the runs without those that repeat another run of their folder."""
    own = ("run", "seconds", "git_revision")
    first: dict[str, Row] = {}
    kept = []
    for rows in runs:
        scores = [
            {k: v for k, v in row.items() if k not in own} for row in rows
        ]
        known = first.setdefault(repr(scores), rows[0])
        if known is rows[0]:
            kept.append(rows)
            continue
        warn(
            f"{Path(rows[0]['folder']) / rows[0]['run']}: the scores are those of "
            f"{Path(known['folder']) / known['run']}, of the same seed; they are "
            "counted once"
        )
    return kept


def _rows(file: Path) -> list[Row]:
    scores = Scores.load(file)
    run = scores.run_facts
    settings = [f"{k}={v}" for k, v in run.settings.items()]
    columns = {
        name: np.array(scores.table[name].to_pylist())
        for name in ("method", "opponents", "return", "seed")
    }
    facts = {
        "folder": str(file.parent.parent),
        "run": file.parent.name,
        "game": f"{run.game or ''}({', '.join(settings)})",
        "game_version": run.game_version,
        "seed": int(columns["seed"][0]) if run.seed is None else run.seed,
        "env_steps": run.env_steps,
        "seconds": _seconds(file.with_name("unit.json")),
        "git_revision": run.git_revision,
    }
    rows = []
    for method in dict.fromkeys(columns["method"].tolist()):
        of_method = columns["method"] == method
        for against in dict.fromkeys(columns["opponents"][of_method].tolist()):
            is_row = of_method & (columns["opponents"] == against)
            returns = columns["return"][is_row]
            measured = _measured(scores, method, against, returns)
            rows.append(facts | measured)
    return rows


def _measured(
    scores: Scores, method: str, opponents: str, returns: np.ndarray
) -> Row:
    count, reference = len(returns), scores.references.get(opponents)
    stderr, share, kind = None, None, None
    if count > 1:
        stderr = float(returns.std(ddof=1) / count**0.5)
    if reference is not None and not reference.missing:
        share, kind = scores.share(method, opponents)[0], reference.kind
    return {
        "method": method,
        "opponents": opponents,
        "episodes": count,
        "mean": float(returns.mean()),
        "stderr": stderr,
        "share": share,
        "reference": kind,
    }


def _seconds(unit: Path) -> float | None:
    """Return the seconds of an uninterrupted unit of a sweep, from its ``unit.json``."""
    if not unit.exists():
        return None
    record = read_json(unit)
    if not isinstance(record, dict) or record.get("resumed") is not False:
        return None
    return finite_number("seconds", record.get("seconds"), 0, 1e12)


def is_results(path: Path) -> bool:
    """Return whether a file is a table written by `save_results`, by its name and
    columns.

    Args:
        path: file.

    Returns:
        True for any CSV file, and for Parquet with a column `folder`.

    Raises:
        ValueError: the file's name ends in .parquet, and it is no Parquet.
    """
    if not path.is_file() or path.suffix not in (".csv", ".parquet"):
        return False
    if path.suffix == ".csv":
        return True
    with open_parquet(path) as file:
        return "folder" in file.schema_arrow.names


def of_method(rows: Sequence[Row], method: str) -> list[Row]:
    """Return the rows of a method.

    Args:
        rows: rows of `SCHEMA`.
        method: folder of the method's runs, or the end of its path; otherwise a
            method of the scores.

    Returns:
        The rows of what was trained in that folder, otherwise those with that
        method.
    """
    trained = [
        r
        for r in rows
        if r["method"] == "agent" and f"/{r['folder']}".endswith(f"/{method}")
    ]
    return trained or [r for r in rows if r["method"] == method]


def methods_in(rows: Sequence[Row]) -> list[str]:
    """Return the names that `of_method` accepts.

    Args:
        rows: rows of `SCHEMA`.

    Returns:
        Last parts of the folders of trained methods, and other methods of the
        scores.
    """
    return list(
        dict.fromkeys(
            Path(r["folder"]).name if r["method"] == "agent" else r["method"]
            for r in rows
        )
    )


def results_table(rows: Sequence[Row]) -> Table:
    """Return the means over the seeds of each folder, for a terminal.

    Args:
        rows: rows of `SCHEMA`.

    Returns:
        One row per folder, method and opponent set; one per run where runs of a folder
        share a seed.
    """
    table = Table(
        caption="Means over seeds ± standard error. `bestreply compare` tests differences."
    )
    for name in (
        "folder",
        "method",
        "against",
        "seeds",
        "mean return ± SE",
        "share of best reply",
    ):
        is_text = name in ("folder", "method", "against")
        table.add_column(
            name,
            justify="left" if is_text else "right",
            overflow="fold",
            no_wrap=not is_text,
        )
    folders = [os.path.abspath(row["folder"]) for row in rows]
    root = os.path.commonpath(folders) if rows else ""
    for (folder, method, against), group in _seed_groups(rows).items():
        seeds, mean = str(len(group)), _mean_text(group)
        place = os.path.relpath(os.path.abspath(folder), root)
        names = [Text(printable(n)) for n in (place, method, against)]
        table.add_row(*names, seeds, mean, _share_text(group))
    return table


def _seed_groups(
    rows: Sequence[Row],
) -> dict[tuple[str, str, str], list[Row]]:
    """Return the rows by folder, method and opponents, each group of distinct seeds.

    Runs of one folder that share a seed are no sample of seeds: each is a group.
    """
    seeds = Counter(
        (row["folder"], row["method"], row["opponents"], row["seed"])
        for row in rows
    )
    shared = {key[:3] for key, count in seeds.items() if count > 1}
    groups: dict[tuple[str, str, str], list[Row]] = {}
    for row in rows:
        key = (row["folder"], row["method"], row["opponents"])
        if key in shared:
            key = (os.path.join(row["folder"], row["run"]), *key[1:])
        groups.setdefault(key, []).append(row)
    return groups


def _mean_text(rows: Sequence[Row]) -> str:
    means = np.array([row["mean"] for row in rows])
    largest = np.abs(means).max()
    kind = ".3f" if not largest or 0.05 <= largest < 1e5 else ".4g"
    text = f"{means.mean():{kind}}"
    if len(means) < 2:
        return text
    return f"{text} ± {means.std(ddof=1) / len(means) ** 0.5:{kind}}"


def _share_text(rows: Sequence[Row]) -> str:
    shares = [s for row in rows if (s := row.get("share")) is not None]
    if len(shares) < len(rows):
        return "–"
    is_bound = any(row.get("reference") not in (None, "exact") for row in rows)
    return f"{'≥ ' if is_bound else ''}{np.mean(shares):.3f}"


def save_results(rows: Sequence[Row], path: str | Path) -> Path:
    """Write rows as Parquet or CSV, by the suffix of the name, atomically.

    Args:
        rows: rows of `SCHEMA`.
        path: file to write.

    Returns:
        `path`.

    Raises:
        ValueError: the suffix is neither .csv nor .parquet.
    """
    path = Path(path)
    table = pa.Table.from_pylist(list(rows), SCHEMA)
    if path.suffix not in (".csv", ".parquet"):
        raise ValueError(
            f"path={path}: expected a name that ends in .csv or .parquet"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        if path.suffix == ".csv":
            pyarrow.csv.write_csv(table, temporary)
        else:
            pq.write_table(table, temporary)
    return path
