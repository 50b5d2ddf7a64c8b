"""What the report takes from one run directory. The files may be a stranger's: everything is checked, and a file that cannot be used is
named in its place."""

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from bestreply.report.run_files import (
    MAX_SIZE,
    FileProblem,
    MetricSeries,
    clean,
    coded,
    number,
    read_json,
    read_metrics,
    read_references,
    read_table,
    read_with,
)
from bestreply.report.sections import flat
from bestreply.report.weekly.timestamps import as_moment
from bestreply.scores.references import Reference

JsonObject = dict[str, Any]

UNKNOWN = "?"
"""The name of a game that no file tells."""


@dataclass(frozen=True)
class EpisodeReturns:
    """The episodes of one method against one opponent set."""

    returns: np.ndarray  # [episodes] float64
    seats: np.ndarray  # [episodes] int64

    @cached_property
    def mean(self) -> float:
        return float(self.returns.mean())


@dataclass(frozen=True)
class GameKey:
    """What has to be the same for two runs to be of one game."""

    name: str
    version: str
    settings: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class RunRecord:
    """One run. `state` is "done", "unmeasured" (no scores), "unfinished" (stopped within training) or "failed" (`error` says why)."""

    path: Path
    seed: int
    game: GameKey
    spec: str  # the game as it was typed
    state: str
    error: str
    started: datetime | None
    revision: str
    command: str
    env_steps: int
    episodes: int | None  # of the data
    seconds: float | None
    method: str  # in the scores, of what the run is about
    config: dict[str, str]  # without game and seed
    cells: dict[tuple[str, str], EpisodeReturns]  # (method, opponents)
    metrics: dict[str, MetricSeries] = field(default_factory=dict)
    diagnostics: JsonObject = field(default_factory=dict)
    regret: JsonObject = field(default_factory=dict)
    references: dict[str, Reference] = field(default_factory=dict)
    problems: tuple[FileProblem, ...] = ()

    @property
    def opponents(self) -> list[str]:
        return list(dict.fromkeys(against for _, against in self.cells))


def read_record(path: Path, since: datetime | None = None) -> RunRecord | None:
    """The run at `path`; None where it was made before `since`, or nothing says when and there is a `since`."""
    provenance = read_json(path, "provenance.json")
    started = _started(path, provenance)
    if since is not None and started is not None and started < since:
        return None
    scores = read_with(path, "scores.parquet", _cells)
    cells, told = scores if isinstance(scores, tuple) else ({}, {})
    facts = told | (provenance if isinstance(provenance, dict) else {})
    started = started or as_moment(facts.get("started"))
    if since is not None and (started is None or started < since):
        return None
    files: dict[str, Any] = {
        "config": read_json(path, "config.json"),
        "provenance": provenance,
        "metrics": read_metrics(path),
        "diagnostics": read_json(path, "diagnostics.json"),
        "scores": scores,
        "references": read_references(path),
        "regret": read_json(path, "regret.json"),
    }
    config, unit = files["config"], read_with(path, "unit.json", _plain)
    config = config if isinstance(config, dict) else {}
    unit = unit if isinstance(unit, dict) else {}
    state, error = _state(path, bool(cells), scores, files["diagnostics"])
    data = facts.get("data")
    there: dict[str, Any] = {
        k: v for k, v in files.items() if not isinstance(v, FileProblem)
    }
    return RunRecord(
        path=path,
        seed=_whole(facts.get("seed", config.get("seed"))) or 0,
        game=_game(facts, config),
        spec=_short(config.get("game")),
        state=state,
        error=error,
        started=started,
        revision=_short(facts.get("git_revision")),
        command=_short(facts.get("command"), 300),
        env_steps=_whole(facts.get("env_steps")) or 0,
        episodes=_whole(data.get("episodes"))
        if isinstance(data, dict)
        else None,
        seconds=number(unit.get("seconds", facts.get("seconds"))),
        method=_method(facts, cells),
        config=dict(
            flat({k: v for k, v in config.items() if k not in ("game", "seed")})
        ),
        cells=cells,
        problems=_problems(files, state),
        **{
            name: there[name]
            for name in ("metrics", "diagnostics", "regret", "references")
            if name in there
        },
    )


def _started(path: Path, provenance: Any) -> datetime | None:
    """When a run was made by its provenance; of one that failed before it had any, by its error's file."""
    if isinstance(provenance, dict):
        return as_moment(provenance.get("started"))
    error = path / "error.txt"
    return (
        datetime.fromtimestamp(error.stat().st_mtime, UTC)
        if error.is_file()
        else None
    )


def _state(
    path: Path, measured: bool, scores: Any, diagnostics: Any
) -> tuple[str, str]:
    finished = (path / "unit.json").is_file()
    if (path / "error.txt").is_file() and not finished:
        return "failed", _last_line(path / "error.txt")
    if measured or (isinstance(scores, FileProblem) and scores.reason):
        return "done", ""
    return (
        "unfinished"
        if isinstance(diagnostics, FileProblem) and not diagnostics.reason
        else "unmeasured"
    ), ""


def _last_line(path: Path) -> str:
    """Of a traceback: the error."""
    try:
        with open(path, "rb") as file:
            file.seek(max(0, path.stat().st_size - 4000))
            lines = file.read().decode("utf-8", "replace").strip().splitlines()
    except OSError:
        return ""
    own = [
        one for one in lines if one and not one[0].isspace()
    ]  # the message may have lines of its own, set in
    return clean((own or lines or [""])[-1])[:300]


def _problems(files: dict[str, Any], state: str) -> tuple[FileProblem, ...]:
    """Files that are broken, and those that a run which is done should have."""
    wanted = (
        ("config", "provenance", "metrics", "diagnostics")
        if state == "done"
        else ()
    )
    return tuple(
        value
        for name, value in files.items()
        if isinstance(value, FileProblem)
        and (value.reason or (name in wanted and len(wanted)))
    )


def _game(facts: JsonObject, config: JsonObject) -> GameKey:
    game = facts.get("game")
    if not isinstance(game, dict):
        return GameKey(_short(config.get("game")) or UNKNOWN, "", ())
    settings = game.get("settings")
    pairs = sorted(settings.items()) if isinstance(settings, dict) else []
    return GameKey(
        _short(game.get("name")) or UNKNOWN,
        _short(game.get("version")),
        tuple((_short(k), _short(v)) for k, v in pairs),
    )


def _method(
    facts: JsonObject, cells: dict[tuple[str, str], EpisodeReturns]
) -> str:
    methods = list(dict.fromkeys(method for method, _ in cells))
    for name in (facts.get("method"), "agent", "bestreply"):
        if name in methods:
            return str(name)
    return methods[0] if methods else "agent"


def _short(value: Any, most: int = 120) -> str:
    """A string or number as text of at most `most` characters; nothing for anything else."""
    return str(value)[:most] if isinstance(value, str | int | float) else ""


def _whole(value: Any) -> int | None:
    found = number(value)
    return None if found is None or found < 0 else int(found)


def _plain(path: Path) -> JsonObject:
    document = (
        json.loads(path.read_text(encoding="utf-8"))
        if path.stat().st_size < 10_000
        else {}
    )
    return document if isinstance(document, dict) else {}


# -- scores ----------------------------------------------------------------------------------------------------------------------


def _cells(
    path: Path,
) -> tuple[dict[tuple[str, str], EpisodeReturns], JsonObject]:
    """The episodes by method and opponent set, and what the file says of the run. Names are read as codes: they are few."""
    wanted = ("method", "opponents", "seat", "return")
    table, schema = read_table(path, wanted, codes=("method", "opponents"))
    if not len(table):
        raise ValueError("it has no rows; expected: one per episode")
    empty = [name for name in wanted if table.column(name).null_count]
    if empty:
        raise ValueError(
            f"column {', '.join(empty)} has empty entries; expected: none"
        )
    (methods, method), (sets, against) = (
        coded(table, name) for name in ("method", "opponents")
    )
    returns = np.asarray(table.column("return").cast(pa.float64()).to_numpy())
    seats = np.asarray(table.column("seat").cast(pa.int64()).to_numpy())
    bad = int((~(np.abs(returns) <= MAX_SIZE)).sum())
    if bad:
        raise ValueError(
            f"column return has {bad} entries that are not finite; expected: none"
        )
    code = method * len(sets) + against
    order = np.argsort(code, kind="stable")
    codes, first = np.unique(code[order], return_index=True)
    came = np.argsort(
        [order[k] for k in first]
    )  # methods and sets in the order of the file
    ends = np.append(first[1:], len(code))
    returns, seats = returns[order], seats[order]
    cells = {}
    for k in came:
        rows = slice(first[k], ends[k])
        cells[methods[codes[k] // len(sets)], sets[codes[k] % len(sets)]] = (
            EpisodeReturns(returns[rows], seats[rows])
        )
    return cells, _told(schema)


def _told(schema: pa.Schema) -> JsonObject:
    """What the scores' metadata say of the run that was measured (docs/files.md)."""
    facts = (schema.metadata or {}).get(b"provenance", b"{}")
    try:
        document = clean(json.loads(facts)) if len(facts) < 1_000_000 else {}
    except (ValueError, RecursionError):
        return {}
    config = document.get("config") if isinstance(document, dict) else None
    return config if isinstance(config, dict) else {}
