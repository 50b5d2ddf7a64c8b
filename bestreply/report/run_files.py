"""Read the files of a run directory, which may come from a stranger.

The type of every value is checked. A file that cannot be used becomes a `FileProblem`
in its place, so that the page can show the rest.
"""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa

from bestreply.scores.references import Reference, references_in
from bestreply.utils.parquet import open_parquet

T = TypeVar("T")

MAKERS = {
    "config.json": "train",
    "provenance.json": "train",
    "metrics.parquet": "train",
    "diagnostics.json": "train",
    "scores.parquet": "evaluate",
    "matches.json": "evaluate",
    "references.json": "evaluate",
    "regret.json": "diagnose",
    "changes.json": "evaluate",
    "off_policy.json": "diagnose",
    "trials.json": "train",
}
"""Files that the report reads, each with the subcommand of `bestreply` that creates it."""

MAX_JSON_BYTES = 200_000_000
MAX_SIZE = 1e100
"""Greatest absolute value of a number; arithmetic with larger ones could overflow."""
# Control characters can drive a terminal; direction overrides can disguise a name.
_CONTROL = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)

_ESCAPED = re.compile(r"\\[bfru]")  # JSON escapes of such characters


@dataclass(frozen=True)
class FileProblem:
    """A file that is missing (`reason` is empty) or cannot be used."""

    file: str
    reason: str = ""

    @property
    def maker(self) -> str:
        """Subcommand of `bestreply` that creates the file."""
        return MAKERS[self.file]


@dataclass(frozen=True)
class ScoreColumns:
    """Columns of `scores.parquet`, of equal length; one entry per episode."""

    method: np.ndarray  # [rows] str
    opponents: np.ndarray  # [rows] str
    seed: np.ndarray  # [rows] int64
    episode: np.ndarray  # [rows] int64
    seat: np.ndarray  # [rows] int64
    value: np.ndarray  # [rows] float64, the return


@dataclass(frozen=True)
class MetricSeries:
    """Values of one metric, in order of update."""

    env_steps: np.ndarray  # [points] int64
    update: np.ndarray  # [points] int64
    value: np.ndarray  # [points] float64


@dataclass(frozen=True)
class RunFiles:
    """Contents of a run directory that the report uses."""

    path: Path
    config: dict[str, Any] | FileProblem
    provenance: dict[str, Any] | FileProblem
    metrics: dict[str, MetricSeries] | FileProblem
    diagnostics: dict[str, Any] | FileProblem
    scores: ScoreColumns | FileProblem
    matches: list[Any] | FileProblem
    references: dict[str, Reference] | FileProblem
    regret: dict[str, Any] | FileProblem
    changes: dict[str, Any] | FileProblem
    off_policy: dict[str, Any] | FileProblem = FileProblem("off_policy.json")
    trials: dict[str, Any] | FileProblem = FileProblem("trials.json")


def read_run(run_dir: Path) -> RunFiles:
    """Read the files of a run directory.

    Args:
        run_dir: run directory.

    Returns:
        Every file's content, or what is wrong with it.

    Raises:
        FileNotFoundError: `run_dir` is not a directory.
    """
    if not run_dir.is_dir():
        raise FileNotFoundError(
            f"run_dir={run_dir}: expected a directory that `bestreply train` or `bestreply run` wrote"
        )
    return RunFiles(
        path=run_dir,
        config=_read(run_dir, "config.json", _json_of(dict)),
        provenance=_read(run_dir, "provenance.json", _json_of(dict)),
        metrics=_read(run_dir, "metrics.parquet", _metrics),
        diagnostics=_read(run_dir, "diagnostics.json", _json_of(dict)),
        scores=read_scores(run_dir),
        matches=_read(run_dir, "matches.json", _json_of(list)),
        references=read_references(run_dir),
        regret=_read(run_dir, "regret.json", _json_of(dict)),
        changes=_read(run_dir, "changes.json", _json_of(dict)),
        off_policy=_read(run_dir, "off_policy.json", _json_of(dict)),
        trials=_read(run_dir, "trials.json", _json_of(dict)),
    )


def read_scores(run_dir: Path) -> ScoreColumns | FileProblem:
    """Read `scores.parquet`.

    Args:
        run_dir: run directory.

    Returns:
        The columns, or what is wrong with the file.
    """
    return _read(run_dir, "scores.parquet", _scores)


def read_references(run_dir: Path) -> dict[str, Reference] | FileProblem:
    """Read `references.json`.

    Args:
        run_dir: run directory.

    Returns:
        References by opponent set, or what is wrong with the file.
    """
    return _read(run_dir, "references.json", _references)


def clean(value: Any) -> Any:
    """Remove control characters from every string of a JSON value.

    Args:
        value: any JSON value.

    Returns:
        The value, in new containers.
    """
    if isinstance(value, str):
        return _CONTROL.sub("", value)
    if isinstance(value, list):
        return [clean(v) for v in value]
    if isinstance(value, dict):
        return {clean(k): clean(v) for k, v in value.items()}
    return value


def number(value: object) -> float | None:
    """Return a value as a float if it is a finite number of at most MAX_SIZE.

    Args:
        value: any JSON value.

    Returns:
        The number, otherwise None.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        value = float(value)
    except OverflowError:
        return None
    return value if abs(value) <= MAX_SIZE else None


def lookup(documents: Sequence[object], *names: str) -> Any:
    """Find the value under one of several names that is closest to the root of a
    document.

    Args:
        documents: JSON values; those that are not objects are skipped.
        names: keys, in order of preference.

    Returns:
        The value from the first document that has one at that depth; None without
        any.
    """
    level = [d for d in documents if isinstance(d, dict)]
    while level:
        for name in names:
            for document in level:
                if document.get(name) is not None:
                    return document[name]
        level = [
            v
            for document in level
            for v in document.values()
            if isinstance(v, dict)
        ]
    return None


# -- each file --------------------------------------------------------------------


def _read(
    run_dir: Path, file: str, reader: Callable[[Path], T]
) -> T | FileProblem:
    path = run_dir / file
    if not path.is_file():
        return FileProblem(file)
    try:
        return reader(path)
    except RecursionError:
        return FileProblem(file, "nested too deeply")
    except (ValueError, OSError, pa.ArrowException) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        return FileProblem(
            file, clean(reason.replace(str(run_dir), run_dir.name))
        )


def _json_of(kind: type) -> Callable[[Path], Any]:
    def read(path: Path) -> Any:
        size = path.stat().st_size
        if size > MAX_JSON_BYTES:
            raise ValueError(
                f"size={size:,} bytes: expected at most {MAX_JSON_BYTES:,}"
            )
        text = path.read_bytes().decode("utf-8")
        document = json.loads(text)
        if not isinstance(document, kind):
            raise ValueError(
                f"root={type(document).__name__}: expected {kind.__name__}"
            )
        return document if _harmless(text) else clean(document)

    return read


def _harmless(text: str) -> bool:
    """Return whether no string of a JSON document contains characters that `clean`
    removes.

    Scanning the text is faster than visiting every string. In ASCII text, control
    characters other than DEL can only occur escaped.
    """
    if "\\" in text and _ESCAPED.search(text):
        return False
    return "\x7f" not in text if text.isascii() else not _CONTROL.search(text)


def _references(path: Path) -> dict[str, Reference]:
    return references_in(_json_of(dict)(path))


def read_table(
    path: Path, expected: Sequence[str], codes: Sequence[str] = ()
) -> tuple[pa.Table, pa.Schema]:
    """Read columns of a Parquet file with one thread, the fastest way for small files.

    Args:
        path: file.
        expected: names of the columns.
        codes: names of the columns to read as dictionary codes.

    Returns:
        The columns, and the schema of the whole file.

    Raises:
        ValueError: a column is missing.
    """
    with open_parquet(path, codes) as file:
        schema = file.schema_arrow
        names = schema.names
        missing = [name for name in expected if names.count(name) != 1]
        if missing:
            raise ValueError(
                f"columns {', '.join(missing)}: expected each of {', '.join(expected)} once"
            )
        return file.read(columns=list(expected), use_threads=False), schema


def coded(table: pa.Table, name: str) -> tuple[list[str], np.ndarray]:
    """Return the distinct names in a column, and for each row the index of its name.

    Args:
        table: table with the column.
        name: name of the column.

    Returns:
        Names, and [rows] int64 indices.

    Raises:
        ValueError: the column has empty entries.
    """
    column = table.column(name)
    if column.null_count:
        raise ValueError(
            f"column {name}: expected no empty entries; it has {column.null_count}"
        )
    if not pa.types.is_dictionary(column.type):
        column = column.cast(pa.string()).dictionary_encode()
    chunk = column.unify_dictionaries().combine_chunks()
    chunk = chunk.chunk(0) if isinstance(chunk, pa.ChunkedArray) else chunk
    names = [clean(str(name)) for name in chunk.dictionary.to_pylist()]
    return names, np.asarray(
        chunk.indices.to_numpy(zero_copy_only=False), np.int64
    )


def _columns(
    table: pa.Table, expected: dict[str, pa.DataType]
) -> dict[str, np.ndarray]:
    """Cast columns to the expected types; null becomes NaN, or an error for integers."""
    columns = {}
    for name, kind in expected.items():
        column = table.column(name).cast(kind)
        if column.null_count and kind != pa.float64():
            raise ValueError(
                f"column {name}: expected no empty entries; it has {column.null_count}"
            )
        columns[name] = np.asarray(column.to_numpy())
    return columns


def _metrics(path: Path) -> dict[str, MetricSeries]:
    types = {
        "env_steps": pa.int64(),
        "update": pa.int64(),
        "value": pa.float64(),
    }
    table, _ = read_table(path, [*types, "name"], codes=["name"])
    columns = _columns(table, types)
    value = np.where(
        np.abs(columns["value"]) <= MAX_SIZE, columns["value"], np.nan
    )
    names, code = coded(table, "name")
    order = np.argsort(columns["update"], kind="stable")
    codes, first = np.unique(code, return_index=True)
    metrics = {}
    for k in codes[np.argsort(first)]:  # in the order of the file
        rows = order[code[order] == k]
        metrics[names[k]] = MetricSeries(
            columns["env_steps"][rows], columns["update"][rows], value[rows]
        )
    return metrics


def _scores(path: Path) -> ScoreColumns:
    types = {
        "method": pa.string(),
        "opponents": pa.string(),
        "return": pa.float64(),
    }
    types |= dict.fromkeys(("seed", "episode", "seat"), pa.int64())
    columns = _columns(read_table(path, list(types))[0], types)
    for name in ("method", "opponents"):
        columns[name] = np.array(
            [clean(v) for v in columns[name].tolist()], dtype=object
        )
    not_finite = int((~(np.abs(columns["return"]) <= MAX_SIZE)).sum())
    if not_finite:
        raise ValueError(
            f"column return: expected finite numbers; {not_finite} entries are empty or not finite"
        )
    if not len(columns["return"]):
        raise ValueError("rows=0: expected one per episode")
    return ScoreColumns(value=columns.pop("return"), **columns)


# -- one file at a time, for a report over several runs --------------------------


def read_with(
    run_dir: Path, file: str, reader: Callable[[Path], T]
) -> T | FileProblem:
    """Read a file with a given function.

    Args:
        run_dir: run directory.
        file: name of the file.
        reader: function from the path to the content; raises ValueError for a bad
            file.

    Returns:
        The content, or what is wrong with the file.
    """
    return _read(run_dir, file, reader)


def read_json(run_dir: Path, file: str) -> dict[str, Any] | FileProblem:
    """Read a JSON file whose root is an object.

    Args:
        run_dir: run directory.
        file: name of the file.

    Returns:
        The object, or what is wrong with the file.
    """
    return _read(run_dir, file, _json_of(dict))


def read_metrics(run_dir: Path) -> dict[str, MetricSeries] | FileProblem:
    """Read `metrics.parquet`.

    Args:
        run_dir: run directory.

    Returns:
        Metrics by name, in order of first appearance, or what is wrong with the
        file.
    """
    return _read(run_dir, "metrics.parquet", _metrics)
