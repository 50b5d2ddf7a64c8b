"""Reads the files of a run directory. They may be a stranger's: everything is checked for its type, nothing
is trusted.

What cannot be used becomes a `Problem` in its place, so that the page shows the rest.
"""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from bestreply.scores.references import Reference, references_in

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
}
"""The files that the report reads, and the subcommand of `bestreply` that makes each."""

MAX_JSON_BYTES = 200_000_000
MAX_SIZE = 1e100  # of a number; beyond it arithmetic on the way to a figure could overflow
# Control characters could drive a terminal, and direction overrides could make a name read as another.
_CONTROL = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)

_ESCAPED = re.compile(r"\\[bfru]")  # how JSON may write such characters


@dataclass(frozen=True)
class FileProblem:
    """A file that is not there (`reason` empty) or cannot be used."""

    file: str
    reason: str = ""

    @property
    def maker(self) -> str:
        return MAKERS[self.file]


@dataclass(frozen=True)
class ScoreColumns:
    """`scores.parquet` as columns of equal length, one entry per episode."""

    method: np.ndarray  # [rows] str
    opponents: np.ndarray  # [rows] str
    seed: np.ndarray  # [rows] int64
    episode: np.ndarray  # [rows] int64
    seat: np.ndarray  # [rows] int64
    value: np.ndarray  # [rows] float64, the return


@dataclass(frozen=True)
class MetricSeries:
    """One metric in the order of its updates."""

    env_steps: np.ndarray  # [points] int64
    update: np.ndarray  # [points] int64
    value: np.ndarray  # [points] float64


@dataclass(frozen=True)
class RunFiles:
    """The content of a run directory as far as the report needs it."""

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


def read_run(run_dir: Path) -> RunFiles:
    """Reads what is there. Raises FileNotFoundError where `run_dir` is no directory."""
    if not run_dir.is_dir():
        raise FileNotFoundError(
            f"{run_dir} is no run directory; expected: a directory that `bestreply train` or `run` has made"
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
    )


def read_scores(run_dir: Path) -> ScoreColumns | FileProblem:
    return _read(run_dir, "scores.parquet", _scores)


def read_references(run_dir: Path) -> dict[str, Reference] | FileProblem:
    return _read(run_dir, "references.json", _references)


def clean(value: Any) -> Any:
    """`value` with every string in it rid of control characters."""
    if isinstance(value, str):
        return _CONTROL.sub("", value)
    if isinstance(value, list):
        return [clean(v) for v in value]
    if isinstance(value, dict):
        return {clean(k): clean(v) for k, v in value.items()}
    return value


def number(value: Any) -> float | None:
    """`value` if it is a finite number within MAX_SIZE, else None."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        value = float(value)
    except OverflowError:
        return None
    return value if abs(value) <= MAX_SIZE else None


def lookup(documents: list[Any], *names: str) -> Any:
    """The value under one of `names` that is nearest to the root, in the first document that has it there."""
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


# -- each file -------------------------------------------------------------------------------------


def _read(run_dir: Path, file: str, reader: Callable[[Path], Any]) -> Any:
    path = run_dir / file
    if not path.is_file():
        return FileProblem(file)
    try:
        return reader(path)
    except RecursionError:
        return FileProblem(file, "it is nested too deeply")
    except (ValueError, OSError, pa.ArrowException) as error:
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        return FileProblem(
            file, clean(first.replace(str(run_dir), run_dir.name))
        )


def _json_of(kind: type) -> Callable[[Path], Any]:
    def read(path: Path) -> Any:
        size = path.stat().st_size
        if size > MAX_JSON_BYTES:
            raise ValueError(
                f"it has {size:,} bytes; expected: at most {MAX_JSON_BYTES:,}"
            )
        text = path.read_bytes().decode("utf-8")
        document = json.loads(text)
        if not isinstance(document, kind):
            raise ValueError(
                f"its root is a {type(document).__name__}; expected: a {kind.__name__}"
            )
        return document if _harmless(text) else clean(document)

    return read


def _harmless(text: str) -> bool:
    """Whether no string of a JSON document has what `clean` takes out. Found faster than string by string; and strings of such a
    document hold no control characters of ASCII but DEL, unless they are escaped."""
    if "\\" in text and _ESCAPED.search(text):
        return False
    return "\x7f" not in text if text.isascii() else not _CONTROL.search(text)


def _references(path: Path) -> dict[str, Reference]:
    return references_in(_json_of(dict)(path))


def read_table(
    path: Path, expected: Sequence[str], codes: Sequence[str] = ()
) -> tuple[pa.Table, pa.Schema]:
    """The named columns, those of `codes` as codes for their few names; and the file's schema. A file is small: one thread is fastest."""
    file = pq.ParquetFile(
        pa.BufferReader(path.read_bytes()), read_dictionary=list(codes)
    )
    schema = file.schema_arrow
    missing = [name for name in expected if name not in schema.names]
    if missing:
        raise ValueError(
            f"it has no column {', '.join(missing)}; expected: {', '.join(expected)}"
        )
    return file.read(columns=list(expected), use_threads=False), schema


def coded(table: pa.Table, name: str) -> tuple[list[str], np.ndarray]:
    """The names in a column, and for each row which it is."""
    column = table.column(name)
    if column.null_count:
        raise ValueError(
            f"column {name} has {column.null_count} empty entries; expected: none"
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
    """The named columns cast to the wanted types; a null becomes NaN, or an error where NaN cannot be."""
    columns = {}
    for name, kind in expected.items():
        column = table.column(name).cast(kind)
        if column.null_count and kind != pa.float64():
            raise ValueError(
                f"column {name} has {column.null_count} empty entries; expected: none"
            )
        columns[name] = np.asarray(column.to_numpy())
    return columns


def _metrics(path: Path) -> dict[str, MetricSeries]:
    wanted = {
        "env_steps": pa.int64(),
        "update": pa.int64(),
        "value": pa.float64(),
    }
    table, _ = read_table(path, [*wanted, "name"], codes=["name"])
    columns = _columns(table, wanted)
    value = np.where(
        np.abs(columns["value"]) <= MAX_SIZE, columns["value"], np.nan
    )
    names, code = coded(table, "name")
    order = np.argsort(columns["update"], kind="stable")
    found, first = np.unique(code, return_index=True)
    metrics = {}
    for k in found[np.argsort(first)]:  # in the order of the file
        rows = order[code[order] == k]
        metrics[names[k]] = MetricSeries(
            columns["env_steps"][rows], columns["update"][rows], value[rows]
        )
    return metrics


def _scores(path: Path) -> ScoreColumns:
    wanted = {
        "method": pa.string(),
        "opponents": pa.string(),
        "return": pa.float64(),
    }
    wanted |= dict.fromkeys(("seed", "episode", "seat"), pa.int64())
    columns = _columns(read_table(path, list(wanted))[0], wanted)
    for name in ("method", "opponents"):
        columns[name] = np.array(
            [clean(v) for v in columns[name].tolist()], dtype=object
        )
    bad = int((~(np.abs(columns["return"]) <= MAX_SIZE)).sum())
    if bad:
        raise ValueError(
            f"column return has {bad} entries that are empty or not finite; expected: none"
        )
    if not len(columns["return"]):
        raise ValueError("it has no rows; expected: one per episode")
    return ScoreColumns(value=columns.pop("return"), **columns)


# -- one file at a time, for a report over many runs ---------------------------------------------------


def read_with(run_dir: Path, file: str, reader: Callable[[Path], Any]) -> Any:
    """What `reader` makes of a file, or the `Problem` with it."""
    return _read(run_dir, file, reader)


def read_json(run_dir: Path, file: str) -> dict[str, Any] | FileProblem:
    return _read(run_dir, file, _json_of(dict))


def read_metrics(run_dir: Path) -> dict[str, MetricSeries] | FileProblem:
    return _read(run_dir, "metrics.parquet", _metrics)
