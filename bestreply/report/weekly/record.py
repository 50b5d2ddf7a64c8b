"""The content of one run directory, which may come from a stranger.

Everything is checked. A file that cannot be used is listed among the problems.
"""

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
from bestreply.report.scores import OWN_METHODS
from bestreply.report.tables import flat
from bestreply.report.weekly.timestamps import as_moment
from bestreply.scores.references import Reference

JsonObject = dict[str, Any]

UNKNOWN = "?"
"""Name of a game that no file states."""
MAX_UNIT_BYTES, MAX_METADATA_BYTES = 10_000, 1_000_000


@dataclass(frozen=True)
class EpisodeReturns:
    """Episodes of one method against one opponent set."""

    returns: np.ndarray  # [episodes] float64
    seats: np.ndarray  # [episodes] int64

    @cached_property
    def mean(self) -> float:
        """Mean return."""
        return float(self.returns.mean())


@dataclass(frozen=True)
class GameKey:
    """What must be equal for two runs to be of one game."""

    name: str
    version: str
    settings: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class RunRecord:
    """One run.

    `state` is "done", "unmeasured" (no scores), "unfinished" (training stopped before
    its end) or "failed" (`error` gives the reason).
    """

    path: Path
    seed: int
    game: GameKey
    spec: str  # the game as in the configuration
    state: str
    error: str
    started: datetime | None
    revision: str
    command: str
    env_steps: int
    episodes: int | None  # of the data
    seconds: float | None
    method: str  # of the run, as in its scores
    config: dict[str, str]  # without game and seed
    cells: dict[tuple[str, str], EpisodeReturns]  # (method, opponents)
    metrics: dict[str, MetricSeries] = field(default_factory=dict)
    diagnostics: JsonObject = field(default_factory=dict)
    regret: JsonObject = field(default_factory=dict)
    references: dict[str, Reference] = field(default_factory=dict)
    problems: tuple[FileProblem, ...] = ()

    @property
    def opponents(self) -> list[str]:
        """Opponent sets of the scores."""
        return list(dict.fromkeys(against for _, against in self.cells))


def read_record(path: Path, since: datetime | None = None) -> RunRecord | None:
    """Read one run.

    Args:
        path: run directory.
        since: only a run that started since then.

    Returns:
        The run; None if it started before `since`, or its start is unknown.
    """
    provenance = read_json(path, "provenance.json")
    started = _started(path, provenance)
    if since is not None and started is not None and started < since:
        return None
    scores = read_with(path, "scores.parquet", _read_scores)
    measured = None if isinstance(scores, FileProblem) else scores
    facts = dict(measured.facts) if measured else {}
    facts |= _object(provenance)
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
    cells = measured.cells if measured else {}
    state, error = _state(path, scores, files["diagnostics"])
    valid = {
        name: files[name]
        for name in ("metrics", "diagnostics", "regret", "references")
        if not isinstance(files[name], FileProblem)
    }
    return RunRecord(
        path=path,
        state=state,
        error=error,
        started=started,
        method=_method(facts, cells),
        cells=cells,
        problems=_problems(files, state),
        **_settings(path, facts, _object(files["config"])),
        **valid,
    )


def _object(content: object) -> JsonObject:
    return content if isinstance(content, dict) else {}


def _settings(
    path: Path, facts: JsonObject, config: JsonObject
) -> dict[str, Any]:
    """Return game, seed, configuration and costs of a run."""
    unit = _object(read_with(path, "unit.json", _read_small))
    data = _object(facts.get("data"))
    rest = {k: v for k, v in config.items() if k not in ("game", "seed")}
    return {
        "seed": _count(facts.get("seed", config.get("seed"))) or 0,
        "game": _game(facts, config),
        "spec": _short(config.get("game")),
        "revision": _short(facts.get("git_revision")),
        "command": _short(facts.get("command"), 300),
        "env_steps": _count(facts.get("env_steps")) or 0,
        "episodes": _count(data.get("episodes")),
        "seconds": number(unit.get("seconds", facts.get("seconds"))),
        "config": dict(flat(rest)),
    }


def _started(path: Path, provenance: object) -> datetime | None:
    """Return the start in the provenance, or the time of the error of a run without one."""
    if isinstance(provenance, dict):
        return as_moment(provenance.get("started"))
    error = path / "error.txt"
    if not error.is_file():
        return None
    return datetime.fromtimestamp(error.stat().st_mtime, UTC)


def _state(path: Path, scores: object, diagnostics: object) -> tuple[str, str]:
    """Return the state of a run, and the error of a failed one."""
    finished = (path / "unit.json").is_file()
    if (path / "error.txt").is_file() and not finished:
        return "failed", _last_line(path / "error.txt")
    if not _is_missing(scores):
        return "done", ""
    return "unfinished" if _is_missing(diagnostics) else "unmeasured", ""


def _is_missing(content: object) -> bool:
    return isinstance(content, FileProblem) and not content.reason


def _last_line(path: Path) -> str:
    """Return the error at the end of a traceback."""
    try:
        with open(path, "rb") as file:
            file.seek(max(0, path.stat().st_size - 4000))
            lines = file.read().decode("utf-8", "replace").strip().splitlines()
    except OSError:
        return ""
    messages = [text for text in lines if text and not text[0].isspace()]
    return clean((messages or lines or [""])[-1])[:300]


def _problems(files: JsonObject, state: str) -> tuple[FileProblem, ...]:
    """Return broken files, and the missing ones of a run that is done."""
    required: tuple[str, ...] = ()
    if state == "done":
        required = ("config", "provenance", "metrics", "diagnostics")
    return tuple(
        content
        for name, content in files.items()
        if isinstance(content, FileProblem)
        and (content.reason or name in required)
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
    for name in (facts.get("method"), *OWN_METHODS):
        if name in methods:
            return str(name)
    return methods[0] if methods else "agent"


def _short(value: object, max_length: int = 120) -> str:
    """Return a string or number as text of at most `most` characters, otherwise an empty
    text.
    """
    return (
        str(value)[:max_length] if isinstance(value, str | int | float) else ""
    )


def _count(value: object) -> int | None:
    count = number(value)
    return None if count is None or count < 0 else int(count)


def _read_small(path: Path) -> JsonObject:
    if path.stat().st_size >= MAX_UNIT_BYTES:
        return {}
    return _object(json.loads(path.read_text(encoding="utf-8")))


# -- scores ----------------------------------------------------------------------


@dataclass(frozen=True)
class _MeasuredScores:
    """Episodes by method and opponent set, and facts of the run from the metadata."""

    cells: dict[tuple[str, str], EpisodeReturns]
    facts: JsonObject


def _read_scores(path: Path) -> _MeasuredScores:
    columns = ("method", "opponents", "seat", "return")
    table, schema = read_table(path, columns, codes=("method", "opponents"))
    if not len(table):
        raise ValueError("rows=0: expected one per episode")
    empty = [name for name in columns if table.column(name).null_count]
    if empty:
        raise ValueError(
            f"column {', '.join(empty)}: expected no empty entries"
        )
    returns = np.asarray(table.column("return").cast(pa.float64()).to_numpy())
    seats = np.asarray(table.column("seat").cast(pa.int64()).to_numpy())
    not_finite = int((~(np.abs(returns) <= MAX_SIZE)).sum())
    if not_finite:
        raise ValueError(
            f"column return: expected finite numbers; {not_finite} entries are not"
        )
    methods, method = coded(table, "method")
    sets, opponents = coded(table, "opponents")
    code = method * len(sets) + opponents
    order = np.argsort(code, kind="stable")
    codes, first = np.unique(code[order], return_index=True)
    ends = np.append(first[1:], len(code))
    cells = {}
    for k in np.argsort(order[first]):  # cells in the order of the file
        rows = order[first[k] : ends[k]]
        name = methods[codes[k] // len(sets)], sets[codes[k] % len(sets)]
        cells[name] = EpisodeReturns(returns[rows], seats[rows])
    return _MeasuredScores(cells, _facts(schema))


def _facts(schema: pa.Schema) -> JsonObject:
    """Return the facts of the measured run in the metadata of the scores (docs/files.md)."""
    text = (schema.metadata or {}).get(b"provenance", b"{}")
    if len(text) >= MAX_METADATA_BYTES:
        return {}
    try:
        document = clean(json.loads(text))
    except (ValueError, RecursionError):
        return {}
    return _object(_object(document).get("config"))
